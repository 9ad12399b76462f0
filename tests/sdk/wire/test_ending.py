"""Which finish reasons say that an answer is whole."""

from __future__ import annotations

import pytest

from deepthrift._wire.reply.ending import doubt, ending_of


@pytest.mark.parametrize("reason", ["stop", "STOP", "length", "tool_calls", "tool_call", "content_filter", "eos"])
def test_whole(reason: str) -> None:
    assert ending_of(reason) == "whole"
    assert doubt(reason) is None


@pytest.mark.parametrize(
    "reason", ["abort", "aborted", "error", "internal_error", "network_error", "cancelled", "timeout", "incomplete"]
)
def test_cut(reason: str) -> None:
    assert ending_of(reason) == "cut"
    assert "cut" in (doubt(reason) or "")


@pytest.mark.parametrize("reason", ["unknown", "because", "null", ""])
def test_doubtful(reason: str) -> None:
    assert ending_of(reason) == "doubtful"
    assert "may be cut" in (doubt(reason) or "")
