"""Checks that cost a call: the same question by another method, another endpoint, or put back to the model itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from deepthrift import ChatOptions, Message, Messages, Reply
from deepthrift.errors import ConfigurationError, IsolationUnavailable
from deepthrift_router._answers.answers import Answer, parse_answer, same_answer
from deepthrift_router._belief.verification import CROSS_CHECK, check_outcome
from deepthrift_router._calls.call_spec import Asked
from deepthrift_router._calls.request import as_messages
from deepthrift_router._evidence.draft import Draft, Reading
from deepthrift_router._evidence.isolation import isolation_line, sure_problem, unavailable
from deepthrift_router._evidence.sandbox import Sandbox
from deepthrift_router._evidence.validators import code_of

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._calls.request import Request

CheckName: TypeAlias = Literal["program", "self_check", "margin"]
"""`program`: the question answered by a program that is run in a sandbox. `self_check`: the model's own verdict, in one
token. `margin`: scores of the candidate answers, and the distance between the best two."""

CHECKS: Final[tuple[CheckName, ...]] = ("program", "self_check", "margin")
FAILED: Final = "its call failed"
_PROGRAM_TOKENS: Final = 1_024
_PROGRAM: Final = (
    "Do not answer in words. Write one Python program, standard library only, that computes the answer to the question "
    "above and prints the answer alone. Reply with the program in one ```python block."
)
_VERDICT: Final = "Is the answer above right? Reply with one word: Yes or No."
_SCORES: Final = (
    "Do not answer yet. Score each of these candidate answers from 0 (surely wrong) to 10 (surely right):\n"
    "{candidates}\nReply with one line for each candidate: its number, a colon, its score."
)
_SCORE_LINE: Final = re.compile(r"^\W*(\d{1,2})\W*[:.)-]\W*(\d{1,2}(?:\.\d+)?)", re.MULTILINE)
_OPTION: Final = re.compile(r"^[^\S\n]*[(\[]?([A-J])[)\].:]\s+\S", re.MULTILINE)
_MOST_CANDIDATES: Final = 10


class Check(Protocol):
    """A signal that is bought: one call, and what its reply says about the standard answer."""

    @property
    def name(self) -> str:
        """Its name in the decision and in the table of likelihoods."""
        ...

    @property
    def clients(self) -> Sequence[AsyncClient | None]:
        """Whom it asks, each the same; `None`: the router's own client."""
        ...

    @property
    def condition(self) -> str | None:
        """Which of its tables of likelihoods holds; `None`: the one for answers of that length."""
        ...

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> Asked | str:
        """The call that it needs, or why it has nothing to ask."""
        ...

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """What the replies say about the first draft, or why they say nothing; `None` for one that failed."""
        ...


class ProgramCheck:
    """Whether a program comes to the same answer. It runs isolated, or not at all: then no call is bought for it."""

    name = "program"
    clients = (None,)
    condition = None

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox or Sandbox()
        self._problem: str | None = None
        """Why code is not run here, once that is known."""

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> Asked | str:
        """The same question, to be computed instead of reasoned."""
        if self._sandbox.required and self._problem is None and (problem := sure_problem()) is not None:
            self._problem = unavailable(problem).message
        if self._problem is not None:
            return self._problem
        answer = drafts[0].answer
        if answer is None or answer.kind in ("code", "text"):
            return "only numbers, choices, dates and data are computed"
        most = _PROGRAM_TOKENS if request.max_tokens is None else min(request.max_tokens, _PROGRAM_TOKENS)
        return _asked(extended(request.messages, _PROGRAM), most, request)

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """`agree`, `disagree`, or `no_answer` where the program fails or prints nothing."""
        if (reply := replies[0]) is None:
            return FAILED
        try:
            done = await self._sandbox.run(code_of(reply.text))
        except IsolationUnavailable as error:
            self._problem = error.message
            return error.message
        except (OSError, ConfigurationError) as error:  # the answer that it was to check is there and paid for
            return f"the program could not be run: {error}"
        printed = done.output.strip()
        if not done.ok or not printed:
            said = (done.errors.strip() or "it printed nothing").splitlines()[-1]
            return Reading("no_answer", detail=f"the program failed: {said[:200]}; {isolation_line(done.isolation)}")
        reading = _compared(drafts[0].answer, parse_answer(printed, request.question))
        return Reading(reading.outcome, detail=f"{reading.detail}; {isolation_line(done.isolation)}")


