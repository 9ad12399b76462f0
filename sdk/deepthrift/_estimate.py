"""What a call will cost, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepthrift._completion import estimate_completion
from deepthrift._counting import count_and_ids
from deepthrift._expected_length import ExpectedLength, told_length
from deepthrift._further_options import CompletionOptions
from deepthrift._limits import Limits, first_limits, second_limits
from deepthrift._options import Options
from deepthrift._wire.conversation import question_of, wire_messages, with_question
from deepthrift._wire.request import settled
from deepthrift.errors import ContextLengthExceeded, InvalidRequestError, PriceNotFound
from deepthrift.hosts import HostProfile
from deepthrift_pricing import (
    Currency,
    Estimate,
    Ledger,
    PrefixPrediction,
    PrefixTracker,
    PriceBook,
    Usage,
    estimate_cost,
)

if TYPE_CHECKING:
    from deepthrift._endpoints import Upstream

_NOTES_MARGIN = 64
"""Tokens by which notes may grow when they become part of a prompt."""


def estimate_call(
    profile: HostProfile,
    model: str,
    prices: PriceBook,
    currency: Currency,
    ledger: Ledger,
    prefixes: PrefixTracker | None,
    options: Options,
    expected_length: ExpectedLength | None = None,
) -> Estimate:
    """The estimate of a call; with two passes, of both together. Without `prefixes`, the cache is left out of it.

    Raises:
        InvalidRequestError: The request is wrong.
        PriceNotFound: It has no price.
    """
    if isinstance(options, CompletionOptions):
        return estimate_completion(profile, model, prices, currency, ledger, options, expected_length)
    options, _ = settled(options, profile)
    messages = wire_messages(options.messages, profile, mode=options.mode, tools=bool(options.tools))
    name = profile.model_for(options.mode, model)
    length = told_length(expected_length, options.messages, options.mode)
    history: Sequence[Usage] = ()
    if length is None:
        history = ledger.completion_history(host=profile.name, model=name, mode=options.mode)
    two_pass = profile.two_pass if options.mode == "thinking" else None
    question = question_of(messages)

    def one(asked: str | None, notes: bool, extra: int, length: int | None) -> Estimate:
        sent = messages if asked is None else with_question(messages, asked)
        prompt, ids = count_and_ids(profile, name, sent, mode=options.mode, tools=options.tools)
        limits = _limits(profile, options, prompt.tokens + extra, first=notes or two_pass is None, notes=notes)
        if limits.exceeded and prompt.exact:
            raise ContextLengthExceeded(f"{limits.exceeded}; shorten the conversation, or lower max_tokens")
        return estimate_cost(
            prices,
            host=profile.name,
            model=name,
            mode=options.mode,
            prompt_tokens=prompt.tokens + extra,
            max_tokens=limits.max_tokens,
            prompt_certainty=prompt.certainty,
            history=history,
            completion_tokens=length,
            prefix=None if ids is None or prefixes is None else _predicted(prefixes, ids, profile, name),
            currency=currency,
        )

    if two_pass is None:
        return one(None, False, 0, length)
    half = None if length is None else (length + 1) // 2
    rest = None if length is None else length // 2
    first = one(two_pass.thinking_prompt(question), True, 0, half)
    second = one(two_pass.answer_prompt(question, ""), False, first.max_tokens + _NOTES_MARGIN, rest)
    lengths = (first.likely_completion_tokens, second.likely_completion_tokens)
    return second.model_copy(
        update={
            "prompt_tokens": first.prompt_tokens + second.prompt_tokens,
            "max_tokens": first.max_tokens + second.max_tokens,
            "least": first.least + second.least,
            "worst": first.worst + second.worst,
            "likely": None if first.likely is None or second.likely is None else first.likely + second.likely,
            "likely_completion_tokens": None if None in lengths else sum(each or 0 for each in lengths),
            "likely_cache_hit_tokens": first.likely_cache_hit_tokens + second.likely_cache_hit_tokens,
            "prefix": None,
        }
    )


def estimate_over(
    upstreams: Sequence[Upstream],
    ledger: Ledger,
    prefixes: PrefixTracker | None,
    options: Options,
    expected_length: ExpectedLength | None = None,
) -> Estimate:
    """The estimate of a call that may go to any of `upstreams`: that of the first which can do it, its least and worst
    cost those of all.

    Raises:
        InvalidRequestError: The request is wrong, or none of them can do it.
        PriceNotFound: It has no price.
    """
    found: list[Estimate] = []
    failure: InvalidRequestError | PriceNotFound | None = None
    for each in upstreams:
        to = each.connection
        try:
            found.append(
                estimate_call(
                    to.profile,
                    to.model,
                    each.prices,
                    each.currency,
                    ledger,
                    prefixes,
                    options,
                    expected_length,
                )
            )
        except (InvalidRequestError, PriceNotFound) as error:
            failure = failure or error
    if not found:
        raise failure or InvalidRequestError("there is no endpoint")
    if len(found) == 1:
        return found[0]
    least = min((each.least for each in found), key=lambda money: money.pico)
    worst = max((each.worst for each in found), key=lambda money: money.pico)
    return found[0].model_copy(update={"least": least, "worst": worst})


def _predicted(prefixes: PrefixTracker, ids: Sequence[int], profile: HostProfile, model: str) -> PrefixPrediction:
    from deepthrift_pricing.tokens import decode

    return prefixes.predict(ids, host=profile.name, model=model, decode=decode)


def _limits(profile: HostProfile, options: Options, prompt_tokens: int, *, first: bool, notes: bool) -> Limits:
    if first:
        return first_limits(profile, options, prompt_tokens, notes=notes)
    return second_limits(profile, options, prompt_tokens, 0)
