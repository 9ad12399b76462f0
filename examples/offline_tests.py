"""Tests of your own without a network: a scripted endpoint for what goes wrong, a recording for what really was said.

    python examples/offline_tests.py
    DEEPTHRIFT_URL=http://localhost:8000/v1 python examples/offline_tests.py

With DEEPTHRIFT_URL, one real exchange is recorded in `summary.jsonl` and replayed; without, the recording has to be
there already. The file holds prompt and answer, and no key.
"""

from __future__ import annotations

import os
from pathlib import Path

from deepthrift import Client
from deepthrift.errors import InsufficientBalance
from deepthrift.testing import MockError, MockReply, MockTransport, Recorder

NOWHERE = "http://test.invalid/v1"
CASSETTE = Path("summary.jsonl")


def summarise(client: Client, text: str) -> str:
    """The code under test: a summary, or an apology that costs nothing."""
    try:
        return client.chat(f"Say yes if this is short: {text}", temperature=0, max_tokens=64).text
    except InsufficientBalance:
        return "Not today: the account is empty."


def test_an_empty_account_is_told_kindly() -> None:
    endpoint = MockTransport([MockReply("Yes.", expect={"temperature": 0}), MockError(402, "Insufficient Balance")])
    with Client(NOWHERE, host="vllm", prices="brief", transport=endpoint) as client:
        assert summarise(client, "A cat sat.") == "Yes."
        assert summarise(client, "A cat sat.") == "Not today: the account is empty."
    assert endpoint.requests[0].mode == "standard"
    endpoint.assert_all_used()


def test_a_real_answer_is_understood() -> None:
    recorder = Recorder(CASSETTE)
    with Client(os.environ.get("DEEPTHRIFT_URL", NOWHERE), host="vllm", prices="brief", transport=recorder) as client:
        print("recorded:" if recorder.recording else "replayed:", summarise(client, "A cat sat."))
        print(f"cost: {client.ledger.attempts()[-1].cost}")
    recorder.assert_all_used()


if __name__ == "__main__":
    test_an_empty_account_is_told_kindly()
    test_a_real_answer_is_understood()
    os.environ.pop("DEEPTHRIFT_URL", None)
    test_a_real_answer_is_understood()
