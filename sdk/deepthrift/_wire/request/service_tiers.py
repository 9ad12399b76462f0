"""The `service_tier` of a call: checked, sent in the host's form, and read from what the host reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from deepthrift._types.errors import InvalidRequestError, UnsupportedFeature
from deepthrift._types.options import Options
from deepthrift.hosts import HostProfile, ServiceTier

STANDARD: Final = "standard"
_USUAL: Final = frozenset({STANDARD, "default", "auto", "on_demand", "standard_only"})
"""Names of a host's usual tier; `auto` leaves the choice to the settings of the account."""
_FIELD: Final = "service_tier"
_NOTHING: Final = ServiceTier()


def check_tier(options: Options, profile: HostProfile) -> None:
    """Nothing, if the host has the service tier that the call asks for.

    Raises:
        InvalidRequestError: It is no name of a tier.
        UnsupportedFeature: The host doesn't have it; the message lists those that it has.
    """
    tier = options.service_tier
    if tier is None:
        return
    given = cast("object", tier)
    if not isinstance(given, str) or not given:
        raise InvalidRequestError(f"service_tier is the name of a tier, such as 'flex', not {tier!r}")
    if tier in profile.service_tiers or tier in _USUAL:
        return
    known = ", ".join(sorted(profile.service_tiers))
    has = f"it has {known}" if known else "it has none"
    raise UnsupportedFeature(
        f"{profile.name!r} has no service tier {tier!r}; {has}. Leave out service_tier, or add the tier to a profile "
        "of yours, as [service_tiers.NAME]"
    )


def tier_of(options: Options, profile: HostProfile, extra_body: Mapping[str, object]) -> str | None:
    """The tier whose price is reserved, or `None` for the usual one.

    A `service_tier` in the extra body of the call or the client counts too, where the host is known to have it.
    """
    tier = options.service_tier
    if tier is None:
        further = (options.extra_body or {}).get(_FIELD, extra_body.get(_FIELD))
        tier = further if isinstance(further, str) and further in profile.service_tiers else None
    return None if tier in _USUAL else tier


def tier_form(options: Options, profile: HostProfile) -> ServiceTier:
    """What a request carries to ask for the call's tier; nothing for a usual one that the host has no word for."""
    tier = options.service_tier
    if tier is None:
        return _NOTHING
    return profile.service_tiers.get(tier) or _NOTHING


def served_tier(profile: HostProfile, reported: str | None) -> str | None:
    """The tier that the host says served the request, as price rows name it; `None` where it doesn't say."""
    if not reported:
        return None
    name = reported.lower()
    for tier, form in profile.service_tiers.items():
        if name == tier or name in form.reported:
            return STANDARD if tier in _USUAL else tier
    if name == "auto":
        return None
    return STANDARD if name in _USUAL else name
