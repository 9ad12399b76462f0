"""Whatever a host reports of an answer, wherever it puts it: what is booked fits the text that arrived."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift import AsyncClient
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.usage_reports import UsageReports
from deepthrift.errors import StreamInterrupted
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Ledger, Usage
from tests.sdk.raw_server import END, part, plain, raw_server, stream_head
from tests.support import doors
from tests.support.bill_server import BillServer, RawBody
from tests.support.doors import Door, ask, every_door, every_stream

PROMPT, SENT = "Why?", 6
WORDS, SAID = "word " * 400, 401
"""400 words, and their tokens in V3.1's vocabulary."""
HONEST: Mapping[str, Any] = {"prompt_tokens": SENT, "completion_tokens": SAID, "total_tokens": SENT + SAID}
ZERO: Mapping[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def message(door: Door, usage: object, **fields: object) -> bytes:
    """One answer with `usage`, in the form that fits the door."""
    said: dict[str, object] = {"role": "assistant", "content": WORDS, **fields}
    choice: dict[str, object] = {"index": 0, "finish_reason": "stop"}
    if "stream" not in door:
        return json.dumps({"choices": [{**choice, "message": said}], "usage": usage}).encode()
    return events({"choices": [{**choice, "delta": said}]}, {"choices": [], "usage": usage})


def events(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


DOUBTED: dict[str, tuple[object, tuple[int, int]]] = {
    "zeros": (ZERO, (SENT, SAID)),
    "ones": ({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}, (SENT, SAID)),
    "no completion": ({**HONEST, "completion_tokens": 0, "total_tokens": SENT}, (SENT, SAID)),
    "no prompt": ({**HONEST, "prompt_tokens": 0, "total_tokens": SAID}, (SENT, SAID)),
    "half a dozen": ({"prompt_tokens": SENT, "completion_tokens": 6}, (SENT, SAID)),
    "a total alone": ({"total_tokens": SENT + SAID}, (SENT, SAID)),
    "a total of zero": ({"total_tokens": 0}, (SENT, SAID)),
    "a total that is too small": ({**HONEST, "total_tokens": 3}, (SENT, SAID)),
    "more cached than sent": ({**HONEST, "prompt_tokens_details": {"cached_tokens": 99}}, (SENT, SAID)),
    "negative": ({"prompt_tokens": -1, "completion_tokens": -1}, (SENT, SAID)),
    "text": ({"prompt_tokens": "6", "completion_tokens": "401"}, (SENT, SAID)),
    "truth": ({"prompt_tokens": True, "completion_tokens": True}, (SENT, SAID)),
    "null": ({"prompt_tokens": None, "completion_tokens": None}, (SENT, SAID)),
    "halves": ({"prompt_tokens": 0.5, "completion_tokens": 0.5}, (SENT, SAID)),
    "beyond any model": ({"prompt_tokens": 10**8, "completion_tokens": 10**8}, (SENT, SAID)),
    "nothing": (None, (SENT, SAID)),
    "no object": ([], (SENT, SAID)),
    "a word": ("free", (SENT, SAID)),
}


@every_door
@pytest.mark.parametrize("name", DOUBTED)
async def test_what_cannot_be_true_is_counted_here(door: Door, name: str) -> None:
    usage, counts = DOUBTED[name]
    with Ledger.open() as ledger:
        async with BillServer(RawBody(message(door, usage))) as server:
            reply = await ask(door, server, PROMPT, max_tokens=500, client={"ledger": ledger})
        [attempt] = ledger.attempts()
    assert reply.text == WORDS
    assert attempt.usage is not None
    assert (attempt.usage.prompt_tokens, attempt.usage.completion_tokens) == counts
    assert attempt.usage.cache_hit_tokens == 0
    assert (reply.usage.certainty, reply.cost.certainty) == ("estimated", "estimated")
    assert reply.usage.notes
    assert any("estimated" in warning for warning in reply.warnings)


@every_door
async def test_what_can_be_true_stays_exact(door: Door) -> None:
    for usage in (HONEST, {**HONEST, "completion_tokens": 1500, "total_tokens": SENT + 1500}):
        async with BillServer(RawBody(message(door, usage))) as server:
            reply = await ask(door, server, PROMPT, max_tokens=1500)
        assert (reply.cost.certainty, reply.usage.completion_tokens) == ("exact", usage["completion_tokens"])
        assert not reply.warnings


@every_door
@pytest.mark.parametrize(
    "fields",
    [
        {"content": None, "reasoning_content": WORDS},
        {"content": "", "tool_calls": [{"index": 0, "id": "a", "function": {"name": "say", "arguments": "[1,2,3]"}}]},
    ],
    ids=["reasoning", "tool call"],
)
async def test_reasoning_and_tool_calls_count_as_text_does(door: Door, fields: dict[str, Any]) -> None:
    usage = {"prompt_tokens": SENT, "completion_tokens": 0}
    async with BillServer(RawBody(message(door, usage, **fields))) as server:
        reply = await ask(door, server, PROMPT, mode="thinking", max_tokens=500)
    assert reply.usage.completion_tokens >= 8
    assert reply.cost.certainty == "estimated"


async def test_log_probabilities_count_the_tokens_that_came_with_them() -> None:
    token = {"token": "", "logprob": -0.1, "top_logprobs": []}
    choice = {"index": 0, "message": {"content": ""}, "finish_reason": "stop", "logprobs": {"content": [token] * 50}}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": SENT, "completion_tokens": 0}}).encode()
    async with BillServer(RawBody(body)) as server:
        reply = await ask("async", server, PROMPT, max_tokens=500, logprobs=True)
    assert (reply.usage.completion_tokens, reply.cost.certainty) == (50, "estimated")


async def test_arguments_that_a_server_writes_anew_are_not_held_against_it() -> None:
    """A parser that escapes every letter makes six characters of one, and did not generate them."""
    arguments = json.dumps({"text": "深度求索的模型很好用" * 10})
    call = {"id": "a", "function": {"name": "say", "arguments": arguments}}
    usage = {"prompt_tokens": SENT, "completion_tokens": 60}
    async with BillServer(RawBody(message("async", usage, content="", tool_calls=[call]))) as server:
        reply = await ask("async", server, PROMPT, max_tokens=500)
    assert (reply.usage.completion_tokens, reply.cost.certainty) == (60, "exact")


def chunk(text: str = "", usage: object = None, **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}}], "usage": usage, **fields}


