"""Comparisons on the command line: the run, and the report for people."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepthrift.shared.files import private_text
from deepthrift_router.cli._shared.connect import Place, connect
from deepthrift_router.cli._shared.exits import ENDPOINT, FAILURE, OK, exit_code
from deepthrift_router.cli._shared.format import money, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepthrift import CallOptions, Messages, Reply
    from deepthrift.compare import Agree, Comparison, Pair, SideReport
    from deepthrift.errors import DeepthriftError
    from deepthrift_pricing import Mode
    from deepthrift_router.cli._shared.output import Output


@dataclass(frozen=True)
class CompareOptions:
    """How to compare."""

    mode: Mode | None
    max_tokens: int | None
    temperature: float | None
    seed: int | None
    agree: Literal["answer", "text"]
    concurrency: int
    out: Path | None


def same_answers(a: Reply, b: Reply, messages: Messages) -> bool | None:
    """Whether two answers say the same, by the router's reading of them; by their words where it cannot tell."""
    from deepthrift.compare import same_text
    from deepthrift_router import parse_answer, same_answer

    by_words = same_text(a, b, messages)
    if by_words is not False or a.tool_calls or b.tool_calls:
        return by_words
    question = _question(messages)
    first, second = parse_answer(a.text, question), parse_answer(b.text, question)
    return by_words if first is None or second is None else same_answer(first, second)


def _question(messages: Messages) -> str:
    if isinstance(messages, str):
        return messages
    questions = (message.get("content") for message in reversed(messages) if message["role"] == "user")
    content = next(questions, "")
    return content if isinstance(content, str) else " ".join(part["text"] for part in content or ())


async def compare_files(prompts: Path, a: Place, b: Place, output: Output, options: CompareOptions) -> int:
    """`deepthrift compare`; returns the exit code."""
    from deepthrift.compare import compare, read_prompts, same_text

    rows = read_prompts(prompts)
    agree: Agree = same_text if options.agree == "text" else same_answers
    call_options: CallOptions = {}
    if options.temperature is not None:
        call_options["temperature"] = options.temperature
    if options.seed is not None:
        call_options["seed"] = options.seed
    failures: list[DeepthriftError] = []
    with contextlib.ExitStack() as opened:
        show = opened.enter_context(_progress(output, len(rows)))
        file = None if options.out is None else opened.enter_context(private_text(options.out))

        def told(pair: Pair) -> None:
            show(pair)
            if file is not None:
                file.write(json.dumps(pair.line(), ensure_ascii=False) + "\n")
                file.flush()
            failures.extend(each.error for each in (pair.a, pair.b) if each.error is not None)

        async with connect(a, output) as first, connect(b, output) as second:
            found = await compare(
                first,
                second,
                rows,
                mode=options.mode,
                max_tokens=options.max_tokens,
                agree=agree,
                concurrency=options.concurrency,
                on_pair=told,
                **call_options,
            )
    code = _code(found, failures)
    if output.as_json:
        output.document({**found.model_dump(mode="json"), "exit_code": code})
    else:
        show_comparison(found, output)
    return code


def _code(found: Comparison, failures: list[DeepthriftError]) -> int:
    if found.stopped is not None:
        return next((exit_code(error) for error in failures if error.message == found.stopped), ENDPOINT)
    return FAILURE if found.a.failed or found.b.failed else OK


@contextlib.contextmanager
def _progress(output: Output, prompts: int) -> Generator[Callable[[Pair], None]]:
    """Shows how many prompts are through, on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.err, transient=True, disable=not output.err.is_terminal) as bar:
        task = bar.add_task("", total=prompts)

        def show(pair: Pair) -> None:
            bar.advance(task)

        yield show


def show_comparison(found: Comparison, output: Output) -> None:
    """The report for people."""
    from deepthrift_router.cli._shared.output import table

    output.print(f"A  {found.a.name}", whole=True)
    output.print(f"B  {found.b.name}", whole=True)
    output.print()
    rows = table("", "A", "B", "B - A, a prompt", right=("A", "B"))
    ours, theirs = _column(found.a), _column(found.b)
    differences = _differences(found)
    for name in ours:
        rows.add_row(name, ours[name], theirs[name], differences.get(name, ""))
    output.print(rows)
    output.print()
    told = found.agreement
    if told is None:
        output.print("agreement: nothing could be compared")
    else:
        interval = f"95 % interval {told.low * 100:.0f} to {told.high * 100:.0f} %"
        output.print(
            f"agreement: {told.same:,} of {told.compared:,} say the same, {told.share * 100:.0f} % ({interval})"
        )
    for name, side in (("A", found.a), ("B", found.b)):
        for kind, count in side.errors.items():
            output.note(f"{name}: {count:,} {kind}")
    done = found.pairs + max(found.a.failed, found.b.failed)
    if found.stopped is not None:
        output.note(f"stopped after {done:,} of {found.prompts:,} prompts: {found.stopped}")


def _column(side: SideReport) -> dict[str, str]:
    spend = "-" if side.spend is None else money(side.spend)
    return {
        "answered": f"{side.answered:,}",
        "no answer": f"{side.failed:,}",
        "cut off": f"{side.cut_off:,}",
        "wrong mode": f"{side.wrong_mode:,}",
        "median": "-" if side.median_seconds is None else seconds(side.median_seconds),
        "p95": "-" if side.p95_seconds is None else seconds(side.p95_seconds),
        "prompt tokens": f"{side.prompt_tokens:,}",
        "from the cache": f"{side.cache_hit_tokens:,}",
        "output tokens": f"{side.completion_tokens:,}",
        "of it reasoning": f"{side.reasoning_tokens:,}",
        "cost": spend if side.certainty == "exact" else f"{spend} {side.certainty}",
    }


def _differences(found: Comparison) -> dict[str, str]:
    told: dict[str, str] = {}
    if (time := found.seconds) is not None:
        told["median"] = _told(f"{time.mean:+.3f} s", f"{time.low:+.3f} to {time.high:+.3f}", clear=time.clear)
    if (tokens := found.completion_tokens) is not None:
        interval = f"{tokens.low:+.1f} to {tokens.high:+.1f}"
        told["output tokens"] = _told(f"{tokens.mean:+.1f}", interval, clear=tokens.clear)
    if (cost := found.cost) is not None:
        told["cost"] = _told(money(cost.mean), f"{money(cost.low)} to {money(cost.high)}", clear=cost.clear)
    return told


def _told(mean: str, interval: str, *, clear: bool) -> str:
    return f"{mean} ({interval})" if clear else f"{mean} ({interval}: may be none)"
