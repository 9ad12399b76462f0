"""A claim that fits what was counted stays as it is; one that cannot be true never makes an exact cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Usage
from deepthrift_pricing._values.usage_claims import OTHER_FACTOR, OWN_FACTOR, SLACK, Evidence, check_claim, fewest

counts = st.integers(0, 5_000)
CONTEXT = 131_072


def evidence(counted: int, *, own: bool, size: int | None = None) -> Evidence:
    return Evidence(lambda: counted, lambda: counted, size=size, own_tokenizer=own, most=10 * CONTEXT)


@given(sent=st.integers(1, 5_000), generated=counts, own=st.booleans(), more=st.integers(0, CONTEXT))
def test_an_honest_claim_stays_as_it_is(sent: int, generated: int, own: bool, more: int) -> None:
    """Also where the host counts more than the client: it may add to the prompt, and hide reasoning."""
    usage = Usage.of(sent + more, generated + more, cache_hit=sent // 2, reasoning=generated // 2)
    checked = check_claim(usage, prompt=evidence(sent, own=own), completion=evidence(generated, own=own))
    assert checked is usage


@given(prompt=counts, completion=counts, sent=st.integers(1, 5_000), generated=counts, own=st.booleans())
def test_what_is_booked_is_never_below_a_fair_bound(
    prompt: int, completion: int, sent: int, generated: int, own: bool
) -> None:
    usage = Usage.of(prompt, completion, cache_hit=prompt)
    checked = check_claim(usage, prompt=evidence(sent, own=own), completion=evidence(generated, own=own))
    factor = OWN_FACTOR if own else OTHER_FACTOR
    for claim, counted, booked in (
        (prompt, sent, checked.prompt_tokens),
        (completion, generated, checked.completion_tokens),
    ):
        assert booked >= claim
        assert booked * factor + SLACK >= counted
        assert booked > 0 or counted == 0
        assert booked in (claim, counted)
    assert (checked.certainty == "exact") == (checked is usage)
    if checked is not usage:
        assert checked.notes
    if checked.prompt_tokens != prompt:
        assert checked.cache_hit_tokens == 0  # who is wrong about the prompt is not believed about the cache


@given(claim=st.integers(10 * CONTEXT + 1, 10**9), counted=counts)
def test_more_than_a_model_can_take_is_no_count(claim: int, counted: int) -> None:
    checked = check_claim(
        Usage.of(claim, claim), prompt=evidence(counted, own=True), completion=evidence(counted, own=True)
    )
    assert (checked.prompt_tokens, checked.completion_tokens) == (counted, counted)
    assert checked.certainty == "estimated"


def test_nothing_is_counted_where_the_size_of_the_text_is_enough() -> None:
    def never() -> int:
        raise AssertionError("counted")

    usage = Usage.of(100, 100)
    near = Evidence(never, never, size=500, most=10 * CONTEXT)
    assert check_claim(usage, prompt=near, completion=near) is usage


def test_the_fewest_tokens_that_are_believed() -> None:
    assert [fewest(counted, own_tokenizer=True) for counted in (0, 1, 3, 4, 5, 6, 400)] == [0, 1, 1, 1, 2, 2, 199]
    assert [fewest(counted, own_tokenizer=False) for counted in (0, 1, 6, 7, 400)] == [0, 1, 1, 2, 100]
