"""How many tokens a request may generate, and whether it has to say so."""

from __future__ import annotations

from dataclasses import dataclass

from deepthrift._types.options import Options
from deepthrift.hosts import HostProfile


@dataclass(frozen=True, slots=True)
class Limits:
    """Completion tokens of one request."""

    max_tokens: int
    """The most that may be billed."""
    send: bool
    """Whether the request names it; otherwise it is what the host does when told nothing."""
    exceeded: str = ""
    """Why the request does not fit the context, if it does not."""


def first_limits(profile: HostProfile, options: Options, prompt_tokens: int, *, notes: bool) -> Limits:
    """The limits of a call's only request, or of the first of two."""
    if notes and profile.two_pass is not None:
        budget = profile.two_pass.budget if options.reasoning_budget is None else max(1, options.reasoning_budget)
        wanted = budget if options.max_tokens is None else max(1, min(budget, options.max_tokens // 2))
        return _fitted(profile, prompt_tokens, wanted, send=True)
    return _limits(profile, options, prompt_tokens, options.max_tokens)


def second_limits(profile: HostProfile, options: Options, prompt_tokens: int, used: int) -> Limits:
    """The limits of the second of two requests, of which the first generated `used` tokens."""
    wanted = None if options.max_tokens is None else max(1, options.max_tokens - used)
    return _limits(profile, options, prompt_tokens, wanted)


def _limits(profile: HostProfile, options: Options, prompt_tokens: int, wanted: int | None) -> Limits:
    rules = profile.rules(options.mode)
    room = profile.context - prompt_tokens
    if wanted is not None:
        if rules.max_tokens_limit is not None:
            wanted = min(wanted, rules.max_tokens_limit)
        return _fitted(profile, prompt_tokens, wanted, send=True)
    default = rules.max_tokens_default
    most = room if default is None else min(default, room)
    if rules.max_tokens_limit is not None:
        most = min(most, rules.max_tokens_limit)
    return _fitted(profile, prompt_tokens, max(1, most), send=rules.send_default)


def _fitted(profile: HostProfile, prompt_tokens: int, max_tokens: int, *, send: bool) -> Limits:
    exceeded = ""
    if prompt_tokens >= profile.context:
        exceeded = (
            f"the prompt has {prompt_tokens:,} tokens, and the context of {profile.name!r} holds {profile.context:,}"
        )
    elif prompt_tokens + max_tokens > profile.context:
        exceeded = (
            f"the prompt has {prompt_tokens:,} tokens, which with max_tokens={max_tokens:,} is more than the context "
            f"of {profile.name!r} holds, {profile.context:,}"
        )
    return Limits(max_tokens, send, exceeded)
