"""Recorded answers over HTTP: the real router decides row by row as the offline evaluation does."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from deepthrift import AsyncClient
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import ModeRouter
from deepthrift_router.evaluation import Outcome, ReplayServer, decide_offline, route_outcomes
from tests.router.recorded import made_up, real

ROWS = {
    "made up": made_up(20),
    "reasoning gym": real("reasoning_gym_maverick_r1", "reasoning_gym_easy", 30),
    "medicine": real("medagents_dsv3_dsr1", "medagents", 15),
}
SETS = [name for name, rows in ROWS.items() if rows]


def client_of(server: ReplayServer, ledger: Ledger) -> AsyncClient:
    return AsyncClient(server.url, host="vllm", model=server.model, prices="brief", ledger=ledger, max_retries=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
async def test_the_same_decisions_row_by_row(name: str) -> None:
    for each in ROWS[name]:
        # A ledger of its own for every row: lengths on record would otherwise move the economics from row to row.
        ledger = Ledger.open("memory:")
        with ReplayServer([each]) as server:
            async with client_of(server, ledger) as client:
                router = ModeRouter(client, value_of_right_answer="0.004", max_samples=min(3, len(each.samples)))
                offline = decide_offline(router, each)
                (live,) = [done async for done in route_outcomes(router, [each])]
        ledger.close()
        if offline is None:
            assert live.reply.decision.plan != "cascade"
            continue
        path = tuple(step for step in live.reply.path if step != "kept standard")
        assert path == offline.path, each.id
        assert live.reply.decision.p_standard == pytest.approx(offline.belief.p_standard), each.id
        assert live.reply.decision.p_thinking == pytest.approx(offline.belief.p_thinking), each.id
        if live.reply.path[-1] != "kept standard":
            assert live.right == offline.right, each.id


async def test_accuracy_comes_from_feedback_and_cost_from_recorded_tokens() -> None:
    rows = ROWS["made up"]
    ledger = Ledger.open("memory:", budgets=[Budget("5", per="day")])
    with ReplayServer(rows) as server:
        async with client_of(server, ledger) as client:
            router = ModeRouter(client, policy="thinking")
            done = [each async for each in route_outcomes(router, rows)]
    assert sum(each.right for each in done) == sum(row.thinking_right for row in rows)
    for each in done:
        assert each.reply.usage.completion_tokens == each.outcome.thinking_tokens
    spent = ledger.budget_status()[0].spent
    assert spent == sum((each.reply.cost.total for each in done[1:]), done[0].reply.cost.total)
    ledger.close()


async def test_samples_are_served_in_order_and_rewound() -> None:
    rows = made_up(3)
    with ReplayServer(rows) as server, httpx.Client() as http:
        asked = {"model": server.model, "messages": [{"role": "user", "content": rows[0].query}]}

        def say(**more: object) -> dict[str, object]:
            answered = http.post(f"{server.url}/chat/completions", json={**asked, **more})
            return answered.json() if answered.status_code == 200 else {"status": answered.status_code}

        texts = [say()["choices"][0]["message"]["content"] for _ in range(4)]  # type: ignore[index]
        assert texts == [*(rows[0].standard_extra.sample_answers or ()), texts[2]]
        server.rewind()
        assert say()["choices"][0]["message"]["content"] == texts[0]  # type: ignore[index]
        thought = say(chat_template_kwargs={"thinking": True})
        assert thought["choices"][0]["message"]["reasoning_content"]  # type: ignore[index]
        assert thought["usage"]["estimated"] is False  # type: ignore[index]
        assert say(messages=[{"role": "user", "content": "something else"}]) == {"status": 404}
        assert http.get(f"{server.url}/models").json()["data"][0]["id"] == server.model
        assert http.post(f"{server.url}/chat/completions", content=b"{").status_code == 400
        assert server.calls == {"standard": 5, "thinking": 1}


async def test_a_stream_ends_as_the_whole_does() -> None:
    rows = made_up(2)
    ledger = Ledger.open("memory:")
    with ReplayServer(rows) as server:
        async with client_of(server, ledger) as client, client.stream(rows[1].query, mode="thinking") as stream:
            async for _ in stream:
                pass
        assert stream.reply.text == f"<answer>{rows[1].thinking_final}</answer>"
        assert stream.reply.usage.completion_tokens == rows[1].thinking_tokens
    ledger.close()


def test_one_question_is_served_once() -> None:
    twice: Sequence[Outcome] = [*made_up(1), *made_up(1)]
    with pytest.raises(ConfigurationError, match="before it"):
        ReplayServer(twice)
    with pytest.raises(ConfigurationError, match="not started"):
        _ = ReplayServer(made_up(1)).url
