"""The router's door: one object, awaited or not."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from decimal import Decimal
from typing import Generic, TypeAlias, TypeVar, Unpack, overload

from deepthrift import AsyncClient, ChatOptions, Client, Messages
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Currency, Money, new_id
from deepthrift_router._decision import Decision, RoutePolicy
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._outlook import Outlook, Preference, look_out
from deepthrift_router._prior import Prior, Score, Scorer
from deepthrift_router._record import decision_of
from deepthrift_router._reply import RoutedReply
from deepthrift_router._request import Request
from deepthrift_router._route import Route
from deepthrift_router._signals import Validator

Amount: TypeAlias = Money | Decimal | str | int
"""Money as text, `Decimal` or whole units; never a binary float."""

C = TypeVar("C", bound=AsyncClient | Client)
_POLICIES = ("auto", "cascade", "standard", "thinking")


class ModeRouter(Generic[C]):
    """Answers in standard mode, verifies, and thinks when that pays.

    With an `AsyncClient`, `chat` is awaited; with a `Client`, it returns the reply itself. The router keeps no state of
    its own: what it learns of lengths and caches, it reads from the client's ledger.

    Args:
        client: The client that makes the calls; its ledger, budgets, prices and limits hold.
        policy: `"auto"` takes the plan of the highest expected utility. `"cascade"` always verifies a standard answer
            by a second sample and escalates when they do not agree. `"standard"` and `"thinking"` use that mode only.
        value_of_right_answer: What a right answer is worth to you, in the prices' currency. Left out, ten times what
            thinking is expected to cost: it then pays from a gain of one in ten.
        max_cost: The most that one answer may cost, all its calls together at their worst case.
        max_samples: The most standard answers to one question, 1 to 3, the first one included. A further one is bought
            only if it can change what is done by more than it costs.
        validators: Your own checks of an answer: `True`, or `False` or a reason. A refused answer is escalated.
        scorer: Scores a question before the first call, in place of the shipped prior.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(
        self,
        client: C,
        *,
        policy: RoutePolicy = "auto",
        value_of_right_answer: Amount | None = None,
        max_cost: Amount | None = None,
        max_samples: int = 3,
        validators: Sequence[Validator] = (),
        scorer: Scorer | None = None,
    ) -> None:
        self._client: AsyncClient | Client = client
        self._policy: RoutePolicy = _checked(policy)
        self._value = value_of_right_answer
        self._max_cost = max_cost
        if max_samples not in (1, 2, 3):
            raise ConfigurationError(f"max_samples is 1, 2 or 3, not {max_samples!r}")
        self._max_samples = max_samples
        self._validators = tuple(validators)
        self._scorer = scorer
        _positive("value_of_right_answer", value_of_right_answer)
        _positive("max_cost", max_cost)

    def __repr__(self) -> str:
        return f"<ModeRouter {self._policy} on {self._client!r}>"

    @property
    def _async(self) -> AsyncClient:
        client = self._client
        return client if isinstance(client, AsyncClient) else client._async  # pyright: ignore[reportPrivateUsage]

    def score(self, messages: Messages) -> Score:
        """What the question alone says, without any call: about 0.5 ms for 2,000 characters."""
        return (self._scorer or Prior.builtin()).score(messages)

    def plan(
        self,
        messages: Messages,
        *,
        max_tokens: int | None = None,
        policy: RoutePolicy | None = None,
        value_of_right_answer: Amount | None = None,
        max_cost: Amount | None = None,
        **options: Unpack[ChatOptions],
    ) -> Decision:
        """What `chat` would begin with, and why. No call is made and nothing is reserved.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
        """
        outlook = self._look_out(messages, max_tokens, policy, value_of_right_answer, max_cost, options)
        return decision_of(outlook, belief=outlook.score.belief, reason=f"{outlook.reason}.", degraded=outlook.degraded)

    @overload
    def chat(
        self: ModeRouter[AsyncClient],
        messages: Messages,
        *,
        max_tokens: int | None = None,
        policy: RoutePolicy | None = None,
        value_of_right_answer: Amount | None = None,
        max_cost: Amount | None = None,
        validators: Sequence[Validator] = (),
        **options: Unpack[ChatOptions],
    ) -> Awaitable[RoutedReply]: ...
    @overload
    def chat(
        self: ModeRouter[Client],
        messages: Messages,
        *,
        max_tokens: int | None = None,
        policy: RoutePolicy | None = None,
        value_of_right_answer: Amount | None = None,
        max_cost: Amount | None = None,
        validators: Sequence[Validator] = (),
        **options: Unpack[ChatOptions],
    ) -> RoutedReply: ...
    def chat(
        self,
        messages: Messages,
        *,
        max_tokens: int | None = None,
        policy: RoutePolicy | None = None,
        value_of_right_answer: Amount | None = None,
        max_cost: Amount | None = None,
        validators: Sequence[Validator] = (),
        **options: Unpack[ChatOptions],
    ) -> Awaitable[RoutedReply] | RoutedReply:
        """One answer, routed.

        Messages and options reach every call as they are given. Two things differ by call: a further sample asked for
        at temperature 0 runs at 0.7 (and a given seed moves on by one), for it must be free to come out differently;
        and sampling settings that a host's thinking mode does not know are not sent to it.

        Args:
            messages: A conversation in the OpenAI shape, or a string for one user message. It is not changed.
            max_tokens: The most tokens of each call, reasoning included.
            policy: For this answer, instead of the router's.
            value_of_right_answer: For this answer, instead of the router's.
            max_cost: For this answer, instead of the router's.
            validators: Further checks, beside the router's.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            PriceNotFound: It has no price; nothing was sent.
            BudgetExceeded: Not even a standard call fits a budget or `max_cost`.
            APIError: There is no answer, for the endpoint failed; the error carries the spend of every call.
            ResponseError: There is no answer that can be used; the same.
        """
        work = self._chat(
            messages, max_tokens, policy, value_of_right_answer, max_cost, (*self._validators, *validators), options
        )
        if isinstance(self._client, AsyncClient):
            return work
        return self._client._loop.run(work)  # pyright: ignore[reportPrivateUsage]

    async def _chat(
        self,
        messages: Messages,
        max_tokens: int | None,
        policy: RoutePolicy | None,
        value: Amount | None,
        max_cost: Amount | None,
        validators: Sequence[Validator],
        options: ChatOptions,
    ) -> RoutedReply:
        outlook = self._look_out(messages, max_tokens, policy, value, max_cost, options)
        return await Route(self._async, outlook, Likelihoods.builtin(), validators).run()

    def _look_out(
        self,
        messages: Messages,
        max_tokens: int | None,
        policy: RoutePolicy | None,
        value: Amount | None,
        max_cost: Amount | None,
        options: ChatOptions,
    ) -> Outlook:
        _positive("value_of_right_answer", value)
        _positive("max_cost", max_cost)
        given = options.copy()
        group_id = given.pop("group_id", None) or new_id("group")
        given.pop("purpose", None)
        client = self._async
        currency: Currency = "CNY" if {row.currency for row in client.prices.rows} == {"CNY"} else "USD"
        preference = Preference(
            policy=self._policy if policy is None else _checked(policy),
            value=_money(self._value if value is None else value, currency),
            max_cost=_money(self._max_cost if max_cost is None else max_cost, currency),
            max_samples=self._max_samples,
        )
        request = Request(messages, max_tokens, given, group_id)
        return look_out(client, request, preference, self._scorer or Prior.builtin(), Likelihoods.builtin())


def _checked(policy: RoutePolicy) -> RoutePolicy:
    if policy not in _POLICIES:
        raise ConfigurationError(f"{policy!r} is not a policy; use one of {', '.join(_POLICIES)}")
    return policy


def _money(amount: Amount | None, currency: Currency) -> Money | None:
    if amount is None or isinstance(amount, Money):
        return amount
    return Money.of(amount, currency)


def _positive(name: str, amount: Amount | None) -> None:
    if amount is not None and (money := _money(amount, "USD")) is not None and money.pico <= 0:
        raise ConfigurationError(f"{name} is an amount above 0, not {amount!r}")
