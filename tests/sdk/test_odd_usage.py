"""Usage that cannot be: what the host does not tell is counted here and said so, and nothing is booked at zero."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import DeepthriftError
from deepthrift_pricing import Ledger, PriceBook
from tests.sdk.raw_server import END, part, plain, raw_server, stream_head
from tests.support.doors import Door, ask, every_door, settings

PROMPT = "Why?"
TEXT = "Paris is it."
SENT, SAID = 6, 4
"""Tokens of `PROMPT` in V3.1's frame, and of `TEXT`."""
HUGE = 10**25


def served(door: Door, usage: str) -> list[bytes]:
    """The answer with `usage`, as JSON, in the form that fits the door."""
    if "stream" not in door:
        said = json.dumps({"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"})
        return [plain(f'{{"choices":[{said}],"usage":{usage}}}'.encode())]
    first = json.dumps({"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}]})
    last = f'{{"choices":[],"usage":{usage}}}'
    return [stream_head(), part(f"data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n".encode()), END]


CASES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"prompt_tokens": HUGE, "completion_tokens": 3}, (SENT, 3)),
    ({"prompt_tokens": HUGE, "completion_tokens": 3, "total_tokens": HUGE + 3}, (SENT, 3)),
    ({"prompt_tokens": 10**10, "completion_tokens": 3, "total_tokens": 12}, (9, 3)),
    ({"prompt_tokens": 5, "completion_tokens": HUGE}, (5, SAID)),
    ({"prompt_tokens": HUGE, "completion_tokens": HUGE}, (SENT, SAID)),
    ({"prompt_tokens": 5}, (5, SAID)),
    ({"completion_tokens": 3}, (SENT, 3)),
    ({"prompt_tokens": -5, "completion_tokens": "many"}, (SENT, SAID)),
    ({"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": HUGE}}, (5, 4)),
]


@every_door
@pytest.mark.parametrize(("usage", "counts"), CASES)
async def test_what_cannot_be_is_counted_here_and_never_booked_at_zero(
    door: Door, usage: dict[str, Any], counts: tuple[int, int], tmp_path: Path
) -> None:
    with Ledger.open(tmp_path / "spend.db") as ledger:
        async with raw_server(served(door, json.dumps(usage))) as server:
            reply = await ask(door, server.url, PROMPT, client={"ledger": ledger}, max_tokens=50)
        [attempt] = ledger.attempts()
    assert attempt.usage is not None
    assert (attempt.usage.prompt_tokens, attempt.usage.completion_tokens) == counts
    assert (attempt.status, attempt.cost.certainty) == ("settled", "estimated")
    assert attempt.usage.notes == reply.usage.notes != ()
    assert reply.cost.amount == (counts[0] * Decimal("0.56") + counts[1] * Decimal("1.68")) / 10**6


@every_door
async def test_a_number_of_thousands_of_digits_breaks_nothing(door: Door) -> None:
    """Where the parser refuses it, the attempt stays booked: at its worst case, or as it was counted here."""
    usage = f'{{"prompt_tokens":1{"0" * 6000},"completion_tokens":3}}'
    with Ledger.open() as ledger:
        async with raw_server(served(door, usage)) as server:
            with contextlib.suppress(DeepthriftError):
                await ask(door, server.url, PROMPT, client={"ledger": ledger, "max_retries": 0}, max_tokens=50)
        [attempt] = ledger.attempts()
    assert attempt.cost.amount > 0
    assert attempt.cost.certainty in ("estimated", "unknown")


async def test_of_a_stream_that_is_left_what_arrived_is_counted_where_the_usage_cannot_be() -> None:
    chunk = {
        "choices": [{"index": 0, "delta": {"content": TEXT}}],
        "usage": {"prompt_tokens": HUGE, "completion_tokens": 1},
    }
    with Ledger.open() as ledger:
        async with (
            raw_server([stream_head(), part(f"data: {json.dumps(chunk)}\n\n".encode()), b"wait"]) as server,
            AsyncClient(**settings(server.url, ledger=ledger)) as client,
            client.stream(PROMPT, max_tokens=50) as stream,
        ):
            async for event in stream:
                if getattr(event, "text", None):
                    break
        [attempt] = ledger.attempts()
    assert attempt.usage is not None
    assert (attempt.usage.prompt_tokens, attempt.usage.completion_tokens) == (SENT, SAID)
    assert any("not a count" in note for note in attempt.usage.notes)


async def test_more_than_was_reserved_is_believed_up_to_ten_times_the_context() -> None:
    dear = PriceBook.flat(cache_hit="1000", cache_miss="1000", completion="1000")
    for claim, amount, certainty in ((10**6, "2000", "exact"), (10**9, "0.01", "estimated")):
        usage = {"prompt_tokens": claim, "completion_tokens": claim}
        with Ledger.open() as ledger:
            async with raw_server(served("async", json.dumps(usage))) as server:
                reply = await ask("async", server.url, PROMPT, client={"ledger": ledger, "prices": dear}, max_tokens=50)
            [attempt] = ledger.attempts()
        assert (attempt.status, attempt.cost.amount, attempt.cost.certainty) == ("settled", Decimal(amount), certainty)
        assert reply.warnings
