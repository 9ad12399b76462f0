"""15. A short correct answer is accepted; a fluent wrong one is not accepted for its fluency."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deepthrift import AsyncClient
from deepthrift_router import ModeRouter, RoutedReply
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.oracle import oracle

FRANCE = "What is the capital of France?"
AUSTRALIA = "What is the capital of Australia?"
FLUENT = Answer(
    "The capital of Australia is, of course, Sydney. As the country's largest and most celebrated city, home to the "
    "Opera House and the Harbour Bridge, Sydney has long been the political and economic heart of the nation, "
    "and it is rightly known around the world as Australia's capital. The answer is Sydney."
)
CANBERRA = Answer("Canberra.")


async def _route(question: str, standard: Sequence[Answer], thinking: Answer) -> tuple[RoutedReply, BillServer]:
    async with (
        BillServer(oracle(question, standard, thinking)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        return await ModeRouter(client).chat(question, max_tokens=400), server


@pytest.mark.parametrize(
    "samples",
    [["Paris"], ["Paris."], ["Paris.", "The capital of France is Paris."], ["**Paris**", "paris"]],
    ids=" / ".join,
)
async def test_a_short_correct_answer_is_accepted(samples: list[str]) -> None:
    reply, server = await _route(FRANCE, [Answer(sample) for sample in samples], Answer("Paris.", "Hm. " * 50))
    assert reply.mode == "standard"
    assert reply.text == samples[0]
    assert {request.mode_ran for request in server.requests} == {"standard"}
    assert reply.confidence > 0.5


async def test_a_fluent_wrong_answer_is_not_accepted_for_its_fluency() -> None:
    reply, _ = await _route(AUSTRALIA, [FLUENT, CANBERRA], Answer("Canberra.", "Not Sydney. " * 20))
    assert reply.text == "Canberra."


async def test_what_is_sure_is_agreement_and_not_length() -> None:
    short, _ = await _route(AUSTRALIA, [CANBERRA], CANBERRA)
    fluent, _ = await _route(AUSTRALIA, [FLUENT, CANBERRA], FLUENT)
    assert short.confidence > fluent.confidence