LAST: dict[str, object] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
STREAMS: dict[str, tuple[list[dict[str, object]], str]] = {
    "zeros, then the truth": ([chunk(WORDS, ZERO), {**LAST, "usage": HONEST}], "exact"),
    "the truth, then zeros": ([chunk(WORDS, HONEST), {**LAST, "usage": ZERO}], "estimated"),
    "in the first chunk alone": ([chunk("", {**HONEST, "completion_tokens": 0}), chunk(WORDS), LAST], "estimated"),
    "growing": ([chunk("word ", {**HONEST, "completion_tokens": 1}), chunk(WORDS[5:], HONEST), LAST], "exact"),
    "one for each chunk": (
        [chunk("word ", {"prompt_tokens": SENT, "completion_tokens": 1}) for _ in range(400)] + [LAST],
        "estimated",
    ),
    "the prompt first, the answer last": (
        [chunk(WORDS, {"prompt_tokens": SENT}), {**LAST, "usage": {"completion_tokens": SAID}}],
        "exact",
    ),
    "on the last choice": ([chunk(WORDS), {**LAST, "usage": HONEST}], "exact"),
    "in the choice": (
        [chunk(WORDS), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": HONEST}]}],
        "exact",
    ),
    "in x_groq": ([chunk(WORDS), {**LAST, "x_groq": {"id": "r", "usage": HONEST}}], "exact"),
    "Ollama's counters": ([chunk(WORDS), {**LAST, "prompt_eval_count": SENT, "eval_count": SAID}], "exact"),
    "llama.cpp's counters": ([chunk(WORDS), {**LAST, "tokens_evaluated": SENT, "tokens_predicted": SAID}], "exact"),
    "odd things in those places": (
        [chunk(WORDS, x_groq=7), {**LAST, "x_groq": {"usage": 3}, "prompt_eval_count": "x", "eval_count": []}],
        "estimated",
    ),
}


@every_stream
@pytest.mark.parametrize("name", STREAMS)
async def test_wherever_and_whenever_a_stream_reports_its_usage(door: Door, name: str) -> None:
    chunks, certainty = STREAMS[name]
    async with BillServer(RawBody(events(*chunks))) as server:
        reply = await ask(door, server, PROMPT, max_tokens=500)
    assert reply.text == WORDS
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (SENT, SAID)
    assert reply.cost.certainty == certainty


async def test_a_stream_that_breaks_is_booked_as_far_as_it_came_whatever_it_claims() -> None:
    body = f"data: {json.dumps(chunk(WORDS, ZERO))}\n\n".encode()
    with Ledger.open() as ledger:
        async with raw_server([stream_head(), part(body), END]) as server:
            with pytest.raises(StreamInterrupted):
                await ask("async stream", server.url, PROMPT, max_tokens=500, client={"ledger": ledger})
        [attempt] = ledger.attempts()
    assert attempt.usage is not None
    assert (attempt.usage.prompt_tokens, attempt.usage.completion_tokens) == (SENT, SAID)
    assert attempt.cost.certainty == "estimated"


@pytest.mark.parametrize(
    ("usage", "exact"),
    [
        ({"prompt_tokens": 300, "completion_tokens": 310}, True),  # another vocabulary
        ({"prompt_tokens": 110, "completion_tokens": 110}, True),
        ({"prompt_tokens": 20, "completion_tokens": 310}, False),
        ({"prompt_tokens": 300, "completion_tokens": 20}, False),
        ({"prompt_tokens": 0, "completion_tokens": 310}, False),
    ],
)
async def test_where_the_tokenizer_is_unknown_the_bounds_are_wider(usage: dict[str, int], exact: bool) -> None:
    client = {"host": "openai", "model": "another-model"}
    async with BillServer(RawBody(message("async", usage))) as server:
        reply = await ask("async", server, WORDS, max_tokens=500, client=client)
    assert (reply.cost.certainty == "exact") is exact
    assert reply.usage.prompt_tokens >= max(usage["prompt_tokens"], 100)
    assert reply.usage.completion_tokens >= max(usage["completion_tokens"], 100)


async def test_tools_that_a_template_leaves_out_are_not_held_against_the_host() -> None:
    tool = {"type": "function", "function": {"name": "say", "description": WORDS, "parameters": {"type": "object"}}}
    for claim, certainty in ((7, "exact"), (500, "exact"), (0, "estimated")):
        usage = {"prompt_tokens": claim, "completion_tokens": SAID}
        async with BillServer(RawBody(message("async", usage))) as server:
            reply = await ask("async", server, PROMPT, max_tokens=500, tools=[tool])
        assert reply.cost.certainty == certainty
    assert reply.usage.prompt_tokens > 400


@pytest.mark.parametrize(
    ("usage", "certainty"),
    [
        ({"prompt_tokens": 802, "total_tokens": 802}, "exact"),
        ({"prompt_tokens": 0, "total_tokens": 0}, "estimated"),
        ({"prompt_tokens": 3, "total_tokens": 3}, "estimated"),
        (None, "estimated"),
    ],
)
async def test_embeddings_are_checked_as_well(usage: object, certainty: str) -> None:
    answer = {"data": [{"index": place, "embedding": [0.5, 0.5]} for place in range(2)], "usage": usage}
    profile = HostProfile.parse('name = "mine"\nembeddings = true')
    with Ledger.open() as ledger:
        async with (
            raw_server([plain(json.dumps(answer).encode())]) as server,
            AsyncClient(**doors.settings(server.url, host=profile, ledger=ledger, prices=doors.prices())) as client,
        ):
            found = await client.embed([WORDS, WORDS])
        [attempt] = ledger.attempts()
    assert (found.cost.certainty, attempt.cost) == (certainty, found.cost)
    assert found.usage.prompt_tokens >= 802
    assert bool(found.warnings) is (certainty == "estimated")


def reported(reports: Sequence[Mapping[str, Any]]) -> Usage | None:
    gathered = UsageReports()
    for each in reports:
        gathered.add(each)
    return gathered.parse()


grown = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6)


