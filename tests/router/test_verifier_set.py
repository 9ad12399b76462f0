"""On 200 and more answers: short and right is accepted, fluent and wrong is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from deepthrift import AsyncClient
from deepthrift_router import ModeRouter, RoutedReply
from tests.router.verifier_set import CASES, Case
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings

BY_QUESTION = {case.question: case for case in CASES}


async def _route_all(samples: Callable[[Case], list[str]]) -> dict[str, RoutedReply]:
    asked: dict[str, int] = {}

    def handle(request: Any) -> Answer:
        case = BY_QUESTION[request.question]
        if request.mode_ran == "thinking":
            return Answer(case.right, reasoning="Let me see. " * 30)
        number = asked[case.question] = asked.get(case.question, -1) + 1
        texts = samples(case)
        return Answer([texts[min(number, len(texts) - 1)]], text_tokens=len(texts[min(number, len(texts) - 1)].split()))

    async with BillServer(handle) as server, AsyncClient(**settings(server)) as client:
        router = ModeRouter(client)
        admission = asyncio.Semaphore(8)

        async def one(question: str) -> RoutedReply:
            async with admission:
                return await router.chat(question, max_tokens=400)

        replies = await asyncio.gather(*(one(question) for question in BY_QUESTION))
    return dict(zip(BY_QUESTION, replies, strict=True))


def test_the_set_is_large_enough() -> None:
    assert len(BY_QUESTION) == len(CASES)
    assert 2 * len(CASES) >= 200


async def test_short_right_answers_are_accepted_when_a_second_sample_agrees() -> None:
    replies = await _route_all(lambda case: [case.right, case.right_again])
    refused = [question for question, reply in replies.items() if reply.mode != "standard"]
    assert len(refused) <= 0.1 * len(CASES), refused


async def test_fluent_wrong_answers_are_refused_when_a_second_sample_disagrees() -> None:
    replies = await _route_all(lambda case: [case.fluent, case.right])
    fooled = [
        question
        for question, reply in replies.items()
        if reply.mode == "standard" and reply.path[-1] != "kept standard"
    ]
    accepted = [question for question in fooled if replies[question].text == BY_QUESTION[question].fluent]
    assert len(accepted) <= 0.05 * len(CASES), accepted


async def test_two_different_fluent_wrong_answers_are_refused() -> None:
    replies = await _route_all(lambda case: [case.fluent, f"The answer is something else than {case.wrong}."])
    accepted = [question for question, reply in replies.items() if reply.mode == "standard"]
    assert len(accepted) <= 0.05 * len(CASES), accepted
