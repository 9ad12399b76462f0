"""Collects outcomes of both modes on the user's own prompts: within a budget, and resumable after a kill."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from deepthrift import ChatOptions, Reply
from deepthrift.batch._lock import lock
from deepthrift.batch._private import private_descriptor
from deepthrift.errors import BudgetExceeded, ConfigurationError, DeepthriftError
from deepthrift_pricing import Currency, Money, new_id
from deepthrift_router._answers import final_text
from deepthrift_router._calls import Asked
from deepthrift_router._request import Request
from deepthrift_router._signals import unusable
from deepthrift_router.evaluation import Extra, Outcome

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router.labels._graders import ReferenceGrader

Progress: TypeAlias = Callable[["Collected"], object]
TAG: Final = "collect"
"""Every attempt carries the run under this tag: what a killed run spent counts, too."""
_NAMES: Final = {
    "prompt": "query",
    "question": "query",
    "input": "query",
    "answer": "reference",
    "expected": "reference",
}


@dataclass(slots=True)
class Collected:
    """How far a collection is."""

    prompts: int
    done: int = 0
    """Rows in the file, those of earlier runs included."""
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Prompts whose calls failed, and why; the next run tries them again."""
    spent: Money = field(default_factory=Money.zero)
    """Of all runs into this file."""
    stopped: str | None = None
    """Why not all prompts were asked, or `None`."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Asks every prompt `samples` times in standard mode and once in thinking mode, and writes one row each.

    A row is written whole once all its calls are there, so that a kill loses at most the rows under way. Only its owner
    may read the file, and one process writes into it at a time.

    Args:
        client: The client that makes the calls, in both modes.
        samples: Standard samples of each prompt, 1 to 8.
        max_tokens: The most tokens of each call.
        budget: The most that all runs into one file may cost; a prompt is begun only if its calls fit at their worst.
        grader: Grades both modes where a prompt has a reference.
        at_once: Prompts that are asked at the same time.
    """

    client: AsyncClient
    samples: int = 3
    max_tokens: int | None = None
    budget: Money | None = None
    grader: ReferenceGrader | None = None
    at_once: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 8:
            raise ConfigurationError(f"samples is 1 to 8, not {self.samples!r}")
        if self.at_once < 1:
            raise ConfigurationError(f"at_once is 1 or more, not {self.at_once!r}")

    async def run(self, prompts: Iterable[Outcome], out: Path, progress: Progress | None = None) -> Collected:
        """Append what is missing to `out`; how far it came.

        Raises:
            ConfigurationError: `out` cannot be written or holds something else.
            AuthenticationFailed: The endpoint refuses the key, or has no balance: no other prompt would fare better.
        """
        wanted = list(prompts)
        try:
            descriptor = private_descriptor(out)
        except OSError as error:
            raise ConfigurationError(f"{out} cannot be written: {error.strerror or error}") from None
        try:
            if not lock(descriptor):
                raise ConfigurationError(f"another process is collecting into {out}; let it end, or name another file")
            return await self._into(descriptor, wanted, out, progress)
        finally:
            os.close(descriptor)

    async def _into(
        self, descriptor: int, wanted: Sequence[Outcome], out: Path, progress: Progress | None
    ) -> Collected:
        known = _ids(out)
        todo = [prompt for prompt in wanted if prompt.id not in known]
        state = Collected(prompts=len(wanted), done=len(wanted) - len(todo))
        run = _name_of(out)
        reserved = _Reserved(self._spent(run))
        state.spent = reserved.spent
        left = iter(todo)
        try:
            async with asyncio.TaskGroup() as together:
                for _ in range(min(self.at_once, len(todo))):
                    together.create_task(self._work(left, descriptor, run, state, reserved, progress))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return state

    async def _work(
        self,
        left: Iterator[Outcome],
        descriptor: int,
        run: str,
        state: Collected,
        reserved: _Reserved,
        progress: Progress | None,
    ) -> None:
        for prompt in left:
            if state.stopped is not None:
                return
            request = self._request(prompt, run)
            asked = self._asked(request)
            worst = self._worst(asked)
            if self.budget is not None and reserved.spent + reserved.under_way + worst > self.budget:
                state.stopped = (
                    f"the next prompt may cost up to {worst}, and {reserved.spent} of {self.budget} are spent; "
                    "raise the budget and run again to go on"
                )
                return
            reserved.under_way += worst
            try:
                outcome = await self._ask(prompt, request, asked, reserved)
                _append(descriptor, outcome)
                state.done += 1
                state.failed.pop(prompt.id, None)
            except BudgetExceeded as error:
                state.stopped = error.message
                return
            except DeepthriftError as error:
                if type(error).__name__ in ("AuthenticationFailed", "InsufficientBalance", "PermissionRefused"):
                    raise
                state.failed[prompt.id] = f"{type(error).__name__}: {error}"
                if error.spend is not None:
                    reserved.spent += error.spend
            finally:
                reserved.under_way -= worst
                state.spent = reserved.spent
            if progress is not None:
                progress(state)

    def _request(self, prompt: Outcome, run: str) -> Request:
        options: ChatOptions = {"tags": {TAG: run}}
        if "logprobs" in self.client.host.rules("standard").features:
            options["logprobs"] = True
        return Request(prompt.conversation, self.max_tokens, options, new_id("group"))

    def _asked(self, request: Request) -> list[Asked]:
        host = self.client.host
        thinking = request.thinking(host, "sample")
        options = thinking.options.copy()
        options.pop("logprobs", None)
        first = request.standard(host)
        others = [request.sample(host, number) for number in range(2, self.samples + 1)]
        return [first, *others, Asked("thinking", "sample", thinking.messages, thinking.max_tokens, options)]

    def _worst(self, asked: Iterable[Asked]) -> Money:
        estimates = [
            self.client.estimate(each.messages, mode=each.mode, max_tokens=each.max_tokens, **each.options)
            for each in asked
        ]
        return Money.sum((each.worst for each in estimates), estimates[0].worst.currency)

    async def _ask(self, prompt: Outcome, request: Request, asked: Iterable[Asked], reserved: _Reserved) -> Outcome:
        replies: list[Reply] = []
        for each in asked:
            options = each.options.copy()
            options["group_id"], options["purpose"] = request.group_id, each.purpose
            reply = await self.client.chat(each.messages, mode=each.mode, max_tokens=each.max_tokens, **options)
            replies.append(reply)
            reserved.spent += reply.cost.total
        standard, thinking = replies[:-1], replies[-1]
        grades = [await self._grade(prompt, reply) for reply in replies]
        first = standard[0]
        known = [float(grade) for grade in grades[:-1] if grade is not None]
        logprobs = [_logprobs(reply) for reply in standard]
        return prompt.model_copy(
            update={
                "source": prompt.source or "collected",
                "standard_model": first.model,
                "thinking_model": thinking.model,
                "same_weights": first.model == thinking.model,
                "standard_correct": None if grades[0] is None else float(grades[0]),
                "thinking_correct": None if grades[-1] is None else float(grades[-1]),
                "standard_samples_correct": tuple(known) if len(known) == len(standard) else None,
                "prompt_tokens": first.usage.prompt_tokens,
                "standard_tokens": first.usage.completion_tokens,
                "thinking_tokens": thinking.usage.completion_tokens,
                "standard_latency_s": round(first.seconds, 3),
                "thinking_latency_s": round(thinking.seconds, 3),
                "standard_answer": first.text,
                "thinking_answer": thinking.text,
                "standard_final": _final(first),
                "thinking_final": _final(thinking),
                "standard_finish": first.finish_reason,
                "standard_extra": Extra(
                    sample_finals=tuple(_final(reply) for reply in standard),
                    sample_answers=tuple(reply.text for reply in standard),
                    sample_tokens=tuple(reply.usage.completion_tokens for reply in standard),
                    logprobs=tuple(each or () for each in logprobs) if any(logprobs) else None,
                ),
                "provenance": f"{self.client.host.name} {first.model}",
            }
        )

    async def _grade(self, prompt: Outcome, reply: Reply) -> bool | None:
        if self.grader is None or prompt.reference is None:
            return None
        return await self.grader.grade(prompt.question, reply, prompt.reference)

    def _spent(self, run: str) -> Money:
        attempts = self.client.ledger.attempts(tags={TAG: run})
        currency: Currency = attempts[0].cost.total.currency if attempts else self._currency
        return Money.sum((each.cost.total for each in attempts if each.status != "reserved"), currency)

    @property
    def _currency(self) -> Currency:
        return "CNY" if {row.currency for row in self.client.prices.rows} == {"CNY"} else "USD"