@given(grown)
def test_reports_that_grow_are_the_last_one_and_any_order_is_never_below_the_largest(
    steps: list[tuple[int, int]],
) -> None:
    reports = [{"prompt_tokens": sent, "completion_tokens": said, "total_tokens": sent + said} for sent, said in steps]
    usage = reported(reports)
    assert usage is not None
    assert usage.prompt_tokens == max(sent for sent, _ in steps)
    assert usage.completion_tokens == max(said for _, said in steps)
    shrinks = any(later[side] < before[side] for before, later in pairwise(steps) for side in (0, 1))
    if not shrinks:
        assert usage == reported(reports[-1:])
    else:
        assert usage.certainty == "estimated"


numbers = st.integers(-5, 600) | st.sampled_from([10**9, 10**25, 1.5, "7", True, None, []])
claims = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "input_tokens"]),
    numbers,
    max_size=5,
)
TEXTS = st.text(st.sampled_from("abc de.,1你好\n"), max_size=300) | st.just(WORDS)


@settings(deadline=None, max_examples=150)
@given(text=TEXTS, usage=claims, model=st.sampled_from(["deepseek-ai/DeepSeek-V3.1", "another-model"]))
def test_no_claim_makes_text_cheaper_than_a_fair_bound(text: str, usage: dict[str, Any], model: str) -> None:
    from deepthrift._call.attempt.usage_claims import checked_usage, most_tokens, prompt_evidence
    from deepthrift._call.prepare.counting import count_and_ids
    from deepthrift_pricing.tokens import count_text

    profile, messages = HostProfile.named("vllm"), [{"role": "user", "content": PROMPT}]
    accumulator = Accumulator(profile, "standard")
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    accumulator.add(parse_chunk(json.dumps(body).encode()))
    accumulator.flush()
    prompt = count_and_ids(profile, model, messages, mode="standard", tools=None)[0]
    sent = prompt_evidence(profile, model, prompt, json.dumps({"messages": messages}).encode())
    answer, most = accumulator.answer(), most_tokens(profile, 500)
    booked = checked_usage(profile, model, prompt, sent, answer, accumulator, most)
    own = profile.counts_as_v31(model)
    counted, size = count_text(text), len(text.encode())
    bound = min((counted - 2) / (2 if own else 4), size / (5 if own else 8))
    assert booked.completion_tokens >= bound
    assert booked.completion_tokens >= (counted > 0)
    assert 1 <= booked.prompt_tokens <= 10 * profile.context
    assert booked.certainty != "unknown"
    total = usage.get("total_tokens")
    if isinstance(total, int) and not isinstance(total, bool) and 0 <= total <= 10**9 and booked.certainty == "exact":
        assert booked.total_tokens == total


