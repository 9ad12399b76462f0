"""The circuit of an endpoint: what opens it, who may try it, and what it says meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deepthrift import AsyncClient, CircuitBreaker
from deepthrift._admission.breaker import Circuit
from deepthrift.errors import (
    AttemptTimeout,
    BadRequest,
    BalanceExhausted,
    BudgetExceeded,
    CircuitOpen,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    InsufficientBalance,
    RateLimited,
    ServerError,
)
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import Answer, BillServer, Drop, Failure
from tests.support.doors import Door, every_door, settings, through_async, through_sync

DOWN = Failure(500, "out of order")


class CircuitMachine(RuleBasedStateMachine):
    """Any order of admissions, ends and pauses, beside the simplest model of what should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.circuit = Circuit(CircuitBreaker(failures=3, pause=10, balance_pause=20), "host", now=lambda: self.time)
        self.out: list[tuple[int, bool]] = []
        """Attempts under way: what they were admitted with, and whether they are the probe."""
        self.row = 0
        self.until: float | None = None

    @property
    def probe_is_out(self) -> bool:
        return any(probe for _, probe in self.out)

    @rule()
    def admit(self) -> None:
        open_now = self.until is not None and (self.time < self.until or self.probe_is_out)
        if open_now:
            with pytest.raises(CircuitOpen) as refused:
                self.circuit.admit()
            assert refused.value.retry_after == max(0.0, (self.until or 0.0) - self.time)
        else:
            self.out.append((self.circuit.admit(), self.until is not None))

    def _take(self, data: st.DataObject) -> tuple[int, bool]:
        return self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))

    def _current(self, admitted: int) -> bool:
        return admitted == self.circuit._era

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        admitted, probe = self._take(data)
        if self._current(admitted):
            self.row, self.until = 0, None
            self.out = [(each, False) for each, _ in self.out]
        else:
            assert not probe
        self.circuit.succeeded(admitted)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def begin_to_answer(self, data: st.DataObject) -> None:
        admitted, _ = self.out[data.draw(st.integers(0, len(self.out) - 1))]
        if self._current(admitted):
            self.until = None
            self.out = [(each, False) for each, _ in self.out]
        self.circuit.answered(admitted)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        admitted, probe = self._take(data)
        if self._current(admitted):
            self.row += 1
            if probe or self.row >= 3:
                self.until = self.time + 10
        self.circuit.failed(admitted, ServerError("no", status=500))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def be_cancelled(self, data: st.DataObject) -> None:
        self.circuit.let_go(self._take(data)[0])

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def run_out_of_balance(self, data: st.DataObject) -> None:
        self._take(data)
        self.until = self.time + 20
        self.out = [(each, False) for each, _ in self.out]
        self.circuit.ran_out_of_balance(InsufficientBalance("no", status=402))

    @rule(seconds=st.sampled_from([1.0, 9.0, 10.0, 25.0]))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @invariant()
    def at_most_one_probe(self) -> None:
        assert sum(probe for _, probe in self.out) <= 1

    @invariant()
    def state_is_told(self) -> None:
        expected = "closed" if self.until is None else "open" if self.time < self.until else "half-open"
        assert self.circuit.state == expected


TestCircuitMachine = CircuitMachine.TestCase


async def call(door: Door, client: AsyncClient | object, **options: object) -> object:
    streamed = door.endswith("stream")
    if isinstance(client, AsyncClient):
        return await through_async(client, "Hi", streamed=streamed, max_tokens=5, **options)
    return await asyncio.to_thread(through_sync, client, "Hi", streamed=streamed, max_tokens=5, **options)  # type: ignore[arg-type]


@every_door
async def test_it_opens_after_failures_in_a_row_and_one_call_tries_again(door: Door) -> None:
    from deepthrift import Client

    kind = AsyncClient if door.startswith("async") else Client
    async with BillServer([*[DOWN] * 3, Answer("Paris.")]) as server:
        client = kind(**settings(server, max_retries=0, circuit_breaker=CircuitBreaker(failures=3, pause=1000)))
        for _ in range(3):
            with pytest.raises(ServerError):
                await call(door, client)
        for _ in range(3):
            with pytest.raises(CircuitOpen, match=r"go out again in \d+ s; the last time: .*out of order") as refused:
                await call(door, client)
        assert refused.value.retry_after is not None
        assert 900 < refused.value.retry_after <= 1000
        assert refused.value.attempt_ids == ()
        assert len(server.requests) == 3
        inner = client if isinstance(client, AsyncClient) else client._async
        assert (inner.endpoints[0].circuit, inner.endpoints[0].failures) == ("open", 3)
        assert inner._session.target is not None
        inner._session.target.admission.circuit._until = 0.0
        assert inner.endpoints[0].circuit == "half-open"
        await call(door, client)
        assert inner.endpoints[0].circuit == "closed"
        if isinstance(client, AsyncClient):
            await client.aclose()
        else:
            client.close()


async def test_only_one_call_tries_an_endpoint_that_failed() -> None:
    async with (
        BillServer([DOWN, Answer("Paris.", delay=0.3), Answer("Rome.")]) as server,
        AsyncClient(**settings(server, max_retries=0, circuit_breaker=CircuitBreaker(failures=1))) as client,
    ):
        with pytest.raises(ServerError):
            await client.chat("Hi", max_tokens=5)
        assert client._session.target is not None
        client._session.target.admission.circuit._until = 0.0
        probe = asyncio.create_task(client.chat("Hi", max_tokens=5))
        await server.until(lambda s: len(s.requests) == 2)
        with pytest.raises(CircuitOpen, match="being tried"):
            await client.chat("Hi", max_tokens=5)
        assert (await probe).text == "Paris."
        assert (await client.chat("Hi", max_tokens=5)).text == "Rome."


