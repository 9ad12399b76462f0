"""A pretend model whose two modes are right or wrong as a test wants it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.bill_server import Answer, Handler, Received


def oracle(question: str, standard: Sequence[Answer], thinking: Answer | Sequence[Answer]) -> Handler:
    """Answers to `question`: standard samples one after the other, then the last again; thinking likewise.

    Whatever else is asked, such as to check an answer, is left open, so that only the samples count.
    """
    thoughts = [thinking] if isinstance(thinking, Answer) else list(thinking)
    asked = {"standard": 0, "thinking": 0}

    def handle(request: Received) -> Answer:
        if question not in request.question:
            return Answer("I cannot tell.")
        samples = list(standard) if request.mode_ran == "standard" else thoughts
        number = asked[request.mode_ran]
        asked[request.mode_ran] += 1
        return samples[min(number, len(samples) - 1)]

    return handle
