"""The keyword arguments of a router."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypedDict, TypeVar

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError
from deepthrift_router._belief.prior import Scorer
from deepthrift_router._decide.ladder import Tier
from deepthrift_router._decide.preferences import Amount, Preferences
from deepthrift_router._evidence.own_checks import DEFAULT_SECONDS, Check, own_checks_of
from deepthrift_router._evidence.sandbox import Sandbox
from deepthrift_router._evidence.validators import Validator
from deepthrift_router._evidence.watch import PartialValidator
from deepthrift_router._learn.audits import Grader
from deepthrift_router._learn.setting import Setting, SettingsFolder
from deepthrift_router._learn.store import RouterStore
from deepthrift_router._record.decision import RoutePolicy

C = TypeVar("C", bound=AsyncClient | Client)


class RouterSettings(TypedDict, Generic[C], total=False):
    """The keyword arguments of `ModeRouter`."""

    policy: RoutePolicy | None
    """`"auto"` (the default) takes the plan of the highest expected utility. `"cascade"` always verifies a standard
    answer by a second sample and escalates when they differ. The others call that mode or model only."""
    value_of_right_answer: Amount | None
    """What a right answer is worth to you, in the prices' currency. Default: ten times what thinking is expected to
    cost, so that it pays from a gain of one in ten."""
    max_cost: Amount | None
    """The most that one answer may cost, all its calls together at their worst case."""
    preferences: Preferences | None
    """These and all others, such as `Preferences(target_share=0.2)`."""
    by_tag: Mapping[str, Preferences] | None
    """Preferences for calls that carry a tag: `{"team=search": Preferences(policy="standard")}`."""
    max_samples: int
    """The most standard answers to one question, 1 to 3, the first included. Default: 3. A further one is bought only
    if it can change what is done by more than it costs."""
    validators: Sequence[Validator]
    """Your own checks of an answer: `True`, or `False` or a reason. A refused answer is escalated."""
    partial_validators: Sequence[PartialValidator]
    """The same for the text of a streamed standard answer so far: a refused one is cut and escalated."""
    checks: Sequence[str | Check]
    """Checks that take a call, by name: `"program"` answers the question by a program that is run in a sandbox,
    `"self_check"` is the model's own verdict, `"margin"` scores the candidate answers. `auto` buys one where it has
    data and pays; `cascade` buys all. And objects of your own, which look at every standard answer; see `Check`."""
    check_seconds: float
    """The most seconds that your own checks of an answer may take; a later result is no evidence. Default: 30."""
    cross_check: C | Sequence[C] | None
    """A client of another endpoint, or two, whose answers to the same question are one more check."""
    tiers: Sequence[str | Tier[C]] | None
    """The ladder, the cheapest tier first: two to six of `"standard"`, `"thinking"`, `"thinking:low"` (a level of the
    host), `"thinking:2048"` (the most tokens of thinking), each with `@MODEL` for another model of the endpoint, and
    `Tier(client, mode, effort=…, model=…)`. Default: the host's own ladder, or standard and thinking mode."""
    specialist: C | None
    """Short for a further tier that thinks on another endpoint, such as R1's, and is taken to be as good as thinking:
    the cheaper one of both is called. It excludes `tiers`."""
    scorer: Scorer | None
    """Scores a question before the first call, instead of the shipped prior."""
    settings: Setting | SettingsFolder | Path | str | None
    """What `calibrate` wrote: a `Setting`, its file, or its folder, whose current version is in force."""
    shadow: Setting | SettingsFolder | Path | str | None
    """Another setting. What it would have done is part of each decision and of the store, and changes nothing."""
    store: RouterStore | Path | str | None
    """Where answers are remembered, without any text: a file, or a `RouterStore`. Default: in memory."""
    audit_rate: float
    """Share of answers, 0 to 1, for which the other mode is called afterwards, in the background and inside the
    budgets. Default: 0."""
    grader: Grader | None
    """Says whether a reply is right; used on the answers that have both modes' replies."""
    on_drift: Callable[[str], object] | None
    """Called with a sentence when the traffic or the quality has changed beyond chance; checked every 50 answers, in
    the background, and called once for each thing that changed."""
    sandbox: Sandbox | None
    """The limits of code that checks run. `Sandbox(required=False)` runs it unprotected where it can't be isolated;
    otherwise such a check is left out, and `Decision.missing` says why."""


def others_in(settings: RouterSettings[C]) -> Sequence[C]:
    """The clients whose answers are a cross-check."""
    others = settings.get("cross_check")
    return others if isinstance(others, Sequence) else [] if others is None else [others]


def own_checks_in(settings: RouterSettings[C]) -> tuple[tuple[Check, ...], float]:
    """The user's own checks, and the most seconds that they may take.

    Raises:
        ConfigurationError: One of the checks is none, or the seconds aren't above 0.
    """
    seconds = settings.get("check_seconds", DEFAULT_SECONDS)
    if not seconds > 0:
        raise ConfigurationError(f"check_seconds is above 0, not {seconds!r}")
    return own_checks_of(settings.get("checks", ())), seconds


def checked(settings: RouterSettings[C]) -> tuple[Preferences, int, float]:
    """The preferences of every answer, the most samples, and the share of answers that are audited.

    Raises:
        ConfigurationError: One of them is wrong.
    """
    unknown = set(settings) - set(RouterSettings.__annotations__)
    if unknown:
        raise TypeError(f"{min(unknown)!r} is not a setting of a router")
    own = Preferences(
        policy=settings.get("policy"),
        value_of_right_answer=settings.get("value_of_right_answer"),
        max_cost=settings.get("max_cost"),
    )
    given = settings.get("preferences")
    preferences = own if given is None else own.beside(given)
    max_samples, audit_rate = settings.get("max_samples", 3), settings.get("audit_rate", 0.0)
    if max_samples not in (1, 2, 3):
        raise ConfigurationError(f"max_samples is 1, 2 or 3, not {max_samples!r}")
    if not 0 <= audit_rate <= 1:
        raise ConfigurationError(f"audit_rate is a share of answers, 0 to 1, not {audit_rate!r}")
    return replace(preferences, policy=preferences.policy or "auto"), max_samples, audit_rate
