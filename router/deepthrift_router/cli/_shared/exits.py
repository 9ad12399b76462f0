"""Exit codes, and how an error is told: one line on standard error, or one JSON document on standard output."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Final

import click

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
BUDGET: Final = 3
ENDPOINT: Final = 4
INTERRUPTED: Final = 130
TERMINATED: Final = 143


class Terminated(Exception):
    """The process was asked to end (SIGTERM) and has cleaned up."""


def exit_code(error: BaseException) -> int:
    """The exit code that stands for `error`."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    if isinstance(error, Terminated):
        return TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    from deepthrift import errors

    match error:
        case errors.BudgetExceeded():
            return BUDGET
        case errors.InvalidRequestError() | errors.ConfigurationError() | errors.PriceDataError():
            return USAGE
        case errors.ClusterUnavailable():
            return ENDPOINT
        case errors.BatchError() if not isinstance(error.__cause__, OSError):
            return USAGE
        case errors.APIError() | errors.ResponseError() | errors.EngineError():
            return ENDPOINT
        case _:
            return FAILURE


def _give_up_output() -> None:
    """Drop what standard output does not take: the interpreter would try it once more at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def describe(error: BaseException) -> dict[str, object]:
    """`error` as a JSON object: type, message, exit code, and what was attempted and spent, where known."""
    from deepthrift_pricing.errors import BudgetExceeded, DeepthriftError

    fields: dict[str, object] = {"type": _public_name(error), "message": message(error), "exit_code": exit_code(error)}
    if isinstance(error, DeepthriftError):
        fields["attempt_ids"] = list(error.attempt_ids)
        fields["spend"] = None if error.spend is None else str(error.spend.amount)
    if isinstance(error, BudgetExceeded):
        fields["needed"] = None if error.needed is None else str(error.needed.amount)
    return {"error": fields}


def _public_name(error: BaseException) -> str:
    """The name of the error's class, or of the nearest one that users can catch."""
    from deepthrift import errors

    names = [each.__name__ for each in type(error).__mro__]
    return next((name for name in names if name in errors.__all__), names[0])


def message(error: BaseException) -> str:
    """What to tell a person about `error`."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    from deepthrift_pricing.errors import DeepthriftError, PriceNotFound

    if isinstance(error, PriceNotFound):
        return f"{error.message} On the command line: --prices brief, or --prices FILE."
    if isinstance(error, DeepthriftError):
        return error.message
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    return f"{type(error).__name__}: {error} (a bug; DEEPTHRIFT_DEBUG=1 shows where, please report it)"


def report(error: Exception, *, as_json: bool) -> int:
    """Tell `error` and return its exit code; where standard output takes no more, on standard error."""
    code = exit_code(error)
    if isinstance(error, OSError):
        _give_up_output()
    if isinstance(error, Terminated | BrokenPipeError):  # whoever read what we write has left: nobody is to be told
        return code
    if as_json:
        from deepthrift_router.cli._shared.output import write_json

        try:
            write_json(describe(error))
        except OSError as unwritten:
            _give_up_output()
            if isinstance(unwritten, BrokenPipeError):
                return code
        else:
            return code
    if os.environ.get("DEEPTHRIFT_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        sys.stderr.write(error.ctx.get_usage() + "\n")
    sys.stderr.write(f"error: {message(error)}\n")
    spend = getattr(error, "spend", None)
    if spend:
        sys.stderr.write(f"       booked for the failed call: {spend}\n")
    return code
