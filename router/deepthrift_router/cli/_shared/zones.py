"""Moments on the command line in the user's time zone."""

from __future__ import annotations

from datetime import datetime, tzinfo

import click

from deepthrift_router.cli._shared.options import moment


def zone_option(ctx: click.Context, parameter: click.Parameter, name: str) -> str:
    """The name of a time zone that is known here."""
    _zone(name)
    return name


def moments_in(zone: str, **texts: str | None) -> list[datetime | None]:
    """The moments that options name, in their order; the names of the arguments are those of the options."""
    local = _zone(zone)
    found: list[datetime | None] = []
    for option, text in texts.items():
        try:
            found.append(None if text is None else moment(text, local))
        except click.BadParameter as error:
            raise click.BadParameter(error.message, param_hint=f"--{option}") from None
    return found


def _zone(name: str) -> tzinfo:
    from deepthrift_pricing.shared.zones import zone_of

    try:
        return zone_of(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--zone") from None
