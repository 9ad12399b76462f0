"""A ladder: the tiers that may answer a question, the cheapest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import log
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift_router._belief.belief import Cells
    from deepthrift_router._belief.ladder import Comparisons, LadderData

C = TypeVar("C", bound=AsyncClient | Client)

Effort: TypeAlias = str | int
"""How much a tier thinks: a level of its host, such as `"low"`, or a number of tokens."""
MOST_TIERS: Final = 6


@dataclass(frozen=True, slots=True)
class Tier(Generic[C]):
    """One way to answer: an endpoint, a model, and how much it thinks.

    `Tier(client, "thinking", effort="high")`. Without a client it's the router's own; with a `model`, another model
    of the same endpoint.

    Raises:
        ConfigurationError: The mode or the effort is wrong.
    """

    client: C | None = None
    mode: Mode = "standard"
    _: KW_ONLY
    effort: Effort | None = None
    """A level of the host, or the most tokens of thinking. Standard mode has none."""
    model: str | None = None
    """Another model of the client's endpoint."""
    name: str | None = None
    """As decisions and records show it. Default: the mode with its effort, and the model if it's another one."""

    def __post_init__(self) -> None:
        if self.mode not in ("standard", "thinking"):
            raise ConfigurationError(f"{self.mode!r} is not a mode; use 'standard' or 'thinking'")
        if self.effort is None:
            return
        if self.mode == "standard":
            raise ConfigurationError(f"standard mode has no effort, so {self.effort!r} is refused; use 'thinking'")
        if isinstance(self.effort, bool) or not isinstance(self.effort, str | int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"an effort is a level such as 'low' or a number of tokens, not {self.effort!r}")
        if not self.effort or (isinstance(self.effort, int) and self.effort < 1):
            raise ConfigurationError(f"an effort of {self.effort!r} is no thinking; use the tier 'standard'")

    @classmethod
    def of(cls, text: str) -> Tier[C]:
        """The tier that `text` names: `standard`, `thinking`, `thinking:low`, `thinking:2048`, `thinking:max@MODEL`.

        Raises:
            ConfigurationError: It names none.
        """
        depth, at, model = text.partition("@")
        mode, colon, effort = depth.partition(":")
        if mode not in ("standard", "thinking") or (colon and not effort) or (at and not model):
            raise ConfigurationError(
                f"{text!r} is not a tier; use 'standard', 'thinking', 'thinking:LEVEL' or 'thinking:TOKENS', with "
                "@MODEL for another model of the endpoint, or Tier(…)"
            )
        level: Effort | None = effort or None
        if effort.isascii() and effort.isdigit():
            level = int(effort)
        return cls(None, "standard" if mode == "standard" else "thinking", effort=level, model=model or None)

    @property
    def depth(self) -> str:
        """The mode with its effort: `thinking:low`."""
        return self.mode if self.effort is None else f"{self.mode}:{self.effort}"


@dataclass(frozen=True, slots=True)
class LadderTier:
    """A tier of one router, with the client that makes its calls."""

    name: str
    client: AsyncClient
    mode: Mode = "standard"
    effort: Effort | None = None

    @property
    def model(self) -> str:
        """The name under which its host knows what runs."""
        return self.client.host.model_for(self.mode, self.client.model)

    @property
    def weights(self) -> str:
        """What two tiers of one model have in common, whatever their effort."""
        return self.client.model

    def shares_cache_with(self, other: LadderTier) -> bool:
        """Whether a call of one finds in the endpoint's prefix cache what the other one left there."""
        return self.client is other.client

    def same_room_as(self, other: LadderTier) -> bool:
        """Whether the room in the budgets is worked out once for both."""
        return self.client is other.client and self.mode == "thinking"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The tiers of a router, the lowest first, and what one tier's answer says of another's."""

    tiers: tuple[LadderTier, ...]
    data: LadderData
    comparisons: Comparisons

    def between(self, prices: Sequence[float]) -> tuple[Cells, ...]:
        """How the chances of the tiers between follow from those of both ends, by what each tier costs."""
        low, high = log(max(1.0, prices[0])), log(max(1.0, prices[-1]))
        found: list[Cells] = []
        for number, price in enumerate(prices[1:-1], 1):
            place = number / (len(prices) - 1)
            if high > low:
                place = min(1.0, max(0.0, (log(max(1.0, price)) - low) / (high - low)))
            found.append(self.data.between(place))
        return tuple(found)


def ladder_problem(count: int) -> str | None:
    """Why so many tiers are no ladder, or `None`."""
    return None if 2 <= count <= MOST_TIERS else f"a ladder has 2 to {MOST_TIERS} tiers, not {count}"