def test_a_long_text_is_counted_without_reading_all_of_it() -> None:
    from deepthrift._call.prepare.counting import count_some
    from deepthrift_pricing.tokens import count_text

    text = "The quick brown fox jumps over 13 lazy dogs; 深度求索. " * 40_000
    assert count_some(text) == pytest.approx(count_text(text), rel=0.02)


async def test_cached_answers_stay_free(tmp_path: Any) -> None:
    from deepthrift.middleware import ResponseCache

    with ResponseCache(tmp_path / "cache.db") as cache, Ledger.open() as ledger:
        async with BillServer(RawBody(message("async", ZERO))) as server:
            options: dict[str, Any] = {"ledger": ledger, "middleware": [cache]}
            first = await ask("async", server, PROMPT, max_tokens=500, client=options)
            second = await ask("async", server, PROMPT, max_tokens=500, client=options)
            assert len(server.requests) == 1
        await asyncio.sleep(0)
    assert (first.cost.certainty, first.usage.completion_tokens) == ("estimated", SAID)
    assert second.cached
    assert second.cost.amount == 0
    assert second.cost.certainty == "exact"


async def test_every_sample_of_one_request_counts() -> None:
    choices = [{"index": place, "message": {"content": WORDS}, "finish_reason": "stop"} for place in range(3)]
    body = json.dumps({"choices": choices, "usage": {"prompt_tokens": SENT, "completion_tokens": SAID - 1}}).encode()
    async with (
        BillServer(RawBody(body)) as server,
        AsyncClient(**doors.settings(server, prices=doors.prices())) as client,
    ):
        found = await client.samples(PROMPT, n=3, max_tokens=500)
    assert found.usage.completion_tokens >= 3 * 400
    assert found.cost.certainty == "estimated"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_completion_of_plain_text_is_checked(streamed: bool) -> None:
    body = json.dumps({"choices": [{"index": 0, "text": WORDS, "finish_reason": "stop"}], "usage": ZERO}).encode()
    async with (
        raw_server([plain(body)]) as server,
        AsyncClient(**doors.settings(server.url, prices=doors.prices())) as client,
    ):
        if streamed:
            async with client.stream_complete(PROMPT, max_tokens=500) as stream:
                async for _ in stream:
                    pass
                reply = stream.reply
        else:
            reply = await client.complete(PROMPT, max_tokens=500)
    assert reply is not None
    assert (reply.usage.completion_tokens, reply.cost.certainty) == (SAID, "estimated")
    assert 2 <= reply.usage.prompt_tokens <= SENT


async def test_both_passes_of_two_pass_thinking_are_checked() -> None:
    profile = HostProfile.parse(
        'name = "two"\ntokenizer = "v3.1"\n[two_pass]\nthink = "Think: {question}"\nanswer = "{notes} {question}"'
    )
    async with BillServer(RawBody(message("async", ZERO))) as server:
        reply = await ask("async", server, PROMPT, mode="thinking", max_tokens=900, client={"host": profile})
        assert len(server.requests) == 2
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (2 * SAID, SAID)
    assert reply.cost.certainty == "estimated"


@every_stream
async def test_the_beginning_that_a_server_repeats_is_part_of_the_prompt(door: Door) -> None:
    """What was given as the start of the answer isn't counted as generated."""
    usage = {"prompt_tokens": 409, "completion_tokens": 1}
    async with BillServer(RawBody(message(door, usage, content=f"{WORDS}end"))) as server:
        reply = await ask(door, server, PROMPT, max_tokens=500, prefix=WORDS)
    assert reply.cost.certainty == "exact"