@dataclass(slots=True)
class _Reserved:
    spent: Money
    under_way: Money = field(init=False)

    def __post_init__(self) -> None:
        self.under_way = Money.zero(self.spent.currency)


def read_prompts(path: Path) -> list[Outcome]:
    """The prompts of a JSON Lines file: each line a text, or an object with `query` (also `prompt`, `question`) or
    `messages`, and where there are any `id`, `reference` (also `answer`, `expected`), `dataset` and `category`.

    A prompt without an id has the hash of its text for one, so that it is known again.

    Raises:
        ConfigurationError: The file cannot be read, or a line is wrong; it names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    found: dict[str, Outcome] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            prompt = _prompt(line, f"{path}, line {number}")
            found.setdefault(prompt.id, prompt)
    if not found:
        raise ConfigurationError(f"{path} holds no prompt")
    return list(found.values())


def _prompt(line: str, where: str) -> Outcome:
    try:
        raw: object = json.loads(line)
    except ValueError:
        raise ConfigurationError(f"{where} is not JSON") from None
    if isinstance(raw, str):
        raw = {"query": raw}
    if not isinstance(raw, Mapping):
        raise ConfigurationError(f"{where} is neither a text nor an object")
    given = cast("Mapping[str, object]", raw)
    fields = {_NAMES.get(name, name): value for name, value in given.items() if value is not None}
    if not fields.get("query") and not fields.get("messages"):
        raise ConfigurationError(f"{where} has neither a query nor messages")
    reference = fields.get("reference")
    if reference is not None and not isinstance(reference, str):
        fields["reference"] = json.dumps(reference, ensure_ascii=False)
    text = json.dumps(fields.get("messages") or fields["query"], ensure_ascii=False)
    fields["id"] = str(fields.get("id") or blake2b(text.encode(), digest_size=8).hexdigest())
    try:
        return Outcome.model_validate(fields)
    except ValueError as error:
        raise ConfigurationError(f"{where} is no prompt: {error}") from None


def _ids(out: Path) -> set[str]:
    """The prompts that are in `out`; a last line that a kill cut short is taken away."""
    try:
        written = out.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be read: {error.strerror or error}") from None
    whole = written[: written.rfind(b"\n") + 1]
    if len(whole) < len(written):
        os.truncate(out, len(whole))
    ids: set[str] = set()
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row: object = json.loads(line)
            ids.add(str(cast("Mapping[str, object]", row)["id"]))
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{out}, line {number} is no recorded outcome; name another file") from None
    return ids


def _name_of(out: Path) -> str:
    """The tag of the runs into `out`, whatever folder they were begun in."""
    return blake2b(str(out.resolve()).encode(), digest_size=8).hexdigest()


def _append(descriptor: int, outcome: Outcome) -> None:
    line = memoryview((outcome.model_dump_json(exclude_defaults=True) + "\n").encode())
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def _final(reply: Reply) -> str | None:
    return None if unusable(reply) is not None else final_text(reply.text)


def _logprobs(reply: Reply) -> tuple[float, ...]:
    return tuple(token.logprob for token in reply.logprobs or () if token.logprob is not None)
