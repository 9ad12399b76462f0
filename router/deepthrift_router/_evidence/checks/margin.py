"""Scores of the candidate answers, and the distance between the best two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deepthrift import Reply
from deepthrift_router._answers.answers import Answer, parse_answer, same_answer
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._evidence.call_check import FAILED, CallCheck, extended, verify_call
from deepthrift_router._evidence.draft import Draft, Reading
from deepthrift_router._evidence.sandbox import Sandbox

if TYPE_CHECKING:
    from deepthrift_router._calls.request import Request

_SCORES: Final = (
    "Do not answer yet. Score each of these candidate answers from 0 (surely wrong) to 10 (surely right):\n"
    "{candidates}\nReply with one line for each candidate: its number, a colon, its score."
)
_SCORE_LINE: Final = re.compile(r"^\W*(\d{1,2})\W*[:.)-]\W*(\d{1,2}(?:\.\d+)?)", re.MULTILINE)
_OPTION: Final = re.compile(r"^[^\S\n]*[(\[]?([A-J])[)\].:]\s+\S", re.MULTILINE)
_MOST_CANDIDATES: Final = 10


class MarginCheck:
    """The model's scores of the candidate answers: how far the draft is ahead of the next one."""

    name = "margin"
    clients = (None,)
    condition = None

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> CallSpec | str:
        """The candidates, to be scored from 0 to 10."""
        candidates = candidates_of(drafts, request.question)
        if len(candidates) < 2:
            return "there is one candidate answer, and it cannot be compared with another"
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(candidates, 1))
        spec = extended(request.messages, _SCORES.format(candidates=listed))
        return verify_call(spec, 8 * len(candidates) + 16, request, {"temperature": 0})

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """The span of the margin, or `other` where another candidate has the best score."""
        if (reply := replies[0]) is None:
            return FAILED
        candidates = candidates_of(drafts, request.question)
        scores: dict[int, float] = {}
        for number, score in _SCORE_LINE.findall(reply.text):
            scores.setdefault(int(number), float(score))
        if not set(scores) >= set(range(1, len(candidates) + 1)):
            return "the scores could not be read"
        own = scores[1]
        best = max(score for number, score in scores.items() if 1 < number <= len(candidates))
        margin = own - best
        if margin < 0:
            return Reading("other", detail=f"{margin:+g}")
        spans = ((1, "0"), (3, "1-2"), (6, "3-5"))
        return Reading(next((name for most, name in spans if margin < most), "6-10"), detail=f"{margin:+g}")


def candidates_of(drafts: Sequence[Draft], question: str) -> list[str]:
    """The answers to choose between, the first draft's in front: the other drafts', and a question's own options."""
    first = drafts[0].answer
    if first is None:
        return []
    found: list[tuple[Answer, str]] = [(first, first.form)]
    options = [str(letter) for letter in _OPTION.findall(question)] if first.kind == "choice" else []
    others = [draft.answer for draft in drafts[1:]] + [parse_answer(letter, question) for letter in options]
    for answer in others:
        if answer is not None and not any(same_answer(answer, known) for known, _ in found):
            found.append((answer, answer.form))
    return [text for _, text in found[:_MOST_CANDIDATES]]


def make(sandbox: Sandbox | None) -> CallCheck:
    """This check; it runs no code."""
    return MarginCheck()
