"""What the user wants of routing, in the words they think in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast, get_args

from deepthrift import ChatOptions
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Currency, Money
from deepthrift_router._record.decision import RoutePolicy

if TYPE_CHECKING:
    from deepthrift_router._evidence.validators import Validator

Amount: TypeAlias = Money | Decimal | str | int
"""Money as text, `Decimal` or whole units; never a binary float."""

T = TypeVar("T")
_THRESHOLDS: Final = ("max_quality_loss", "target_share")
POLICIES: Final[tuple[RoutePolicy, ...]] = get_args(RoutePolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What you want of routing. What is left out is as the router has it.

    Raises:
        ConfigurationError: A preference is wrong, or two of them exclude each other.
    """

    policy: RoutePolicy | None = None
    """`"auto"` takes the plan of the highest expected utility. `"cascade"` always verifies a standard answer and
    escalates when the check fails. `"standard"`, `"thinking"` and `"specialist"` ask for that only."""
    value_of_right_answer: Amount | None = None
    """What a right answer is worth to you, in the prices' currency."""
    max_cost: Amount | None = None
    """The most that one answer may cost, all its calls together at their worst case."""
    max_quality_loss: float | None = None
    """The share of right answers that may be lost against always thinking, such as 0.02, at 95 % confidence. It needs
    labels; `NotEnoughLabels` says how many more."""
    target_share: float | None = None
    """The share of answers that are to be escalated, 0 to 1: met on your own traffic, whatever it looks like."""
    value_of_second: Amount | None = None
    """What a second of waiting costs you: slow plans then have to be worth it."""
    deadline: float | None = None
    """Seconds that the whole answer may take. Thinking that is not expected to end in time is not begun."""
    draft_as_hint: bool | None = None
    """Whether thinking is shown the standard answer that it is to improve on."""
    race: bool | None = None
    """Whether both modes are asked at once, for the shortest wait. The one that is not needed is cancelled, and what it
    used is booked."""

    def __post_init__(self) -> None:
        if self.policy is not None and self.policy not in POLICIES:
            raise ConfigurationError(f"{self.policy!r} is not a policy; use one of {', '.join(POLICIES)}")
        for name in ("value_of_right_answer", "max_cost", "value_of_second"):
            _positive(name, getattr(self, name))
        for name in _THRESHOLDS:
            share = getattr(self, name)
            if share is not None and not (isinstance(share, int | float) and 0 < share < 1):
                raise ConfigurationError(f"{name} is a share between 0 and 1, such as 0.02, not {share!r}")
        given = cast("object", self.deadline)
        if given is not None and not (isinstance(given, int | float) and given > 0 and isfinite(given)):
            raise ConfigurationError(f"deadline is a positive number of seconds, not {given!r}")
        if self.max_quality_loss is not None and self.target_share is not None:
            raise ConfigurationError("max_quality_loss and target_share exclude each other: each sets the threshold")

    def beside(self, further: Preferences) -> Preferences:
        """These preferences and `further` ones that were stated with them; of one stated twice, this one holds."""
        return replace(further, **self._said())

    def over(self, base: Preferences) -> Preferences:
        """These preferences, and those of `base` where they say nothing."""
        said = self._said()
        if not said:
            return base
        if not said.keys().isdisjoint(("policy", *_THRESHOLDS)):
            said = dict.fromkeys(_THRESHOLDS) | said  # of these, one takes the place of the others
        return replace(base, **said)

    def _said(self) -> dict[str, Any]:
        return {name: value for name in _NAMES if (value := getattr(self, name)) is not None}


_NAMES: Final = tuple(each.name for each in fields(Preferences))


class RouteOptions(ChatOptions, total=False):
    """The keyword arguments of a routed call, beside `max_tokens`: those of `ChatOptions`, and these.

    Attributes:
        policy: For this answer, instead of the router's.
        value_of_right_answer: For this answer, instead of the router's.
        max_cost: For this answer, instead of the router's.
        preferences: Any of them, for this answer.
        validators: Further checks, beside the router's.
    """

    policy: RoutePolicy | None
    value_of_right_answer: Amount | None
    max_cost: Amount | None
    preferences: Preferences | None
    validators: Sequence[Validator]


def split_options(given: RouteOptions) -> tuple[ChatOptions, Preferences, Sequence[Validator]]:
    """The options of the calls, the preferences, and the validators of one routed call."""
    options = given.copy()
    own = Preferences(
        policy=options.pop("policy", None),
        value_of_right_answer=options.pop("value_of_right_answer", None),
        max_cost=options.pop("max_cost", None),
        deadline=options.pop("deadline", None),
    )
    further = options.pop("preferences", None)
    validators = options.pop("validators", ())
    options.pop("purpose", None)
    return cast("ChatOptions", options), own if further is None else own.beside(further), validators


def by_tags(by_tag: Mapping[str, Preferences], tags: Mapping[str, str], base: Preferences) -> Preferences:
    """`base`, with the preferences of each tag that is set; of several, the later one in `by_tag` wins."""
    for name, preferences in by_tag.items():
        key, mark, value = name.partition("=")
        if tags.get(key) == value if mark else key in tags:
            base = preferences.over(base)
    return base


def money(amount: Amount | None, currency: Currency) -> Money | None:
    """`amount` in the prices' currency."""
    return amount if amount is None or isinstance(amount, Money) else Money.of(amount, currency)


def _positive(name: str, amount: Amount | None) -> None:
    if amount is not None and (found := money(amount, "USD")) is not None and found.pico <= 0:
        raise ConfigurationError(f"{name} is an amount above 0, not {found.amount:f}")
