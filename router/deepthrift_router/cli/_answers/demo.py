"""The run of `deepthrift demo`: questions, audits, totals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from deepthrift_pricing import Budget, new_id
from deepthrift_pricing.errors import BudgetExceeded
from deepthrift_router.cli._answers.demo_page import Page
from deepthrift_router.cli._answers.demo_questions import QUESTIONS, TEMPERATURE, Question
from deepthrift_router.cli._answers.demo_totals import Totals, audited_savings
from deepthrift_router.cli._answers.routing import progress
from deepthrift_router.cli._shared.connect import Place, connect, fetch
from deepthrift_router.cli._shared.endpoint import Endpoint

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router import RoutedReply, Savings
    from deepthrift_router.cli._shared.options import LedgerPlace
    from deepthrift_router.cli._shared.output import Output

TAG = "demo"
"""Every attempt of a run carries this tag, with the run's id as its value."""


class DemoOptions(TypedDict):
    """What a run of the demo is made of."""

    questions: int
    policy: Literal["cascade", "auto"]
    budget: str
    audits: int
    max_tokens: int
    seed: int
    model: str | None
    ledger: LedgerPlace | None


class Demo:
    """One run. Its attempts go into the ledger like any other; the budget holds for this run alone."""

    def __init__(self, output: Output, **options: Unpack[DemoOptions]) -> None:
        run_id = new_id("demo")
        self._output = output
        self._questions: Sequence[Question] = QUESTIONS[: options["questions"]]
        self._policy: Literal["cascade", "auto"] = options["policy"]
        self._audits = options["audits"]
        self._max_tokens = options["max_tokens"]
        self._seed = options["seed"]
        self._model = options["model"]
        self._tags = {TAG: run_id}
        self._budget = Budget(options["budget"], per="total", tags=self._tags, policy="refuse", name="this demo")
        endpoint = Endpoint(model=self._model)
        self._place = Place(endpoint, ledger=options["ledger"], tags=self._tags, budgets=(self._budget,))
        self._page = Page(output, run_id=run_id, budget=self._budget, total=len(self._questions))
        self._replies: list[RoutedReply] = []
        self._savings: list[Savings] = []

    def prepare(self) -> None:
        """Fetch the model if it is not here, before anything else begins."""
        self._page.introduce(self._model)
        fetch(self._model, self._output)

    async def run(self) -> None:
        """Ask, audit, and tell the totals; they are told too when the run is stopped or fails.

        Raises:
            BudgetExceeded: The budget refused a question.
        """
        began = time.monotonic()
        async with connect(self._place, self._output) as client:
            self._page.start(client, time.monotonic() - began)
            stopped: BaseException | None = None
            try:
                await self._ask_all(client)
            except (asyncio.CancelledError, Exception) as error:
                stopped = error
            totals = Totals.of(client.ledger, self._tags, self._replies, self._savings)
            self._page.finish(totals, time.monotonic() - began, stopped)
            if stopped is not None:
                raise stopped

    async def _ask_all(self, client: AsyncClient) -> None:
        from deepthrift_router import ModeRouter

        router = ModeRouter(client, policy=self._policy)
        refused: BudgetExceeded | None = None
        for number, question in enumerate(self._questions, 1):
            self._page.question(number, question)
            try:
                async with progress(client.ledger, self._output, f"{number} of {len(self._questions)}"):
                    reply = await router.chat(
                        question.text, max_tokens=self._max_tokens, temperature=TEMPERATURE, seed=self._seed
                    )
                self._replies.append(reply)
                self._page.answer(number, question, reply)
                self._savings.append(await self._saving(client, question, reply))
            except BudgetExceeded as error:
                refused = error
                self._page.refused(number, question, error)
        if refused is not None:
            raise refused

    async def _saving(self, client: AsyncClient, question: Question, reply: RoutedReply) -> Savings:
        """The router's own figure; while too little is on record for one, the question is thought through as well."""
        if reply.savings.known or self._audits == 0:
            return reply.savings
        self._audits -= 1
        try:
            async with progress(client.ledger, self._output, "audit"):
                audit = await client.chat(
                    question.text,
                    mode="thinking",
                    max_tokens=self._max_tokens,
                    temperature=TEMPERATURE,
                    seed=self._seed,
                    purpose="audit",
                )
        except BudgetExceeded as error:
            self._page.audit_refused(question, error)
            return reply.savings
        self._page.audited(question, audit)
        return audited_savings(reply, audit)
