"""What a call will cost, before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from deepthrift._call.prepare.completion import estimate_completion
from deepthrift._call.prepare.limits import first_limits, second_limits
from deepthrift._call.prepare.prepared import prepared
from deepthrift._call.prepare.tool_bounds import with_results
from deepthrift._types.errors import ContextLengthExceeded, InvalidRequestError, PriceNotFound
from deepthrift._types.expected_length import ExpectedLength, told_length
from deepthrift._types.further_options import CompletionOptions
from deepthrift._types.options import Options
from deepthrift._wire.request.efforts import effort_name
from deepthrift._wire.request.request import settled
from deepthrift._wire.request.server_tools import request_bounds
from deepthrift._wire.request.service_tiers import STANDARD, tier_of
from deepthrift.hosts import HostProfile
from deepthrift_pricing import (
    Certainty,
    Currency,
    Estimate,
    Ledger,
    Money,
    PrefixPrediction,
    PrefixTracker,
    PriceBook,
    Usage,
    estimate_cost,
)

if TYPE_CHECKING:
    from deepthrift._call.endpoints.target import Target

T = TypeVar("T")
_NO_FIELDS: Final[Mapping[str, object]] = {}
_NOTES_MARGIN: Final = 64
"""Tokens by which notes may grow when they become part of a prompt."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a call can come to, all its passes together."""

    prompt_tokens: int
    max_tokens: int
    worst: Money


@dataclass(frozen=True, slots=True)
class _Pass:
    """One request of a call."""

    prompt_tokens: int
    certainty: Certainty
    ids: list[int] | None
    max_tokens: int


def estimate_call(
    profile: HostProfile,
    model: str,
    prices: PriceBook,
    currency: Currency,
    ledger: Ledger,
    prefixes: PrefixTracker | None,
    options: Options,
    expected_length: ExpectedLength | None = None,
    extra_body: Mapping[str, object] = _NO_FIELDS,
) -> Estimate:
    """The estimate of a call; with two passes, of both together. Without `prefixes`, the cache is left out of it.

    Raises:
        InvalidRequestError: The request is wrong.
        PriceNotFound: It has no price.
    """
    if isinstance(options, CompletionOptions):
        return estimate_completion(profile, model, prices, currency, ledger, options, expected_length)
    options, name, passes = _passes(profile, model, options)
    length = told_length(expected_length, options.messages, options.mode)
    history: Sequence[Usage] = ()
    if length is None:
        effort = effort_name(options)
        history = ledger.completion_history(host=profile.name, model=name, mode=options.mode, effort=effort)

    def one(each: _Pass, length: int | None) -> Estimate:
        ids = each.ids
        return estimate_cost(
            prices,
            host=profile.name,
            model=name,
            mode=options.mode,
            prompt_tokens=each.prompt_tokens,
            max_tokens=each.max_tokens,
            prompt_certainty=each.certainty,
            history=history,
            completion_tokens=length,
            prefix=None if ids is None or prefixes is None else _predicted(prefixes, ids, profile, name),
            currency=currency,
            tier=tier_of(options, profile, extra_body) or STANDARD,
            requests=request_bounds(options.tools, profile),
        )

    if len(passes) == 1:
        return one(passes[0], length)
    first = one(passes[0], None if length is None else (length + 1) // 2)
    second = one(passes[1], None if length is None else length // 2)
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
    targets: Sequence[Target],
    ledger: Ledger,
    prefixes: PrefixTracker | None,
    options: Options,
    expected_length: ExpectedLength | None = None,
) -> Estimate:
    """The estimate of a call that may go to any of `targets`: that of the first which can do it, its least and worst
    cost those of all.

    Raises:
        InvalidRequestError: The request is wrong, or none of them can do it.
        PriceNotFound: It has no price.
    """

    def one(each: Target) -> Estimate:
        return estimate_call(
            each.profile,
            each.model,
            each.prices,
            each.currency,
            ledger,
            prefixes,
            options,
            expected_length,
            each.settings.extra_body,
        )

    found = _possible(targets, one)
    if len(found) == 1:
        return found[0]
    least = min((each.least for each in found), key=lambda money: money.pico)
    worst = max((each.worst for each in found), key=lambda money: money.pico)
    return found[0].model_copy(update={"least": least, "worst": worst})


def bound_over(targets: Sequence[Target], options: Options) -> Bound:
    """The bound alone of what `estimate_over` tells: neither the ledger nor the cache is looked into.

    Raises:
        InvalidRequestError: The request is wrong, or none of them can do it.
        PriceNotFound: It has no price.
    """
    found = _possible(targets, lambda each: _bound(each, options))
    if len(found) == 1:
        return found[0]
    return replace(found[0], worst=max((each.worst for each in found), key=lambda money: money.pico))


def _bound(target: Target, given: Options) -> Bound:
    profile = target.profile
    options, name, passes = _passes(profile, target.model, given)
    worst = Money.zero(target.currency)
    for each in passes:
        worst += target.prices.worst(
            host=profile.name,
            model=name,
            mode=options.mode,
            prompt_tokens=each.prompt_tokens,
            max_tokens=each.max_tokens,
            currency=target.currency,
            tier=tier_of(options, profile, target.settings.extra_body) or STANDARD,
            requests=request_bounds(options.tools, profile),
        )
    return Bound(sum(each.prompt_tokens for each in passes), sum(each.max_tokens for each in passes), worst)


def _possible(targets: Sequence[Target], one: Callable[[Target], T]) -> list[T]:
    """What `one` says of each that can do the call, at least of one."""
    found: list[T] = []
    failure: InvalidRequestError | PriceNotFound | None = None
    for each in targets:
        try:
            found.append(one(each))
        except (InvalidRequestError, PriceNotFound) as error:
            failure = failure or error
    if not found:
        raise failure or InvalidRequestError("there is no endpoint")
    return found


def _passes(profile: HostProfile, model: str, given: Options) -> tuple[Options, str, Sequence[_Pass]]:
    """The options as they are sent, the model's name there, and the requests of the call."""
    options, _ = settled(given, profile, model)
    ready = prepared(profile, model, options)

    def one(notes: str | None, extra: int) -> _Pass:
        prompt, ids = ready.count(notes)
        tokens = prompt.tokens + extra
        if notes is None:
            limits = first_limits(profile, options, tokens, notes=ready.two_pass is not None)
        else:
            limits = second_limits(profile, options, tokens, 0)
        if limits.exceeded and prompt.exact:
            raise ContextLengthExceeded(f"{limits.exceeded}; shorten the conversation, or lower max_tokens")
        counted = with_results(prompt, options.tools, profile)
        return _Pass(counted.tokens + extra, counted.certainty, ids, limits.max_tokens)

    first = one(None, 0)
    if ready.two_pass is None:
        return options, ready.model, (first,)
    return options, ready.model, (first, one("", first.max_tokens + _NOTES_MARGIN))


def _predicted(prefixes: PrefixTracker, ids: Sequence[int], profile: HostProfile, model: str) -> PrefixPrediction:
    from deepthrift_pricing.tokens import decode

    return prefixes.predict(ids, host=profile.name, model=model, decode=decode)
