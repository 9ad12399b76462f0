"""From the tiers that a user names to those that a router calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError
from deepthrift.shared.calls import with_model
from deepthrift_router._belief.ladder import Comparisons, LadderData
from deepthrift_router._decide.ladder import Ladder, LadderTier, Tier, ladder_problem
from deepthrift_router._door.either_client import async_of, same_kind

C = TypeVar("C", bound=AsyncClient | Client)

_RESERVED: Final = frozenset({"cascade", "sample", "check", "escalate", "auto"})
"""Names of plans and steps, which no tier may have."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """The tiers of one router, the lowest first."""

    all: tuple[LadderTier, ...]
    ladder: Ladder | None
    """How their chances hang together; `None`: all above the lowest are taken to be alike, as thinking and a
    specialist are."""


class LazyTiers(Generic[C]):
    """The tiers of a router on `client`, worked out when they are first needed: a local client has no host before it is
    entered. Left out, they are those of its host, or standard and thinking mode.

    Raises:
        ConfigurationError: They are no ladder.
    """

    def __init__(
        self, client: AsyncClient | Client, named: Sequence[str | Tier[C]] | None, specialist: C | None
    ) -> None:
        if named is not None and specialist is not None:
            raise ConfigurationError(
                'with tiers=[…] a specialist is one of them: Tier(client, "thinking", name="specialist")'
            )
        self._client = client
        self._named = None if named is None else _checked(named)
        for tier in self._named or ():
            if tier.client is not None:
                same_kind(client, tier.client)
        self._specialist = None if specialist is None else same_kind(client, specialist)
        self._found: Tiers | None = None

    def __call__(self) -> Tiers:
        """The tiers.

        Raises:
            ConfigurationError: A local client has not been entered yet, or two tiers have one name.
        """
        if self._found is None:
            self._found = self._tiers()
        return self._found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tiers."""
        return tuple(tier.name for tier in self().all)

    def _tiers(self) -> Tiers:
        own, named = async_of(self._client), self._named
        if named is None and self._specialist is None and own.host.ladder:
            host: list[Tier[C]] = [Tier[C].of(each) for each in own.host.ladder]
            named = _checked(host)
        if named is None:
            tiers = [LadderTier("standard", own), LadderTier("thinking", own, "thinking")]
            if self._specialist is not None:
                tiers.append(LadderTier("specialist", self._specialist, "thinking"))
            return Tiers(tuple(tiers), None)
        found = _resolved(self._client, named)
        if [(each.name, each.client is own) for each in found] == [("standard", True), ("thinking", True)]:
            return Tiers(found, None)
        data = LadderData.builtin()
        return Tiers(found, Ladder(found, data, Comparisons(data, [each.weights for each in found])))


def _checked(named: Sequence[str | Tier[C]]) -> list[Tier[C]]:
    """The tiers as objects."""
    if isinstance(named, str):
        raise ConfigurationError(f'tiers is a list such as ["standard", "thinking"], not {named!r}')
    tiers = [Tier[C].of(each) if isinstance(each, str) else each for each in named]
    for each in tiers:
        if not isinstance(each, Tier):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"a tier is a name such as 'thinking:low' or a Tier(…), not {each!r}")
        if each.name is not None and (each.name in _RESERVED or not each.name.strip()):
            raise ConfigurationError(f"{each.name!r} can't be the name of a tier; choose another one")
    if (problem := ladder_problem(len(tiers))) is not None:
        raise ConfigurationError(problem)
    return tiers


def _resolved(client: AsyncClient | Client, tiers: Sequence[Tier[C]]) -> tuple[LadderTier, ...]:
    own, siblings = async_of(client), dict[tuple[int, str], AsyncClient]()
    found: list[LadderTier] = []
    for tier in tiers:
        of = own if tier.client is None else same_kind(client, tier.client)
        if tier.model is not None and tier.model != of.model:
            key = (id(of), tier.model)
            of = siblings[key] if key in siblings else siblings.setdefault(key, with_model(of, tier.model))
        name = tier.name or (tier.depth if of is own else f"{tier.depth}@{of.model}")
        found.append(LadderTier(name, of, tier.mode, tier.effort))
    names = [each.name for each in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigurationError(f"two tiers are called {double!r}; give one of them Tier(…, name=…)")
    return tuple(found)
