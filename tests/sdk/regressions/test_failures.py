"""Errors in every shape and place, and answers that are none (R20, R29–R32)."""

from __future__ import annotations

import pytest

from deepthrift.errors import AuthenticationFailed, InsufficientBalance, StreamInterrupted
from tests.sdk.regressions.wire import body_of, reply_to
from tests.support.bill_server import Answer, BillServer, Failure, RawBody
from tests.support.doors import Door, ask, every_door, every_stream


@every_door
@pytest.mark.parametrize("text", ["", "   \n\n "])
async def test_r20_a_blank_json_answer_is_never_silent(door: Door, text: str) -> None:
    reply = await reply_to(door, {"content": text}, response_format={"type": "json_object"})
    assert reply.text == text
    assert any("blank" in warning for warning in reply.warnings)


@every_stream
async def test_r29_an_error_in_mid_stream_keeps_the_partial_answer(door: Door) -> None:
    async with BillServer(Answer("Paris is a city.", error_after=2)) as server:
        with pytest.raises(StreamInterrupted) as broken:
            await ask(door, server, max_tokens=50)
    assert broken.value.partial is not None
    assert broken.value.partial.text == "Paris is"
    assert broken.value.spend == broken.value.partial.cost.total


@every_door
async def test_r30_errors_are_read_by_content_not_by_content_type(door: Door) -> None:
    refusal = Failure(401, "wrong token", shape="siliconflow", content_type="application/octet-stream")
    async with BillServer(refusal) as server:
        with pytest.raises(AuthenticationFailed, match="wrong token"):
            await ask(door, server, max_tokens=50)


@every_door
async def test_r30_answers_too(door: Door) -> None:
    async with BillServer(
        RawBody(body_of({"content": "Paris."}, door), content_type="application/octet-stream")
    ) as server:
        assert (await ask(door, server, max_tokens=50)).text == "Paris."


@every_door
async def test_r31_an_empty_balance_is_asked_once(door: Door) -> None:
    async with BillServer(Failure(402, "Insufficient Balance")) as server:
        with pytest.raises(InsufficientBalance):
            await ask(door, server, max_tokens=50)
        assert len(server.requests) == 1


@every_door
@pytest.mark.parametrize("reason", ["insufficient_system_resource", "aborted", "error", "a_new_one"])
async def test_r32_unknown_finish_reasons_pass(door: Door, reason: str) -> None:
    reply = await reply_to(door, {"content": "Paris."}, reason)
    assert (reply.text, reply.finish_reason) == ("Paris.", reason)
