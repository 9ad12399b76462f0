"""Predicted cache hits: what was sent is known to the unit, what a host keeps is learnt, and a miss is explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import PrefixTracker, Usage
from deepthrift_pricing._estimate.prefix import common_prefix
from tests.pricing.ledgers import Clock

WHERE = {"host": "deepseek", "model": "deepseek-chat"}
prompts = st.lists(st.integers(0, 3), max_size=40)


def send(tracker: PrefixTracker, tokens: Sequence[int], hits: int | None = None) -> None:
    usage = None if hits is None else Usage.of(len(tokens), 1, cache_hit=hits)
    tracker.observe(tokens, **WHERE, usage=usage)


@given(st.lists(prompts, max_size=12), prompts)
def test_known_tokens_are_the_longest_sent_prefix_in_whole_units(sent: list[list[int]], asked: list[int]) -> None:
    tracker = PrefixTracker(unit=4)
    for tokens in sent:
        send(tracker, tokens)
    longest = 0
    for tokens in sent:
        pairs = enumerate(zip(tokens, asked, strict=False))
        common = next((place for place, (a, b) in pairs if a != b), min(len(tokens), len(asked)))
        longest = max(longest, common // 4 * 4)
    told = tracker.predict(asked, **WHERE)
    assert told.known_tokens == longest
    assert told.likely_hits % 4 == 0
    assert 0 <= told.likely_hits <= told.known_tokens <= told.prompt_tokens == len(asked)


def test_nothing_is_known_of_another_host_or_model() -> None:
    tracker = PrefixTracker()
    send(tracker, range(1000))
    assert tracker.predict(range(1000), host="deepseek", model="other").known_tokens == 0
    assert tracker.predict(range(1000), host="vllm", model="deepseek-chat").known_tokens == 0
    assert tracker.predict(range(1000), **WHERE).known_tokens == 960
    tracker.forget()
    assert tracker.predict(range(1000), **WHERE).known_tokens == 0


def test_what_a_host_keeps_is_learnt_by_age() -> None:
    clock = Clock()
    good, bad = PrefixTracker(clock=clock), PrefixTracker(clock=clock)
    prompt = range(6400)
    for _ in range(20):
        send(good, prompt, 6400)
        send(bad, prompt, 0)
        clock.move(seconds=90)
    sure, unsure = good.predict(prompt, **WHERE), bad.predict(prompt, **WHERE)
    assert sure.known_tokens == unsure.known_tokens == 6400
    assert sure.held > 0.99
    assert unsure.held < 0.01
    assert sure.likely_hits >= 6300
    assert unsure.likely_hits == 0
    clock.move(days=2)
    assert good.predict(prompt, **WHERE).held < sure.held  # of so old a prefix nothing was learnt yet
    assert good.predict(prompt, **WHERE).known_tokens == 6400


def test_usage_that_is_no_fact_teaches_nothing() -> None:
    tracker = PrefixTracker()
    prompt = list(range(640))
    send(tracker, prompt)
    before = tracker.predict(prompt, **WHERE).held
    for usage in (None, Usage.of(640, 1, certainty="estimated")):
        for _ in range(50):
            tracker.observe(prompt, **WHERE, usage=usage)
    assert tracker.predict(prompt, **WHERE).held == before


def decode(tokens: Sequence[int]) -> str:
    return "".join(map(chr, tokens))


def encode(text: str) -> list[int]:
    return list(map(ord, text))


RULES = "You are a helpful assistant. Answer briefly and politely, and cite your sources. " * 20
QUESTION = "What is the capital of France?"


def test_a_timestamp_in_the_system_prompt_is_found() -> None:
    tracker = PrefixTracker()
    send(tracker, encode(f"It is 2026-11-20 12:01:07. {RULES}{QUESTION}"))
    told = tracker.predict(encode(f"It is 2026-11-20 12:03:44. {RULES}{QUESTION}"), **WHERE, decode=decode)
    assert told.known_tokens == 0
    assert told.changed_at == len("It is 2026-11-20 12:0")
    assert told.change == "a date or time"
    assert str(told).endswith("the prefix changed at token 21: a date or time")


def test_an_identifier_and_a_number_are_told_apart() -> None:
    for one, other, what in (
        (
            "session 3f2b8c1e-77aa-4c4b-9a0e-1d2c3b4a5f60",
            "session 9d1c2b3a-77aa-4c4b-9a0e-1d2c3b4a5f60",
            "an identifier",
        ),
        ("try 17", "try 18", "a number"),
        ("Dear Ann", "Dear Bob", ""),
    ):
        tracker = PrefixTracker()
        send(tracker, encode(f"{RULES}{one} {RULES}"))
        told = tracker.predict(encode(f"{RULES}{other} {RULES}"), **WHERE, decode=decode)
        assert told.changed_at is not None
        assert told.changed_at >= len(RULES)
        assert told.change == what


def test_another_question_after_the_same_rules_is_a_change_without_a_culprit() -> None:
    tracker = PrefixTracker()
    send(tracker, encode(RULES + "How many days has 2024?"))
    told = tracker.predict(
        encode(RULES + "When was 12:30 noon in Rome, and why did nobody care?"), **WHERE, decode=decode
    )
    assert told.known_tokens == len(RULES) // 64 * 64
    assert told.changed_at == len(RULES)
    assert told.change == ""


def test_a_continued_conversation_changes_nothing_and_a_stranger_is_no_change() -> None:
    tracker = PrefixTracker()
    send(tracker, encode(RULES + QUESTION))
    told = tracker.predict(encode(RULES + QUESTION + "Paris." + QUESTION), **WHERE, decode=decode)
    assert told.changed_at is None
    assert "changed" not in str(told)
    stranger = tracker.predict(encode("Xyz. " * 400), **WHERE, decode=decode)
    assert stranger.changed_at is None
    assert "nothing like it was sent before" in str(stranger)


def test_a_prompt_shorter_than_a_unit_is_never_cached() -> None:
    tracker = PrefixTracker()
    send(tracker, range(63))
    told = tracker.predict(range(63), **WHERE)
    assert (told.known_tokens, told.likely_hits, told.unit) == (0, 0, 64)
    assert str(told) == "a prompt of fewer than 64 tokens is never cached"


def test_memory_is_bounded_and_the_beginning_is_forgotten_last() -> None:
    clock = Clock()
    tracker = PrefixTracker(remember=100, clock=clock)
    send(tracker, range(64 * 80))
    clock.move(seconds=1)
    send(tracker, range(10_000, 10_000 + 64 * 60))
    assert tracker.predict(range(64 * 80), **WHERE).known_tokens == 64 * 40
    assert len(tracker._units) == 100
    for number in range(50):
        send(tracker, [number] * 10)
    assert len(tracker._prompts[WHERE["host"], WHERE["model"]]) <= 16


def test_prompts_cannot_be_read_back() -> None:
    one, other = PrefixTracker(), PrefixTracker()
    for tracker in (one, other):
        send(tracker, range(640))
    assert not one._units.keys() & other._units.keys()
    assert timedelta(0) <= max(one._units.values()) - min(one._units.values())


@given(st.lists(st.integers(0, 129_279), min_size=1, max_size=400))
def test_what_is_kept_is_no_token_ids(tokens: list[int]) -> None:
    """A trace says how long a prompt is, and the rest of it differs in every tracker."""
    one, other = PrefixTracker(), PrefixTracker()
    traces = [tracker.trace(tokens, **WHERE) for tracker in (one, other, one)]
    assert traces[0] == traces[2]
    assert {len(trace.marks) for trace in traces} == {len(tokens)} == {traces[0].tokens}
    assert not set(traces[0].units) & set(traces[1].units)
    if len(set(tokens)) > 30:
        assert traces[0].marks != traces[1].marks
    one.note(traces[0], None)
    assert one.predict(tokens, **WHERE).known_tokens == len(tokens) // 64 * 64


def test_ids_beyond_the_vocabulary_are_taken_too() -> None:
    tracker = PrefixTracker()
    send(tracker, range(200_000, 201_000))
    assert tracker.predict(range(200_000, 201_000), **WHERE).known_tokens == 960


@given(st.binary(max_size=300), st.binary(max_size=20), st.binary(max_size=20))
def test_the_common_prefix_is_found_by_halves(shared: bytes, one: bytes, other: bytes) -> None:
    common = common_prefix(shared + one, shared + other)
    assert (shared + one)[:common] == (shared + other)[:common]
    assert (shared + one)[common : common + 1] != (shared + other)[common : common + 1] or common == min(
        len(shared + one), len(shared + other)
    )
