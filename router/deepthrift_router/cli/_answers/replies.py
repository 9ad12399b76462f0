"""How a reply is shown: the streamed text, and one line with tokens, cost, mode and finish reason."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from deepthrift_router.cli._answers.text import Flow
from deepthrift_router.cli._shared.format import money, seconds, tokens
from deepthrift_router.cli._shared.output import plain

if TYPE_CHECKING:
    from deepthrift import AsyncStream, Reply
    from deepthrift_pricing import Cost, PriceBook
    from deepthrift_router.cli._shared.output import Output

Beside: TypeAlias = "Sequence[tuple[str, PriceBook]]"
"""Price lists, with the names that the user gave them."""


def cost_line(reply: Reply) -> str:
    """One line: `$0.00001204 · 31 prompt (0 hit, 31 miss) · 8 out · standard · stop · 0.42 s`."""
    mode = reply.mode if reply.mode == reply.requested_mode else f"{reply.mode}, not {reply.requested_mode}"
    paid = money(reply.cost.total) + ("" if reply.cost.certainty == "exact" else f" {reply.cost.certainty}")
    parts = [paid, tokens(reply.usage), mode, reply.finish_reason, seconds(reply.seconds)]
    if len({attempt.call_id for attempt in reply.attempts}) == 1 and len(reply.attempts) > 1:
        parts.append(f"{len(reply.attempts)} requests")
    return " · ".join(parts)


def show_cost(reply: Reply, output: Output) -> None:
    """Write the cost line and any warnings to standard error."""
    output.note(cost_line(reply))
    for warning in reply.warnings:
        output.note(f"warning: {warning}", style="yellow")


def books_beside(names: Sequence[str]) -> Beside:
    """The price lists or files named, read before anything is asked.

    Raises:
        click.BadParameter: One of them is neither.
        PriceDataError: A file is not a valid price file.
    """
    from deepthrift_router.cli._money.prices import price_book

    return [(name, price_book(name, "--beside")) for name in names]


def costs_beside(reply: Reply, beside: Beside) -> dict[str, Cost | None]:
    """The cost of the same tokens at each of the price lists; `None` where it has no price for them."""
    from deepthrift_pricing.errors import PriceNotFound

    costs: dict[str, Cost | None] = {}
    for name, book in beside:
        try:
            costs[name] = reply.cost_at(book)
        except PriceNotFound:
            costs[name] = None
    return costs


def show_reply(reply: Reply, output: Output, beside: Beside = ()) -> None:
    """Write the whole reply as JSON, or its cost line; and what it would have cost elsewhere."""
    costs = costs_beside(reply, beside)
    if output.as_json:
        fields = cast("dict[str, object]", plain(reply))
        output.document({**fields, "beside": costs} if costs else fields)
        return
    show_cost(reply, output)
    for name, cost in costs.items():
        output.note(f"no price at {name}" if cost is None else f"{money(cost.total)} at {name}")


class Transcript:
    """Shows a reply as it comes in: reasoning dimmed on standard error, the answer on standard output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._reasoning = Flow(output.err, style="dim italic")
        self._answer = Flow(output.out)

    def reasoning(self, text: str) -> None:
        """Add to the reasoning."""
        if not self._reasoning.written:
            text = f"thinking: {text.lstrip()}"
        self._reasoning.write(text)

    def answer(self, text: str) -> None:
        """Add to the answer."""
        if not self._answer.written:
            text = text.lstrip()
            if text and self._reasoning.written:
                self._reasoning.finish()
                self._output.note("")
        self._answer.write(text)

    def finish(self) -> None:
        """End the lines that are open."""
        self._reasoning.finish()
        self._answer.finish()


async def show_stream(stream: AsyncStream, output: Output) -> Reply:
    """Show an answer while it comes, and return it. With `--json` nothing is shown but that it is under way."""
    from deepthrift import ReasoningDelta, TextDelta

    shown = Transcript(output)
    with contextlib.ExitStack() as waiting:
        waiting.enter_context(output.working("waiting for the answer", elsewhere=False))
        async with stream:
            try:
                async for event in stream:
                    if output.as_json or not isinstance(event, ReasoningDelta | TextDelta):
                        continue
                    waiting.close()
                    if isinstance(event, ReasoningDelta):
                        shown.reasoning(event.text)
                    else:
                        shown.answer(event.text)
            finally:
                waiting.close()
                if not output.as_json:
                    shown.finish()
    return stream.reply
