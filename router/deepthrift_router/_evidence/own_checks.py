"""Checks of a user's own: what they are, what they say, and how they run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable

from deepthrift import Reply
from deepthrift.errors import ConfigurationError
from deepthrift_router._belief.evidence import OWN_CHECK

DEFAULT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check of your own says about an answer.

    Raises:
        ConfigurationError: The outcome is no word, or the likelihood isn't two numbers above 0 and at most 1.
    """

    outcome: str
    """What it saw, in a word: `calibrate` learns what each word says, so use few of them."""
    likelihood: tuple[float, float] | None = None
    """How often this outcome comes when the standard answer is right, and when it's wrong, such as `(0.9, 0.3)`.
    `None`: no weight before `calibrate` has seen enough labels. What `calibrate` measured always comes first."""
    detail: str = ""
    """A note for the record."""

    def __post_init__(self) -> None:
        outcome, detail, likelihood = cast(
            "tuple[object, object, object]", (self.outcome, self.detail, self.likelihood)
        )
        if not isinstance(outcome, str) or not outcome.strip():
            raise ConfigurationError(f"the outcome of a check is a word, not {outcome!r}")
        if not isinstance(detail, str):
            raise ConfigurationError(f"the detail of a check is text, not {detail!r}")
        if likelihood is not None and not _are_chances(likelihood):
            raise ConfigurationError(f"a likelihood is two numbers above 0 and at most 1, not {likelihood!r}")


def _are_chances(values: object) -> bool:
    """Whether these are two probabilities that can be weighed: above 0, and no more than 1."""
    chances = cast("tuple[object, ...]", values) if isinstance(values, tuple) else ()
    return len(chances) == 2 and all(isinstance(chance, int | float) and 0 < chance <= 1 for chance in chances)


CheckVerdict: TypeAlias = CheckResult | str | None
"""What a check returns. Text is an outcome without a likelihood; `None`: it has nothing to say about this answer."""


@runtime_checkable
class Check(Protocol):
    """A check of your own for `ModeRouter(checks=[…])`: evidence for or against a standard answer.

    It never refuses an answer by itself, as a validator does: its result moves the probability that the answer is right
    by the likelihoods that it states, or that `calibrate` measured; without either it changes nothing. It runs once for
    each answer, on the first standard answer, unless that is cut off, empty or refused. What it says is part of
    `reply.decision.evidence`, as `check 'NAME'`.

    A plain `judge` runs in a worker thread, an `async` one in the event loop; all checks run at the same time. A check
    that raises, returns something else or takes longer than the router's `check_seconds` counts as no evidence, and
    `reply.decision.missing` says why. The answer goes on without it. (A thread can't be stopped: a plain `judge` that
    is late runs on in the background.)
    """

    @property
    def name(self) -> str:
        """Its name in decisions and in what `calibrate` learns. A new name begins without a history."""
        ...

    def judge(self, question: str, reply: Reply) -> CheckVerdict | Awaitable[CheckVerdict]:
        """What it says about `reply`, the standard answer to `question`, which is the last user message's text."""
        ...


def own_checks_of(checks: Sequence[object]) -> tuple[Check, ...]:
    """The check objects among `checks`, which also has names.

    Raises:
        ConfigurationError: One of them is neither, or two have the same name.
    """
    objects = [check for check in checks if not isinstance(check, str)]
    for check in objects:
        if not _is_check(check):
            raise ConfigurationError(
                f"{check!r} is not a check: it has to be an object with a `name` and a method `judge(question, reply)`"
            )
    own = [cast("Check", check) for check in objects]
    names = [check.name for check in own]
    if twice := {name for name in names if names.count(name) > 1 or not name.strip()}:
        raise ConfigurationError(f"each check needs a name of its own, unlike {min(twice)!r}")
    return tuple(own)


def signal_of(check: Check) -> str:
    """The name of a check in decisions and in tables of likelihoods."""
    return f"{OWN_CHECK}{check.name!r}"


def _is_check(check: object) -> bool:
    if not isinstance(check, Check) or inspect.isclass(check):
        return False
    return isinstance(cast("object", check.name), str) and callable(check.judge)


async def judged(
    checks: Sequence[Check], question: str, reply: Reply, seconds: float
) -> list[tuple[str, CheckResult | str]]:
    """What each check says, by its name in decisions; text says why it says nothing."""
    if not checks:
        return []
    results = await asyncio.gather(*(_result(check, question, reply, seconds) for check in checks))
    return [(signal_of(check), result) for check, result in zip(checks, results, strict=True)]


async def _result(check: Check, question: str, reply: Reply, seconds: float) -> CheckResult | str:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            verdict = await _verdict(check, question, reply)
    except Exception as error:
        if limit.expired():
            return f"it took longer than {seconds:g} seconds"
        return f"it raised {type(error).__name__}: {error}"
    if isinstance(verdict, CheckResult):
        return verdict
    if isinstance(verdict, str) and verdict.strip():
        return CheckResult(verdict)
    if verdict is None:
        return "it has nothing to say about this answer"
    return f"it returned {verdict!r} instead of a CheckResult, an outcome or None"


async def _verdict(check: Check, question: str, reply: Reply) -> object:
    if inspect.iscoroutinefunction(check.judge):
        return cast("object", await check.judge(question, reply))
    verdict = cast("object", await asyncio.to_thread(check.judge, question, reply))
    return await verdict if inspect.isawaitable(verdict) else verdict
