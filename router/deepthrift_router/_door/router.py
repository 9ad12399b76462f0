"""The router's door: one object, awaited or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar, Unpack, cast, overload

from deepthrift import AsyncClient, CallOptions, Client, Messages
from deepthrift.errors import NoLift, NotEnoughLabels
from deepthrift_router._belief.prior import Prior, Score
from deepthrift_router._calls.calls import Calls
from deepthrift_router._decide.preferences import RouteOptions
from deepthrift_router._decide.route_plan import RoutePlan
from deepthrift_router._door.either_client import async_of, same_kind, through
from deepthrift_router._door.parsing import FitsTarget, RoutedParsed, parsed
from deepthrift_router._door.planner import Planner
from deepthrift_router._door.settings import RouterSettings, checked, others_in, own_checks_in
from deepthrift_router._door.stream import AsyncRoutedStream, RoutedStream
from deepthrift_router._door.tiers import LazyTiers
from deepthrift_router._evidence.checks import checks_of
from deepthrift_router._evidence.validators import Validator
from deepthrift_router._learn.audits import Audits
from deepthrift_router._learn.estimates import AuditReport, report_of
from deepthrift_router._learn.memory import Memory, read_setting
from deepthrift_router._learn.setting import Setting, SettingsFolder
from deepthrift_router._learn.store import RouterStore, open_store
from deepthrift_router._record.decision import Decision
from deepthrift_router._record.presenter import StreamMode, StreamPresenter
from deepthrift_router._record.reply import RoutedReply
from deepthrift_router._run.reasons import sentences
from deepthrift_router._run.record import decision_of
from deepthrift_router._run.route import Route
from deepthrift_router._run.steps import Setup

if TYPE_CHECKING:
    from deepthrift.shared.structured import Target
    from deepthrift.tools import Tool, ToolReply

C = TypeVar("C", bound=AsyncClient | Client)
M = TypeVar("M")
T = TypeVar("T")

_LEAST_TO_PLAN: Final = 1.0
"""Seconds that reading the ledger before the first call may take at least."""


class ModeRouter(Generic[C]):
    """Answers in standard mode, verifies, and thinks when that pays.

    With an `AsyncClient`, `chat` is awaited; with a `Client`, it returns the reply itself. The router reads lengths,
    seconds and caches from the client's ledger. With `audit_rate`, use it in `async with` or `with`, or close it, so
    that the audits in flight are waited for.

    Args:
        client: The client that makes the calls; its ledger, budgets, prices and limits hold.
        **settings: See `RouterSettings`.

    Raises:
        ConfigurationError: A setting is wrong.
        LedgerUnavailable: The store cannot be opened.
    """

    def __init__(self, client: C, **settings: Unpack[RouterSettings[C]]) -> None:
        base, max_samples, audit_rate = checked(settings)
        own_checks = own_checks_in(settings)
        self._client: AsyncClient | Client = client
        self._async = async_of(client)
        others = [same_kind(self._client, other) for other in others_in(settings)]
        checks = checks_of(settings.get("checks", ()), others, settings.get("sandbox"))
        setting, shadowed = read_setting(settings.get("settings")), read_setting(settings.get("shadow"))
        scorer = settings.get("scorer")
        self._base_scorer = scorer or Prior.builtin()
        self._tiers = LazyTiers(self._client, settings.get("tiers"), settings.get("specialist"))
        # Opened last: a setting that is wrong leaves nothing open.
        self._store, self._own_store = open_store(settings.get("store"))
        self._memory = Memory(
            self._store, setting, shadowed, max_samples, checks, own_checks[0], own_scorer=scorer is not None
        )
        self._planner = Planner(
            self._async,
            self._tiers,
            base,
            dict(settings.get("by_tag") or {}),
            max_samples,
            self._base_scorer if setting is None else setting.scorer(self._base_scorer),
            self._memory,
        )
        self._setup = Setup(
            self._memory.likelihoods,
            tuple(settings.get("validators", ())),
            tuple(settings.get("partial_validators", ())),
            checks,
            self._memory.version,
            *own_checks,
        )
        self._audits = Audits(audit_rate, self._store, settings.get("grader"), settings.get("on_drift"))

    def __repr__(self) -> str:
        return f"<ModeRouter {self._planner.preferences.policy} on {self._client!r}>"

    @property
    def tiers(self) -> tuple[str, ...]:
        """The names of the tiers, the lowest first; a local client has none before it is entered."""
        return self._tiers.names

    @property
    def client(self) -> C:
        """The client that makes the calls."""
        return cast("C", self._client)

    @property
    def store(self) -> RouterStore:
        """Where answers are remembered."""
        return self._store

    @property
    def setting(self) -> Setting | None:
        """The setting in force, or `None`: the shipped one."""
        return self._memory.setting

    def score(self, messages: Messages) -> Score:
        """What the question alone says, without any call: about 0.3 ms for 2,000 characters."""
        return self._planner.scorer.score(messages)

    def plan(self, messages: Messages, *, max_tokens: int | None = None, **options: Unpack[RouteOptions]) -> Decision:
        """What `chat` would begin with, and why. No call is made and nothing is reserved.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
            NotEnoughLabels: There are too few labels for `max_quality_loss`.
        """
        plan, _ = self._planner.plan(messages, max_tokens, options)
        return decision_of(
            plan,
            belief=plan.score.belief,
            reason=sentences(plan.reason),
            degraded=plan.degraded,
            setting=self._memory.version,
        )

    @overload
    def chat(
        self: ModeRouter[AsyncClient],
        messages: Messages,
        *,
        max_tokens: int | None = None,
        **options: Unpack[RouteOptions],
    ) -> Awaitable[RoutedReply]: ...
    @overload
    def chat(
        self: ModeRouter[Client], messages: Messages, *, max_tokens: int | None = None, **options: Unpack[RouteOptions]
    ) -> RoutedReply: ...
    def chat(
        self, messages: Messages, *, max_tokens: int | None = None, **options: Unpack[RouteOptions]
    ) -> Awaitable[RoutedReply] | RoutedReply:
        """One answer, routed.

        Messages and options reach every call as they are given. Two things differ by call: a further sample asked for
        at temperature 0 runs at 0.7 (and a given seed moves on by one), for it must be free to come out differently;
        and sampling settings that a host's thinking mode does not know are not sent to it.

        Args:
            messages: A conversation in the OpenAI shape, or a string for one user message. It is not changed.
            max_tokens: The most tokens of each call, reasoning included.
            **options: See `RouteOptions`. `deadline` holds for the whole answer.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            PriceNotFound: It has no price; nothing was sent.
            NotEnoughLabels: There are too few labels for `max_quality_loss`; nothing was sent.
            BudgetExceeded: Not even a standard call fits a budget or `max_cost`.
            APIError: There is no answer, for the endpoint failed; the error carries the spend of every call.
            ResponseError: There is no answer that can be used; the same.
        """
        return through(self._client, self._chat(messages, max_tokens, options, None))

    @overload
    def stream(
        self: ModeRouter[AsyncClient],
        messages: Messages,
        *,
        mode: StreamMode = "verified",
        max_tokens: int | None = None,
        **options: Unpack[RouteOptions],
    ) -> AsyncRoutedStream: ...
    @overload
    def stream(
        self: ModeRouter[Client],
        messages: Messages,
        *,
        mode: StreamMode = "verified",
        max_tokens: int | None = None,
        **options: Unpack[RouteOptions],
    ) -> RoutedStream: ...
    def stream(
        self,
        messages: Messages,
        *,
        mode: StreamMode = "verified",
        max_tokens: int | None = None,
        **options: Unpack[RouteOptions],
    ) -> AsyncRoutedStream | RoutedStream:
        """One routed answer as it arrives; see `chat` for the arguments and errors.

        A standard answer whose evidence collapses on the way (it refuses, repeats itself without end, or a partial
        validator refuses it) is cut, and escalated.

        Args:
            messages: As for `chat`.
            mode: `"verified"` shows no text before it is the answer; reasoning is shown at once. `"optimistic"` shows
                text at once, and `Escalated` takes it back when something else follows.
            max_tokens: As for `chat`.
            **options: As for `chat`.
        """
        stream = AsyncRoutedStream(lambda presenter: self._chat(messages, max_tokens, options, presenter), mode)
        return stream if isinstance(self._client, AsyncClient) else RoutedStream(self._client, stream)

    @overload
    def parse(
        self: ModeRouter[AsyncClient],
        messages: Messages,
        *,
        into: type[M],
        max_tokens: int | None = None,
        **options: Unpack[RouteOptions],
    ) -> Awaitable[RoutedParsed[M]]: ...
    @overload
    def parse(
        self: ModeRouter[Client],
        messages: Messages,
        *,
        into: type[M],
        max_tokens: int | None = None,
        **options: Unpack[RouteOptions],
    ) -> RoutedParsed[M]: ...
    def parse(
        self, messages: Messages, *, into: type[M], max_tokens: int | None = None, **options: Unpack[RouteOptions]
    ) -> Awaitable[RoutedParsed[M]] | RoutedParsed[M]:
        """A validated object, routed: `reply.value`. A standard answer that does not fit is escalated.

        Args:
            messages: As for `chat`. What the JSON has to look like is added to the last message.
            into: A pydantic model, dataclass or `TypedDict`.
            max_tokens: As for `chat`.
            **options: As for `chat`; there is no `response_format`.

        Raises:
            StructuredOutputError: Neither mode gave an answer that fits; `partial` has it, and its cost.
            DeepthriftError: As in `chat`.
        """
        return through(self._client, self._parse(messages, into, max_tokens, options))

    @overload
    def run_tools(
        self: ModeRouter[AsyncClient],
        messages: Messages,
        *,
        tools: Sequence[Callable[..., object] | Tool],
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Awaitable[ToolReply]: ...
    @overload
    def run_tools(
        self: ModeRouter[Client],
        messages: Messages,
        *,
        tools: Sequence[Callable[..., object] | Tool],
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> ToolReply: ...
    def run_tools(
        self,
        messages: Messages,
        *,
        tools: Sequence[Callable[..., object] | Tool],
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Awaitable[ToolReply] | ToolReply:
        """The answer after tool calls. V3.1 calls tools in standard mode only, so there is nothing to choose.

        See `AsyncClient.run_tools` for the arguments and errors.
        """
        return through(self._client, self._async.run_tools(messages, tools=tools, max_tokens=max_tokens, **options))

    def feedback(self, reply: RoutedReply | str, *, correct: bool) -> bool:
        """Say whether an answer was right: the reply, or its `group_id`. Whether the store knew the answer.

        Where the store knows of both modes' answers and they are the same, or differ while this one is right, the label
        holds for both.
        """
        group_id = reply if isinstance(reply, str) else reply.group_id
        return self._memory.label(group_id, correct, "feedback") is not None

    def audit(self, *, limit: int | None = 20_000) -> AuditReport:
        """What audits and labels say so far: quality, savings and regret with 95 % intervals, and what has drifted.

        Args:
            limit: The latest answers that count; `None`: all that the store keeps.
        """
        return report_of(self._store.rows(limit=limit), self._planner.changes.latest(self._async))

    def calibrate(self, folder: SettingsFolder | Path | str | None = None) -> Setting:
        """A setting fitted on the labelled answers of the store, if it is better out of fold than the one in force.

        It is written into `folder` and put in force there; this router itself doesn't change. Without `folder` nothing
        is written. Where another model answers by now, only labels from after the change count.

        Raises:
            NotEnoughLabels: There are fewer than 100 labelled answers.
            NoLift: It is no better than the setting in force.
            ConfigurationError: It cannot be written.
        """
        from deepthrift_router._learn.calibrate import calibrate

        change = self._planner.changes.latest(self._async)
        rows = self._store.rows(labelled=True, since=None if change is None else change.at)
        try:
            setting = calibrate(rows, self._memory.setting)
        except (NoLift, NotEnoughLabels) as error:
            if change is not None:
                error.message += f" {sentences(change.only_later)}"
            raise
        if folder is not None:
            (folder if isinstance(folder, SettingsFolder) else SettingsFolder(folder)).write(setting)
        return setting

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Wait for the audits under way and close the store, if it was opened here. Safe to call twice."""
        try:
            await self._audits.aclose()
        finally:
            if self._own_store:
                self._store.close()

    def __enter__(self: ModeRouter[Client]) -> ModeRouter[Client]:
        return self

    def __exit__(self: ModeRouter[Client], *_: object) -> None:
        self.close()

    def close(self: ModeRouter[Client]) -> None:
        """`aclose` for a router on a `Client`."""
        self.client.run(self.aclose())

    async def _chat(
        self, messages: Messages, max_tokens: int | None, options: RouteOptions, presenter: StreamPresenter | None
    ) -> RoutedReply:
        plan, own = await self._plan_off_loop(options, partial(self._planner.plan, messages, max_tokens, options))
        return await self._run(plan, own, presenter)

    async def _parse(
        self, messages: Messages, into: type[M], max_tokens: int | None, options: RouteOptions
    ) -> RoutedParsed[M]:
        from deepthrift.shared.structured import Target

        target = Target(into)
        found = cast("Target[object]", target)
        work = partial(self._planner.plan, messages, max_tokens, options, found)
        plan, validators = await self._plan_off_loop(options, work)
        return parsed(await self._run(plan, (FitsTarget(target), *validators), None), target)

    async def _run(
        self, plan: RoutePlan, validators: Sequence[Validator], presenter: StreamPresenter | None
    ) -> RoutedReply:
        memory, preference = self._memory, plan.preference
        setup = replace(self._setup, validators=(*self._setup.validators, *validators)) if validators else self._setup
        calls = Calls(plan.base.client, plan.request, plan.value.currency, preference.deadline)
        route = Route(calls, plan, setup, presenter)
        answered = await route.run()
        remember = partial(memory.remember, answered, plan, self._base_scorer, preference.change)
        reply = await self._async.ledger.in_thread(remember)
        if preference.share is not None and plan.plan == "cascade":
            preference.share.note(escalated=reply.escalated)
        await self._audits.consider(route.outcomes, plan)
        return reply

    async def _plan_off_loop(self, options: RouteOptions, look: Callable[[], T]) -> T:
        """What `look` finds; it reads from the ledger and the router's own store, so it runs in a thread."""
        ledger = self._async.ledger
        deadline: object = options.get("deadline", self._planner.preferences.deadline)
        seconds = max(deadline, _LEAST_TO_PLAN) if isinstance(deadline, int | float) else ledger.lock_seconds
        return await ledger.in_thread(look, timeout=seconds)