class CrossCheck:
    """Whether one or two other endpoints give the same answer to the same messages."""

    name = CROSS_CHECK

    def __init__(self, clients: Sequence[AsyncClient]) -> None:
        self.clients: Sequence[AsyncClient | None] = tuple(clients)
        self.condition: str | None = f"of {len(clients)}"

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> Asked | str:
        """The very same question."""
        if drafts[0].answer is None:
            return "the answer is open text, which cannot be compared"
        return _asked(request.messages, request.max_tokens, request)

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """Of one: `agree`, `disagree` or `no_answer`. Of two: `both`, `first`, `second`, `against` or `differ`."""
        first = drafts[0].answer
        if first is None or not any(replies):
            return FAILED
        others = [None if reply is None else Draft.of(reply, request.question).answer for reply in replies]
        shown = " and ".join(repr(answer.form[:40]) if answer is not None else "none" for answer in (first, *others))
        return Reading(check_outcome(first, others), detail=shown)


class SelfCheck:
    """What the model says of its own answer, in one token: as a probability where the host gives log-probabilities."""

    name = "self_check"
    clients = (None,)
    condition = None

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> Asked | str:
        """The draft, with the question whether it is right."""
        options: ChatOptions = {"temperature": 0}
        if logprobs:
            options["top_logprobs"] = 5
        messages: list[Message] = [
            *as_messages(request.messages),
            {"role": "assistant", "content": drafts[0].reply.text},
            {"role": "user", "content": _VERDICT},
        ]
        return _asked(messages, 1, request, options)

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """`sure`, `yes`, `no`, or `unclear`."""
        if (reply := replies[0]) is None:
            return FAILED
        chance = _chance_of_yes(reply)
        if chance is not None:
            outcome = "sure" if chance >= 0.9 else "yes" if chance >= 0.5 else "no"
            return Reading(outcome, detail=f"{chance:.2f} for yes")
        word = reply.text.strip().casefold().rstrip(".!")
        return Reading(word if word in ("yes", "no") else "unclear")


class MarginCheck:
    """The model's scores of the candidate answers: how far the draft is ahead of the next one."""

    name = "margin"
    clients = (None,)
    condition = None

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> Asked | str:
        """The candidates, to be scored from 0 to 10."""
        candidates = candidates_of(drafts, request.question)
        if len(candidates) < 2:
            return "there is one candidate answer, and it cannot be compared with another"
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(candidates, 1))
        asked = extended(request.messages, _SCORES.format(candidates=listed))
        return _asked(asked, 8 * len(candidates) + 16, request, {"temperature": 0})

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


def checks_of(names: Sequence[CheckName], cross_check: Sequence[AsyncClient], sandbox: Sandbox | None) -> list[Check]:
    """The checks of these names, and the one by other endpoints.

    Raises:
        ConfigurationError: A name is unknown, or there are more than two endpoints, of which nothing is recorded.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ConfigurationError(f"{unknown[0]!r} is not a check; use one of {', '.join(CHECKS)}")
    if len(cross_check) > 2:
        raise ConfigurationError(f"cross_check is one or two clients, not {len(cross_check)}")
    makers: dict[CheckName, Callable[[], Check]] = {
        "program": lambda: ProgramCheck(sandbox),
        "self_check": SelfCheck,
        "margin": MarginCheck,
    }
    others: list[Check] = [CrossCheck(cross_check)] if cross_check else []
    return [*others, *(makers[name]() for name in dict.fromkeys(names))]


def extended(messages: Messages, text: str) -> list[Message]:
    """`messages` with `text` below the last question: everything before it stays as it was, for the prefix cache."""
    listed = as_messages(messages)
    last = listed[-1]
    content = last.get("content")
    if last["role"] == "user" and isinstance(content, str):
        return [*listed[:-1], {"role": "user", "content": f"{content}\n\n{text}"}]
    return [*listed, {"role": "user", "content": text}]


def _asked(messages: Messages, most: int | None, request: Request, further: ChatOptions | None = None) -> Asked:
    """A standard call of its own; of the user's options those that say where and for whom it runs."""
    options = request.plain_options()
    options.update(further or {})
    return Asked("standard", "verify", messages, most, options)


def _compared(first: Answer | None, other: Answer | None) -> Reading:
    if first is None or other is None:
        return Reading("no_answer", detail="there is no answer to compare with")
    same = same_answer(first, other)
    return Reading("agree" if same else "disagree", detail=f"{first.form[:40]!r} and {other.form[:40]!r}")


def _chance_of_yes(reply: Reply) -> float | None:
    """The probability of Yes against No in the first token, or `None` where there are no log-probabilities."""
    if not reply.logprobs:
        return None
    token = reply.logprobs[0]
    chances = {"yes": 0.0, "no": 0.0}
    for text, logprob in {token.token: token.logprob, **dict(token.top)}.items():
        word = text.strip().casefold()
        if word in chances and logprob is not None:
            chances[word] += math.exp(logprob)
    total = sum(chances.values())
    return chances["yes"] / total if total > 0 else None
