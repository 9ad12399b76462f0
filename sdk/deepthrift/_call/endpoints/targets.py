"""The endpoints of one client, in order of preference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

from deepthrift._call.endpoints.endpoint import Endpoint
from deepthrift._call.endpoints.resolve import price_book, target_of
from deepthrift._call.endpoints.target import Shared, Target
from deepthrift._types.errors import ConfigurationError, NoEndpointAllowed
from deepthrift_pricing import PriceBook


class Targets:
    """The endpoints of one client, in order of preference.

    Raises:
        NoEndpointAllowed: None of them is in `regions`.
        ConfigurationError: Their prices are in two currencies.
    """

    def __init__(self, all_: Sequence[Target], regions: Collection[str] | None) -> None:
        self.all = tuple(all_)
        self._regions = None if regions is None else frozenset(named_regions(regions))
        self._allowed = self._within(self.all, self._regions)
        if len({target.currency for target in self.all}) > 1:
            raise ConfigurationError(
                "the endpoints' prices are in two currencies; give each a price book in the same one"
            )

    @property
    def first(self) -> Target:
        """The preferred one."""
        return self._allowed[0]

    def allowed(self, regions: Collection[str] | None) -> Sequence[Target]:
        """Those in the client's regions and, if a call names some, in the call's as well.

        Raises:
            NoEndpointAllowed: There is none.
        """
        return self._allowed if regions is None else self._within(self._allowed, frozenset(named_regions(regions)))

    @staticmethod
    def _within(found: Sequence[Target], regions: frozenset[str] | None) -> Sequence[Target]:
        if regions is None:
            return found
        allowed = tuple(target for target in found if target.region in regions)
        if not allowed:
            have = ", ".join(sorted({repr(target.region) for target in found}))
            want = ", ".join(map(repr, sorted(regions))) or "none"
            raise NoEndpointAllowed(
                f"nothing was sent: the data must stay in {want}, and the endpoints are in {have}; add an "
                "Endpoint(…, region=…) there"
            )
        return allowed

    def for_model(self, model: str) -> Targets:
        """The same endpoints for calls of another model."""
        return Targets([target.for_model(model) for target in self.all], self._regions)

    async def aclose(self) -> None:
        """Close all connections, whatever one of them says."""
        failure: BaseException | None = None
        for target in self.all:
            try:
                await target.aclose()
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure


def named_regions(regions: Collection[str]) -> Collection[str]:
    """`regions`, checked.

    Raises:
        ConfigurationError: It is one text, or holds something else than names.
    """
    if isinstance(regions, str) or not all(isinstance(region, str) for region in regions):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"regions is a set of names such as {{'eu'}}, not {regions!r}")
    return regions


def targets_of(
    own: Endpoint,
    several: Sequence[Endpoint] | None,
    prices: PriceBook | str | Path | None,
    regions: Collection[str] | None,
    shared: Shared,
) -> Targets:
    """The endpoints that the user meant: the one that the client's own arguments describe, or several.

    Raises:
        ConfigurationError: One of them is wrong, or both kinds were given.
    """
    if several is not None:
        given = [each.name for each in fields(own) if each.name != "_" and getattr(own, each.name) is not None]
        if given:
            raise ConfigurationError(f"with endpoints=[…], {given[0]} goes into each Endpoint(…)")
        if not several or not all(isinstance(each, Endpoint) for each in several):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("endpoints is a list of at least one deepthrift.Endpoint(…)")
    book = price_book(prices)
    targets = [
        target_of(endpoint, book if endpoint.prices is None else price_book(endpoint.prices), shared)
        for endpoint in several or [own]
    ]
    return Targets(targets, regions)
