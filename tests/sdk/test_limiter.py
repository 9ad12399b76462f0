"""Places at an endpoint: first come first served, fewer after a 429, more after success, none lost."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deepthrift import AsyncClient
from deepthrift._admission.limiter import Limiter
from deepthrift.errors import ConfigurationError, DeadlineExceeded, RateLimited
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import Door, every_door, settings, through_async, through_sync


class LimiterMachine(RuleBasedStateMachine):
    """Any order of coming, leaving, cancelling, refusals and pauses: places are neither lost nor handed out twice."""

    @initialize(most=st.sampled_from([1, 2, 5, None]))
    def begin(self, most: int | None) -> None:
        self.loop = asyncio.new_event_loop()
        self.time = 0.0
        self.most = math.inf if most is None else most
        self.limiter = Limiter(most, now=lambda: self.time)
        self.inside: list[int] = []
        """What each attempt began with."""
        self.waiting: list[asyncio.Task[None]] = []
        self.done: list[asyncio.Task[None]] = []

    def turn(self) -> None:
        """Let everything that is ready run; then whoever has come in is the head of the queue."""
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))
        came_in = [task for task in self.waiting if task.done()]
        assert came_in == self.waiting[: len(came_in)], "somebody was served before an earlier one"
        self.waiting = self.waiting[len(came_in) :]
        self.inside += [self.limiter.cuts] * len(came_in)

    @rule()
    def come(self) -> None:
        self.waiting.append(self.loop.create_task(self.limiter.enter()))
        self.turn()

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), how=st.sampled_from(["leave", "succeed", "refused", "refused for a while"]))
    def end(self, data: st.DataObject, how: str) -> None:
        began = self.inside.pop(data.draw(st.integers(0, len(self.inside) - 1)))
        before = self.limiter.limit
        if how == "succeed":
            self.limiter.succeeded()
            assert self.limiter.limit in (before, (before or 0) + 1)
        elif how.startswith("refused"):
            fresh = began == self.limiter.cuts
            flying = len(self.inside) + 1
            self.limiter.refused(began, 7.0 if how.endswith("while") else None)
            expected = max(1, int(min(before or math.inf, flying) // 2)) if fresh else before
            assert self.limiter.limit == expected
        self.limiter.leave()
        self.turn()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        task = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        task.cancel()
        self.turn()
        assert task.cancelled()

    @precondition(lambda self: self.waiting and self.inside)
    @rule()
    def give_up_in_the_moment_of_being_served(self) -> None:
        self.inside.pop()
        self.limiter.leave()
        self.waiting.pop(0).cancel()
        self.turn()

    @rule()
    def wait(self) -> None:
        self.time += 8.0
        self.limiter._resume()
        self.turn()

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "limiter"):
            return
        assert self.limiter.in_flight == len(self.inside)
        assert self.limiter.waiting == len(self.waiting)
        assert self.limiter.limit is None or 1 <= self.limiter.limit <= self.most
        if self.waiting and not self.limiter.pause_left:
            assert len(self.inside) >= (self.limiter.limit or math.inf), "somebody waits beside a free place"

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.waiting:
            task.cancel()
        self.limiter.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


LimiterMachine.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLimiterMachine = LimiterMachine.TestCase


@every_door
async def test_no_more_than_the_limit_go_out_at_a_time(door: Door) -> None:
    from deepthrift import Client

    streamed = door.endswith("stream")
    async with BillServer(Answer("Paris.", delay=0.02)) as server:
        if door.startswith("async"):
            async with AsyncClient(**settings(server, max_concurrency=3)) as client:
                calls = [through_async(client, "Hi", streamed=streamed, max_tokens=5) for _ in range(12)]
                await asyncio.gather(*calls)
                left = client.endpoints
        else:

            def work() -> Any:
                from concurrent.futures import ThreadPoolExecutor

                with Client(**settings(server, max_concurrency=3)) as client, ThreadPoolExecutor(12) as pool:
                    list(pool.map(lambda _: through_sync(client, "Hi", streamed=streamed, max_tokens=5), range(12)))
                    return client.endpoints

            left = await asyncio.to_thread(work)
        assert len(server.requests) == 12
        assert server.peak_in_flight == 3
        assert (left[0].limit, left[0].in_flight, left[0].waiting) == (3, 0, 0)


async def test_the_state_is_visible_and_a_waiting_call_can_be_cancelled() -> None:
    async with BillServer(Answer("Paris.", delay=60)) as server:
        async with AsyncClient(**settings(server, max_concurrency=2)) as client:
            tasks = [asyncio.create_task(client.chat("Hi", max_tokens=5)) for _ in range(5)]
            await server.until(lambda s: len(s.requests) == 2)
            [state] = client.endpoints
            assert (state.limit, state.in_flight, state.waiting, state.circuit) == (2, 2, 3, "closed")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            [state] = client.endpoints
            assert (state.in_flight, state.waiting) == (0, 0)
        assert len(server.requests) == 2


async def test_waiting_counts_against_the_deadline() -> None:
    async with BillServer(Answer("Paris.", delay=60)) as server:
        async with AsyncClient(**settings(server, max_concurrency=1)) as client:
            first = asyncio.create_task(client.chat("Hi", max_tokens=5))
            await server.until(lambda s: len(s.requests) == 1)
            with pytest.raises(DeadlineExceeded) as late:
                await client.chat("Hi", max_tokens=5, deadline=0.05)
            assert late.value.attempt_ids == ()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        assert len(server.requests) == 1


async def test_a_burst_that_is_refused_halves_the_limit_once_and_successes_raise_it() -> None:
    admission = threading.Event()

    def script(request: Received) -> Answer | Failure:
        return Failure(429, "slow down", admission=admission) if request.number < 8 else Answer("Paris.")

    async with BillServer(script) as server, AsyncClient(**settings(server, max_retries=0)) as client:
        assert client.endpoints[0].limit is None
        calls = [asyncio.ensure_future(client.chat("Hi", max_tokens=5)) for _ in range(8)]
        await server.until(lambda s: s.in_flight == 8)
        admission.set()
        refused = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, RateLimited) for each in refused)
        assert client.endpoints[0].limit == 4
        for _ in range(4):
            await client.chat("Hi", max_tokens=5)
        assert client.endpoints[0].limit == 5


@pytest.mark.slow
async def test_retry_after_holds_for_every_call_that_waits() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def script(request: Received) -> Answer | Failure:
        times.append(loop.time())
        return Failure(429, retry_after="3") if request.number == 0 else Answer("Paris.")

    async with BillServer(script) as server, AsyncClient(**settings(server, max_retries=0)) as client:
        with pytest.raises(RateLimited):
            await client.chat("Hi", max_tokens=5)
        assert 0 < client.endpoints[0].pause_left <= 3
        with pytest.raises(DeadlineExceeded, match="asked to wait"):
            await client.chat("Hi", max_tokens=5, deadline=0.05)
        await asyncio.gather(*[client.chat("Hi", max_tokens=5) for _ in range(3)])
        assert all(later - times[0] >= 2.99 for later in times[1:])
        assert len(server.requests) == 4


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_the_limit_is_a_whole_number(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        AsyncClient(**settings("http://gpu-box/v1", max_concurrency=wrong))
