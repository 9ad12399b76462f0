"""Collects outcomes of both modes on the user's own prompts: within a budget, and resumable after a kill."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from deepthrift.errors import ConfigurationError, DeepthriftError, InvalidRequestError
from deepthrift.shared.batches import lock
from deepthrift.shared.files import private_descriptor
from deepthrift_pricing import Currency, Money
from deepthrift_router._evidence.checks import check_names, checks_of
from deepthrift_router._evidence.sandbox import Sandbox
from deepthrift_router.evaluation import Outcome
from deepthrift_router.labels._prompt_runner import HOPELESS, PromptRunner, StoppedBy, stopped_by

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router.labels._graders import ReferenceGrader

Progress: TypeAlias = Callable[["Collected"], object]
TAG: Final = "collect"
"""Every attempt carries the run under this tag: what a killed run spent counts, too."""


@dataclass(slots=True)
class Collected:
    """How far a collection is."""

    prompts: int
    done: int = 0
    """Rows in the file, those of earlier runs included."""
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Prompts whose calls failed, and why; the next run tries them again."""
    spent: Money = field(default_factory=Money.zero)
    """Of all runs into this file."""
    stopped: str | None = None
    """Why not all prompts were asked, or `None`."""
    stopped_by: StoppedBy | None = None
    """What stopped it: a budget, or an endpoint that is left alone."""
    ungraded: dict[str, str] = field(default_factory=dict[str, str])
    """Prompts of this run whose answers could not be graded, and why; their rows are written all the same."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Asks every prompt `samples` times in standard mode and once in thinking mode, and writes one row each.

    A row is written whole once all its calls are there, so that a kill loses at most the rows under way. Only its owner
    may read the file, and one process writes into it at a time.

    Args:
        client: The client that makes the calls, in both modes.
        samples: Standard samples of each prompt, 1 to 8.
        max_tokens: The most tokens of each call.
        budget: The most that all runs into one file may cost, a judge not included; a prompt is begun only if all its
            calls fit at their worst.
        grader: Grades both modes where a prompt has a reference.
        checks: Checks to be made of the first standard answer, so that `calibrate` can learn what they say.
        others: Clients of other endpoints by name, at most two, which are asked the same in standard mode.
        sandbox: The limits of the code that a check runs. `Sandbox(required=False)` runs it unprotected where it cannot
            be isolated.
        at_once: Prompts that are asked at the same time.
    """

    client: AsyncClient
    samples: int = 3
    max_tokens: int | None = None
    budget: Money | None = None
    grader: ReferenceGrader | None = None
    checks: Sequence[str] = ()
    others: Mapping[str, AsyncClient] = field(default_factory=dict[str, "AsyncClient"])
    sandbox: Sandbox | None = None
    at_once: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 8:
            raise ConfigurationError(f"samples is 1 to 8, not {self.samples!r}")
        if self.at_once < 1:
            raise ConfigurationError(f"at_once is 1 or more, not {self.at_once!r}")
        unknown = [name for name in self.checks if name not in check_names()]
        if unknown:
            raise ConfigurationError(f"{unknown[0]!r} is not a check; use one of {', '.join(check_names())}")
        if len(self.others) > 2:
            raise ConfigurationError(f"others are one or two clients, not {len(self.others)}")

    async def run(self, prompts: Iterable[Outcome], out: Path, progress: Progress | None = None) -> Collected:
        """Append what is missing to `out`; how far it came.

        Raises:
            ConfigurationError: `out` cannot be written or holds something else.
            IsolationUnavailable: Code of a model is to be run, and cannot be isolated here; nothing was asked.
            AuthenticationFailed, InsufficientBalance, PermissionRefused: No other prompt would fare better.
        """
        wanted = list(prompts)
        if "program" in self.checks:
            await (self.sandbox or Sandbox()).check()
        if self.grader is not None and any(prompt.reference is not None for prompt in wanted):
            await self.grader.check()
        try:
            descriptor = private_descriptor(out)
        except OSError as error:
            raise ConfigurationError(f"{out} cannot be written: {error.strerror or error}") from None
        try:
            if not lock(descriptor):
                raise ConfigurationError(f"another process is collecting into {out}; let it end, or name another file")
            return await self._into(descriptor, wanted, out, progress)
        finally:
            os.close(descriptor)

    async def _into(
        self, descriptor: int, wanted: Sequence[Outcome], out: Path, progress: Progress | None
    ) -> Collected:
        known = _ids(out)
        todo = [prompt for prompt in wanted if prompt.id not in known]
        state = Collected(prompts=len(wanted), done=len(wanted) - len(todo))
        run = _name_of(out)
        reserved = _SpendLimit(await self.client.ledger.in_thread(lambda: self._spent(run)))
        state.spent = reserved.spent
        left = iter(todo)
        runner = PromptRunner(
            self.client,
            self.samples,
            self.max_tokens,
            self.grader,
            checks_of(self.checks, (), self.sandbox),
            self.others,
        )
        try:
            async with asyncio.TaskGroup() as together:
                for _ in range(min(self.at_once, len(todo))):
                    together.create_task(self._work(left, runner, descriptor, run, state, reserved, progress))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return state

    async def _work(
        self,
        left: Iterator[Outcome],
        runner: PromptRunner,
        descriptor: int,
        run: str,
        state: Collected,
        reserved: _SpendLimit,
        progress: Progress | None,
    ) -> None:
        for prompt in left:
            if state.stopped is not None:
                return
            question = runner.question(prompt, {TAG: run})
            try:
                worst = question.worst
            except InvalidRequestError as error:  # it is too long, say: the others are not
                state.failed[prompt.id] = f"{type(error).__name__}: {error}"
                continue
            if self.budget is not None and reserved.spent + reserved.under_way + worst > self.budget:
                state.stopped = (
                    f"the next prompt may cost up to {worst}, and {reserved.spent} of {self.budget} are spent; "
                    "raise the budget and run again to go on"
                )
                state.stopped_by = "budget"
                return
            reserved.under_way += worst
            try:
                outcome = await question.ask(reserved.spend, state.ungraded)
                _append(descriptor, outcome)
                state.done += 1
            except DeepthriftError as error:
                if error.spend is not None:
                    reserved.spent += error.spend
                if isinstance(error, HOPELESS):
                    raise
                if (by := stopped_by(error)) is not None:
                    state.stopped, state.stopped_by = error.message, by
                    return
                state.failed[prompt.id] = f"{type(error).__name__}: {error}"
            finally:
                reserved.under_way -= worst
                state.spent = reserved.spent
            if progress is not None:
                progress(state)

    def _spent(self, run: str) -> Money:
        ledgers = {id(client.ledger): client.ledger for client in (self.client, *self.others.values())}
        attempts = [each for ledger in ledgers.values() for each in ledger.attempts(tags={TAG: run})]
        currency: Currency = attempts[0].cost.total.currency if attempts else self._currency
        return Money.sum((each.cost.total for each in attempts if each.status != "reserved"), currency)

    @property
    def _currency(self) -> Currency:
        return "CNY" if {row.currency for row in self.client.prices.rows} == {"CNY"} else "USD"


@dataclass(slots=True)
class _SpendLimit:
    spent: Money
    under_way: Money = field(init=False)

    def __post_init__(self) -> None:
        self.under_way = Money.zero(self.spent.currency)

    def spend(self, cost: Money) -> None:
        """A call was made."""
        self.spent += cost


def _ids(out: Path) -> set[str]:
    """The prompts that are in `out`; a last line that a kill cut short is taken away."""
    try:
        written = out.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be read: {error.strerror or error}") from None
    whole = written[: written.rfind(b"\n") + 1]
    if len(whole) < len(written):
        os.truncate(out, len(whole))
    ids: set[str] = set()
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row: object = json.loads(line)
            ids.add(str(cast("Mapping[str, object]", row)["id"]))
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{out}, line {number} is no recorded outcome; name another file") from None
    return ids


def _name_of(out: Path) -> str:
    """The tag of the runs into `out`, whatever folder they were begun in."""
    return blake2b(str(out.resolve()).encode(), digest_size=8).hexdigest()


def _append(descriptor: int, outcome: Outcome) -> None:
    line = memoryview((outcome.model_dump_json(exclude_defaults=True) + "\n").encode())
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)
