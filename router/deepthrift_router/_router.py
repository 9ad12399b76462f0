"""The router's door: one object, awaited or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar, Unpack, cast, overload

from deepthrift import AsyncClient, CallOptions, Client, Messages
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Currency, new_id
from deepthrift_router._audits import Audits, Grader
from deepthrift_router._calls import Calls
from deepthrift_router._changes import Change, Changes
from deepthrift_router._checks import CHECKS, CheckName, checks_of
from deepthrift_router._decision import Decision, RoutePolicy
from deepthrift_router._history import History
from deepthrift_router._learning import Learning
from deepthrift_router._leg import Setup
from deepthrift_router._memory import Memory, read_setting
from deepthrift_router._outlook import Outlook, Preference, look_out
from deepthrift_router._parsing import FitsTarget, RoutedParsed, parsed
from deepthrift_router._preferences import Amount, Preferences, RouteOptions, by_tags, money, split_options
from deepthrift_router._prior import Prior, Score, Scorer
from deepthrift_router._reasons import sentences
from deepthrift_router._record import decision_of
from deepthrift_router._reply import RoutedReply
from deepthrift_router._request import Request
from deepthrift_router._route import Route
from deepthrift_router._sandbox import Sandbox
from deepthrift_router._setting import Setting, SettingsFolder
from deepthrift_router._store import RouterStore, open_store
from deepthrift_router._stream import AsyncRoutedStream, RoutedStream, on_loop
from deepthrift_router._telling import StreamMode, Telling
from deepthrift_router._validators import Validator
from deepthrift_router._watch import PartialValidator

if TYPE_CHECKING:
    from deepthrift.structured._target import Target
    from deepthrift.tools import Tool, ToolReply

C = TypeVar("C", bound=AsyncClient | Client)
M = TypeVar("M")
T = TypeVar("T")

_LEAST_TO_PLAN: Final = 1.0
"""Seconds that reading the ledger before the first call may take at least."""


class ModeRouter(Learning, Generic[C]):
    """Answers in standard mode, verifies, and thinks when that pays.

    With an `AsyncClient`, `chat` is awaited; with a `Client`, it returns the reply itself. What the router learns of
    lengths, seconds and caches, it reads from the client's ledger. With `audit_rate`, use it in `async with` or `with`,
    or close it, so that the audits under way are waited for.

    Args:
        client: The client that makes the calls; its ledger, budgets, prices and limits hold.
        policy: `"auto"` takes the plan of the highest expected utility. `"cascade"` always verifies a standard answer
            by a second sample and escalates when they do not agree. `"standard"`, `"thinking"` and `"specialist"` ask
            for that only.
        value_of_right_answer: What a right answer is worth to you, in the prices' currency. Left out, ten times what
            thinking is expected to cost: it then pays from a gain of one in ten.
        max_cost: The most that one answer may cost, all its calls together at their worst case.
        preferences: These and all others, such as `Preferences(target_share=0.2)`.
        by_tag: Preferences for calls that carry a tag: `{"team=search": Preferences(policy="standard")}`.
        max_samples: The most standard answers to one question, 1 to 3, the first one included. A further one is bought
            only if it can change what is done by more than it costs.
        validators: Your own checks of an answer: `True`, or `False` or a reason. A refused answer is escalated.
        partial_validators: The same for the text of a streamed standard answer as far as it has come: one that is
            refused is cut and escalated.
        checks: Checks that take a call, by name. `auto` buys one where it has data and pays; `cascade` buys all.
        cross_check: A client of another endpoint, or two, whose answers to the same question are one more check.
        specialist: A client of another endpoint that can be escalated to, such as R1's.
        scorer: Scores a question before the first call, in place of the shipped prior.
        settings: What `calibrate` wrote: a `Setting`, its file, or its folder, whose current version is in force.
        shadow: Another setting; what it would have done is part of each decision and of the store, and changes nothing.
        store: Where answers are remembered, without any text: a file, or a `RouterStore`. Left out, in memory.
        audit_rate: Share of answers, 0 to 1, for which the mode that was not asked is asked afterwards, in the
            background and inside the budgets.
        grader: Says of a reply whether it is right; used on the answers of which both modes are there.
        on_drift: Hears in words when the traffic or the quality has changed beyond chance; looked at every 50 answers,
            in the background, and told once for each thing that changed.
        sandbox: The limits of code that checks run. `Sandbox(required=False)` runs it unprotected where it cannot be
            isolated; else such a check is left out, and `Decision.missing` says why.

    Raises:
        ConfigurationError: A setting is wrong.
        LedgerUnavailable: The store cannot be opened.
    """

    def __init__(
        self,
        client: C,
        *,
        policy: RoutePolicy | None = None,
        value_of_right_answer: Amount | None = None,
        max_cost: Amount | None = None,
        preferences: Preferences | None = None,
        by_tag: Mapping[str, Preferences] | None = None,
        max_samples: int = 3,
        validators: Sequence[Validator] = (),
        partial_validators: Sequence[PartialValidator] = (),
        checks: Sequence[CheckName] = (),
        cross_check: C | Sequence[C] | None = None,
        specialist: C | None = None,
        scorer: Scorer | None = None,
        settings: Setting | SettingsFolder | Path | str | None = None,
        shadow: Setting | SettingsFolder | Path | str | None = None,
        store: RouterStore | Path | str | None = None,
        audit_rate: float = 0.0,
        grader: Grader | None = None,
        on_drift: Callable[[str], object] | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._client: AsyncClient | Client = client
        own = Preferences(policy=policy, value_of_right_answer=value_of_right_answer, max_cost=max_cost)
        base = own if preferences is None else own.beside(preferences)
        self._preferences = replace(base, policy=base.policy or "auto")
        self._by_tag = dict(by_tag or {})
        if max_samples not in (1, 2, 3):
            raise ConfigurationError(f"max_samples is 1, 2 or 3, not {max_samples!r}")
        if not 0 <= audit_rate <= 1:
            raise ConfigurationError(f"audit_rate is a share of answers, 0 to 1, not {audit_rate!r}")
        unknown = [name for name in checks if name not in CHECKS]
        if unknown:
            raise ConfigurationError(f"{unknown[0]!r} is not a check; use one of {', '.join(CHECKS)}")
        self._max_samples = max_samples
        self._validators = tuple(validators)
        self._partial_validators = tuple(partial_validators)
        self._specialist = None if specialist is None else self._same_kind(specialist)
        others = cross_check if isinstance(cross_check, Sequence) else [] if cross_check is None else [cross_check]
        self._checks = checks_of(checks, [self._same_kind(other) for other in others], sandbox)
        setting, shadowed = read_setting(settings), read_setting(shadow)
        self._base_scorer = scorer or Prior.builtin()
        self._scorer = self._base_scorer if setting is None else setting.scorer(self._base_scorer)
        # Opened last: a setting that is wrong leaves nothing open.
        self._store, self._own_store = open_store(store)
        self._memory = Memory(self._store, setting, shadowed, max_samples, self._checks, own_scorer=scorer is not None)
        self._history = History()
        self._changes = Changes()
        self._audits = Audits(self._async, audit_rate, self._store, grader, on_drift)

    def __repr__(self) -> str:
        return f"<ModeRouter {self._preferences.policy} on {self._client!r}>"

    @property
    def _async(self) -> AsyncClient:
        return _async_of(self._client)

    def _same_kind(self, other: AsyncClient | Client) -> AsyncClient:
        if isinstance(self._client, Client) and isinstance(other, Client):
            # One loop for both: a client belongs to the loop that it was first used in, and this one is not used yet.
            return _async_of(other)
        if not isinstance(other, AsyncClient):
            raise ConfigurationError("the clients of one router are all AsyncClient, or all Client")
        return other

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
        return self._scorer.score(messages)

    def plan(self, messages: Messages, *, max_tokens: int | None = None, **options: Unpack[RouteOptions]) -> Decision:
        """What `chat` would begin with, and why. No call is made and nothing is reserved.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
            NotEnoughLabels: There are too few labels for `max_quality_loss`.
        """
        outlook, _ = self._look_out(messages, max_tokens, options)
        return decision_of(
            outlook,
            belief=outlook.score.belief,
            reason=sentences(outlook.reason),
            degraded=outlook.degraded,
            setting=self._memory.version,
        )

    # -- answers ----------------------------------------------------------------------------------------------------

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
        return self._through(self._chat(messages, max_tokens, options))

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
        stream = AsyncRoutedStream(lambda telling: self._chat(messages, max_tokens, options, telling), mode)
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
        return self._through(self._parse(messages, into, max_tokens, options))

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
        return self._through(self._async.run_tools(messages, tools=tools, max_tokens=max_tokens, **options))

    # -- end --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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

    def __exit__(
        self: ModeRouter[Client],
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self: ModeRouter[Client]) -> None:
        """`aclose` for a router on a `Client`."""
        on_loop(self.client, self.aclose())

    # -- inside -----------------------------------------------------------------------------------------------------

    def _through(self, work: Awaitable[M]) -> Awaitable[M] | M:
        client = self._client
        if isinstance(client, AsyncClient):
            return work
        return on_loop(client, _coroutine(work))

    async def _chat(
        self, messages: Messages, max_tokens: int | None, options: RouteOptions, telling: Telling | None = None
    ) -> RoutedReply:
        outlook, validators = await self._plan_off_loop(options, lambda: self._look_out(messages, max_tokens, options))
        return await self._run(outlook, validators, telling)

    async def _parse(
        self, messages: Messages, into: type[M], max_tokens: int | None, options: RouteOptions
    ) -> RoutedParsed[M]:
        from deepthrift.structured._target import Target

        target = Target(into)
        outlook, validators = await self._plan_off_loop(
            options, lambda: self._look_out(messages, max_tokens, options, target)
        )
        return parsed(await self._run(outlook, (FitsTarget(target), *validators), None), target)

    async def _run(self, outlook: Outlook, validators: Sequence[Validator], telling: Telling | None) -> RoutedReply:
        memory, preference = self._memory, outlook.preference
        setup = Setup(
            memory.likelihoods, (*self._validators, *validators), self._partial_validators, self._checks, memory.version
        )
        calls = Calls(self._async, outlook.request, outlook.value.currency, preference.deadline)
        route = Route(calls, outlook, setup, telling)
        answered = await route.run()
        reply = await self._async.ledger.in_thread(
            lambda: memory.remember(answered, outlook, self._base_scorer, preference.change)
        )
        if preference.share is not None and outlook.plan == "cascade":
            preference.share.note(escalated=reply.escalated)
        await self._audits.consider(route.outcomes, outlook)
        return reply

    def _latest_change(self) -> Change | None:
        return self._changes.latest(self._async)

    async def _plan_off_loop(self, options: RouteOptions, look: Callable[[], T]) -> T:
        """What `look` finds; it reads from the ledger and the router's own store, so it runs in a thread."""
        ledger = self._async.ledger
        deadline: object = options.get("deadline", self._preferences.deadline)
        seconds = max(deadline, _LEAST_TO_PLAN) if isinstance(deadline, int | float) else ledger.lock_seconds
        return await ledger.in_thread(look, timeout=seconds)

    def _look_out(
        self, messages: Messages, max_tokens: int | None, given: RouteOptions, target: Target[M] | None = None
    ) -> tuple[Outlook, Sequence[Validator]]:
        options, own, validators = split_options(given)
        client = self._async
        tags = {**client._settings.tags, **(options.get("tags") or {})}  # pyright: ignore[reportPrivateUsage]
        wanted = own.over(by_tags(self._by_tag, tags, self._preferences))
        policy = wanted.policy or "auto"
        if policy == "specialist" and self._specialist is None:
            raise ConfigurationError("the policy 'specialist' needs a router with specialist=…")
        currency: Currency = "CNY" if {row.currency for row in client.prices.rows} == {"CNY"} else "USD"
        fixed = policy in ("standard", "thinking", "specialist")
        change = self._latest_change()
        threshold = None if fixed else self._memory.threshold(wanted, change)
        preference = Preference(
            policy=policy,
            value=money(wanted.value_of_right_answer, currency),
            max_cost=money(wanted.max_cost, currency),
            max_samples=self._max_samples,
            value_of_second=money(wanted.value_of_second, currency),
            deadline=wanted.deadline,
            draft_as_hint=bool(wanted.draft_as_hint),
            race=bool(wanted.race),
            threshold=None if threshold is None else threshold.gain,
            promise="" if threshold is None else threshold.promise,
            change=change,
            suspended=tuple(self._memory.suspensions(change, threshold)),
            share=None if threshold is None or wanted.target_share is None else self._memory.share(wanted.target_share),
        )
        group_id = options.pop("group_id", None) or new_id("group")
        request = Request(messages, max_tokens, options, group_id, cast("Target[object] | None", target))
        likelihoods = self._memory.likelihoods
        outlook = look_out(client, request, preference, self._scorer, likelihoods, self._specialist, self._history)
        return outlook, validators


def _async_of(client: AsyncClient | Client) -> AsyncClient:
    return client if isinstance(client, AsyncClient) else client._async  # pyright: ignore[reportPrivateUsage]


async def _coroutine(work: Awaitable[M]) -> M:
    return await work