async def test_a_cancelled_probe_leaves_the_next_call_to_try() -> None:
    async with (
        BillServer([DOWN, Answer("Paris.", delay=60), Answer("Rome.")]) as server,
        AsyncClient(**settings(server, max_retries=0, circuit_breaker=CircuitBreaker(failures=1))) as client,
    ):
        with pytest.raises(ServerError):
            await client.chat("Hi", max_tokens=5)
        assert client._session.target is not None
        client._session.target.admission.circuit._until = 0.0
        probe = asyncio.create_task(client.chat("Hi", max_tokens=5))
        await server.until(lambda s: len(s.requests) == 2)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert (await client.chat("Hi", max_tokens=5)).text == "Rome."


async def test_what_the_caller_did_is_no_failure_of_the_provider() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.001", per="total")])
    async with (
        BillServer(Answer("Paris.", delay=600)) as server,
        AsyncClient(
            **settings(server, ledger=ledger, max_retries=0, circuit_breaker=CircuitBreaker(failures=1))
        ) as client,
    ):
        task = asyncio.create_task(client.chat("Hi", max_tokens=5))
        await server.until(lambda s: len(s.requests) == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(DeadlineExceeded):
            await client.chat("Hi", max_tokens=5, deadline=0.1)
        with pytest.raises(AttemptTimeout):
            await client.chat("Hi", max_tokens=5, timeout=0.1)
        with pytest.raises(BudgetExceeded):
            await client.chat("Hi", max_tokens=5000)
        for status, kind in ((400, BadRequest), (400, BadRequest), (429, RateLimited), (429, RateLimited)):
            server.script = Failure(status)
            with pytest.raises(kind):
                await client.chat("Hi", max_tokens=5)
        assert client.endpoints[0].circuit == "closed"
    ledger.close()


@pytest.mark.parametrize("failure", [DOWN, Drop(), Answer("la la la", cut_after=1)])
@pytest.mark.parametrize("streamed", [False, True])
async def test_every_failure_of_the_provider_counts(failure: Failure | Drop | Answer, streamed: bool) -> None:
    async with (
        BillServer(failure) as server,
        AsyncClient(**settings(server, max_retries=0, circuit_breaker=CircuitBreaker(failures=2))) as client,
    ):
        for _ in range(2):
            with pytest.raises(Exception, match=r".") as failed:
                await through_async(client, "Hi", streamed=streamed, max_tokens=9)
            assert not isinstance(failed.value, CircuitOpen)
        with pytest.raises(CircuitOpen):
            await client.chat("Hi", max_tokens=9)
        assert len(server.requests) == 2


async def test_what_one_cut_takes_down_counts_once() -> None:
    """A server that restarts is not a server that is down, however many calls it was answering."""
    async with (
        BillServer(Drop(delay=0.1)) as server,
        AsyncClient(**settings(server, max_retries=0, circuit_breaker=CircuitBreaker(failures=2))) as client,
    ):
        calls = [client.chat("Hi", max_tokens=5) for _ in range(20)]
        lost = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in lost} == {ConnectionFailed}
        assert (client.endpoints[0].circuit, client.endpoints[0].failures) == ("closed", 1)
        with pytest.raises(ConnectionFailed):
            await client.chat("Hi", max_tokens=5)
        assert client.endpoints[0].circuit == "open"


async def test_retries_end_where_the_circuit_opens() -> None:
    async with (
        BillServer(DOWN) as server,
        AsyncClient(**settings(server, max_retries=9, circuit_breaker=CircuitBreaker(failures=2))) as client,
    ):
        with pytest.raises(ServerError) as failed:
            await client.chat("Hi", max_tokens=5)
        assert len(failed.value.attempt_ids) == len(server.requests) == 2


async def test_no_breaker_is_no_breaker_but_for_the_balance() -> None:
    async with (
        BillServer([*[DOWN] * 8, Failure(402, "Insufficient Balance"), Answer()]) as server,
        AsyncClient(**settings(server, max_retries=0, circuit_breaker=None)) as client,
    ):
        for _ in range(8):
            with pytest.raises(ServerError):
                await client.chat("Hi", max_tokens=5)
        with pytest.raises(InsufficientBalance, match="Insufficient Balance"):
            await client.chat("Hi", max_tokens=5)
        with pytest.raises(BalanceExhausted, match="nothing was sent") as refused:
            await client.chat("Hi", max_tokens=5)
        assert isinstance(refused.value, InsufficientBalance)
        assert isinstance(refused.value, CircuitOpen)
        assert refused.value.status == 402
        assert len(server.requests) == 9


async def test_no_connection_at_all_opens_it() -> None:
    async with AsyncClient(
        **settings("http://127.0.0.1:1/v1", max_retries=0, circuit_breaker=CircuitBreaker(failures=2))
    ) as client:
        for kind in (ConnectionFailed, ConnectionFailed, CircuitOpen):
            with pytest.raises(kind):
                await client.chat("Hi", max_tokens=5)


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"pause": 0.0}, {"balance_pause": -1.0}, {"pause": float("nan")}])
def test_its_numbers_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        CircuitBreaker(**wrong)  # type: ignore[arg-type]
