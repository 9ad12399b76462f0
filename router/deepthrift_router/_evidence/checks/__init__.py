"""The checks that take a call, one file each. A new file here is a new check.

The file's name is the check's name, and its `make` makes the check. A file is imported when its check is used, never
before.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepthrift.errors import ConfigurationError
from deepthrift_router._evidence.cross_check import CrossCheck

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._evidence.call_check import CallCheck
    from deepthrift_router._evidence.own_checks import Check
    from deepthrift_router._evidence.sandbox import Sandbox

_FOLDER: Final = Path(__file__).parent


@cache
def check_names() -> tuple[str, ...]:
    """Every check, in alphabetical order."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.py") if not file.stem.startswith("_")))


def checks_of(
    checks: Sequence[str | Check], cross_check: Sequence[AsyncClient], sandbox: Sandbox | None
) -> list[CallCheck]:
    """The checks that are named, and the one by other endpoints; objects are no call checks.

    Raises:
        ConfigurationError: A name is unknown, or there are more than two endpoints, of which nothing is recorded.
    """
    names = [check for check in checks if isinstance(check, str)]
    unknown = [name for name in names if name not in check_names()]
    if unknown:
        known = ", ".join(check_names())
        raise ConfigurationError(
            f"{unknown[0]!r} is not a check; use one of {known}, or an object with a `name` and a method `judge`"
        )
    if len(cross_check) > 2:
        raise ConfigurationError(f"cross_check is one or two clients, not {len(cross_check)}")
    others: list[CallCheck] = [CrossCheck(cross_check)] if cross_check else []
    return [*others, *(_made(name, sandbox) for name in dict.fromkeys(names))]


def _made(name: str, sandbox: Sandbox | None) -> CallCheck:
    check: CallCheck = importlib.import_module(f"{__name__}.{name}").make(sandbox)
    return check
