"""The same prompts to two endpoints, interleaved so that neither is favoured."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, Unpack, cast

from deepthrift._client.async_client import AsyncClient
from deepthrift._client.client import Client
from deepthrift._types.errors import CircuitOpen, ConfigurationError, DeepthriftError
from deepthrift._types.messages import JSONObject
from deepthrift._types.options import CallOptions, ChatOptions
from deepthrift._types.reply import Reply
from deepthrift._util.tasks import run_together
from deepthrift.batch import BatchResult, BatchRow, Chatter, SyncChatter
from deepthrift.batch._result import costs
from deepthrift.batch._runner import meets_every_row
from deepthrift.compare._agreement import Agree, same_text
from deepthrift.compare._pair import Pair
from deepthrift.compare._prompts import rows_of
from deepthrift.compare._report import Comparison, report
from deepthrift_pricing import Mode


async def compare(
    a: Chatter,
    b: Chatter,
    prompts: Iterable[BatchRow | JSONObject | str],
    *,
    mode: Mode | None = None,
    max_tokens: int | None = None,
    agree: Agree = same_text,
    concurrency: int = 4,
    on_pair: Callable[[Pair], object] | None = None,
    **options: Unpack[CallOptions],
) -> Comparison:
    """Ask two clients the same, and report answers, latency, tokens, cost and agreement.

    `compare_sync` is the same for clients that are not awaited.

    Each prompt goes to both sides, one after the other: to A first and to B first by turns, so that a warm cache or a
    busy hour favours neither. When a budget is used up, one side's endpoint is left alone, or something else would meet
    every further prompt, no more are begun and those under way come to their end.

    Args:
        a: A client, a router, or anything with `chat`.
        b: The other one.
        prompts: Texts, `{"prompt": …}`, `{"messages": […]}`, rows of a batch; or what `read_prompts` returns.
        mode: The mode of prompts that name none; left out, each side's own.
        max_tokens: The most tokens of each answer, where a prompt does not say.
        agree: Tells whether two answers say the same; left out, `same_text`. The router has a better one.
        concurrency: Prompts under way at once; each has one call under way.
        on_pair: Called with each pair as it comes, with its answers.
        **options: For every call; see `CallOptions`. What a prompt itself says wins.

    Returns:
        The report. It holds no prompts or answers.

    Raises:
        InvalidRequestError: A prompt is wrong; nothing was sent.
        ConfigurationError: `concurrency` is wrong, or a side's `chat` is not awaited; nothing was sent.
    """
    check_side("a", a, awaited=True)
    check_side("b", b, awaited=True)
    names = side_name(a), side_name(b)
    return await compared((a, b), names, prompts, mode, max_tokens, agree, concurrency, on_pair, options)


async def compared(
    sides: tuple[Chatter, Chatter],
    names: tuple[str, str],
    prompts: Iterable[BatchRow | JSONObject | str],
    mode: Mode | None,
    max_tokens: int | None,
    agree: Agree,
    concurrency: int,
    on_pair: Callable[[Pair], object] | None,
    options: CallOptions,
) -> Comparison:
    """The work of `compare`, whose arguments these are; `names` are those of the sides in the report."""
    if concurrency < 1:
        raise ConfigurationError(f"concurrency is 1 or more, not {concurrency!r}")
    rows = rows_of(prompts)
    work = _Work(rows, sides, mode, max_tokens, agree, on_pair, options)
    await run_together(work.run() for _ in range(min(concurrency, len(rows))))
    pairs = [pair for _, pair in sorted(work.pairs.items())]
    return report(pairs, len(rows), names, None if work.stopped is None else work.stopped.message)


class _Work:
    """The prompts that are left, and what came of the others."""

    def __init__(
        self,
        rows: list[BatchRow],
        sides: tuple[Chatter, Chatter],
        mode: Mode | None,
        max_tokens: int | None,
        agree: Agree,
        on_pair: Callable[[Pair], object] | None,
        options: CallOptions,
    ) -> None:
        self._rows = iter(enumerate(rows))
        self._sides = sides
        self._mode: Mode | None = mode
        self._max_tokens = max_tokens
        self._agree = agree
        self._on_pair = on_pair
        self._options = options
        self.pairs: dict[int, Pair] = {}
        self.stopped: DeepthriftError | None = None

    async def run(self) -> None:
        """Prompts, one after the other, as long as there are any."""
        while self.stopped is None and (found := next(self._rows, None)) is not None:
            place, row = found
            order = (0, 1) if place % 2 == 0 else (1, 0)
            results = {side: BatchResult(row=row) for side in order}
            for side in order:
                results[side] = await self._ask(self._sides[side], row)
                if self.stopped is not None:
                    break
            first, second = results[0].reply, results[1].reply
            same = None if first is None or second is None else self._agree(first, second, row.messages)
            pair = self.pairs[place] = Pair(row=row, a=results[0], b=results[1], agree=same)
            if self._on_pair is not None:
                self._on_pair(pair)

    async def _ask(self, side: Chatter, row: BatchRow) -> BatchResult:
        options = cast("ChatOptions", {**self._options, **row.options})
        mode = row.mode or self._mode
        named = {} if mode is None else {"mode": mode}  # a router takes none
        most = row.max_tokens or self._max_tokens
        try:
            answering = cast("Awaitable[Reply] | Reply", side.chat(row.messages, max_tokens=most, **named, **options))
            if not isinstance(answering, Reply):
                return BatchResult(row=row, reply=await answering)
        except DeepthriftError as error:
            unpaid = not costs(error)
            if meets_every_row(error) or isinstance(error, CircuitOpen):
                self.stopped = self.stopped or error
                return BatchResult(row=row, error=error, sent=not unpaid)
            return BatchResult(row=row, error=error)
        raise ConfigurationError(f"{type(side).__name__}.chat is not awaited: use compare_sync")


def side_name(side: Chatter | SyncChatter) -> str:
    """What the report calls a side."""
    host, model, url = (getattr(side, name, None) for name in ("host", "model", "base_url"))
    return type(side).__name__ if host is None else f"{host.name} {model} at {url}"


def check_side(name: Literal["a", "b"], side: Chatter | SyncChatter, *, awaited: bool) -> None:
    """Nothing, if `chat` of a side is awaited, or not, as it should be; where that cannot be told, the call tells.

    Raises:
        ConfigurationError: It is the other way round.
    """
    client = getattr(side, "client", side)  # a router's
    if awaited and isinstance(client, Client):
        raise ConfigurationError(f"{name} stands on a Client, which is not awaited: use compare_sync, or AsyncClient")
    if not awaited and (isinstance(client, AsyncClient) or inspect.iscoroutinefunction(side.chat)):
        raise ConfigurationError(f"the chat of {name} is awaited: use compare, or a Client")
