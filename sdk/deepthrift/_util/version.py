"""The version of the installed package."""

from functools import cache


@cache
def version() -> str:
    """Such as `0.1.0`; `unknown` when run from a checkout that is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("deepthrift")
    except PackageNotFoundError:
        return "unknown"
