"""How `deepthrift demo` looks, on a terminal and as JSON lines."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepthrift_pricing import Cost
from deepthrift_router.cli._answers.demo_totals import usage_of
from deepthrift_router.cli._answers.routing import checks, savings_line, sentence
from deepthrift_router.cli._answers.text import clean
from deepthrift_router.cli._money.prices import PROFILES
from deepthrift_router.cli._money.spending import show_budgets
from deepthrift_router.cli._shared.format import limit, money, seconds
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepthrift import AsyncClient, Reply
    from deepthrift_pricing import Attempt, Budget, Mode
    from deepthrift_pricing.errors import BudgetExceeded
    from deepthrift_router import RoutedReply
    from deepthrift_router.cli._answers.demo_questions import Question
    from deepthrift_router.cli._answers.demo_totals import Totals
    from deepthrift_router.cli._shared.output import Output

INTRODUCTION: Final = """\
{questions} through the router to a real model on this machine. Nothing leaves it.

{model} It shows the workings: two modes, the checks, the tokens, the money, the budget. The chances that the router \
names were learnt from large models; for {this} they are too high.

Costs are booked at the project's own `brief` prices, a yardstick with a price for each mode. They never were an \
official table; what DeepSeek charged for V3.1 is computed beside them at the end.

Every standard answer is checked: how it ended, its shape, and where that can be compared a second sample. What fails \
is thought through. Each mode shows its requests, prompt tokens (cache hits + misses), output tokens and cost."""
_SMALL: Final = (
    "The model has 135 million parameters: it runs anywhere and is often wrong, and thinking does not make it smarter."
)
INDENT: Final = "      "
_MOST: Final = 300
"""Characters of an answer that are shown."""
MODES: tuple[Mode, ...] = ("standard", "thinking")


class Page:
    """Writes one run, event by event."""

    def __init__(self, output: Output, *, run_id: str, budget: Budget, total: int) -> None:
        self._output = output
        self._run_id = run_id
        self._budget = budget
        self._total = total

    def introduce(self, model: str | None) -> None:
        """What this is; `model` is the one that was chosen, if one was."""
        if self._output.as_json:
            return
        self._output.print("Deepthrift demo", style="bold")
        told = INTRODUCTION.format(
            questions={1: "One question goes", 12: "A dozen questions go"}.get(
                self._total, f"{self._total} questions go"
            ),
            model=_SMALL if model is None else f"The model is {Path(model).name}, on which nothing was tried here.",
            this="this one" if model is None else "small ones",
        )
        for paragraph in told.split("\n\n"):
            self._text(f"\n{paragraph}", "")
        self._output.print()

    def start(self, client: AsyncClient, elapsed: float) -> None:
        """The engine runs."""
        if self._output.as_json:
            self._output.line(
                {
                    "event": "start",
                    "run": self._run_id,
                    "model": client.model,
                    "prices": "brief",
                    "budget": self._budget.limit,
                    "ledger": client.ledger.url,
                    "seconds": round(elapsed, 3),
                }
            )
            return
        ready = f"{client.model} is ready after {seconds(elapsed)}."
        self._text(f"{ready} Budget of this run: {limit(self._budget.limit)}.", "")

    def question(self, number: int, question: Question) -> None:
        """A question is about to be asked."""
        if not self._output.as_json:
            self._output.print()
            start = f"{number:>2}/{self._total} "
            self._text(f"{question.text} ({question.kind})", INDENT, style="bold", start=start)

    def answer(self, number: int, question: Question, reply: RoutedReply) -> None:
        """An answer, how it came about, and what it cost in each mode."""
        if self._output.as_json:
            self._output.line(
                {"event": "answer", "number": number, "kind": question.kind, "question": question.text, **dump(reply)}
            )
            return
        if reply.reasoning:
            self._text(f"thinking: {_short(reply.reasoning)}", INDENT, style="dim italic")
        self._text(_cut(reply.text) or "(no answer)", INDENT)
        self._text(f"path: {' > '.join(reply.path)}; checked: {checks(reply)}", INDENT)
        self._text(f"why: {_why(reply)}", INDENT, style="dim")
        for mode in MODES:
            self._mode(mode, [each for each in reply.attempts if each.mode == mode])

    def _mode(self, mode: Mode, attempts: Sequence[Attempt]) -> None:
        if not attempts:
            self._output.print(f"{INDENT}{mode:<9} not run", style="dim")
            return
        usage = usage_of(attempts)
        calls = f"{len(attempts)} request{'' if len(attempts) == 1 else 's'}"
        reasoning = f" ({usage.reasoning_tokens} reasoning)" if usage.reasoning_tokens else ""
        prompt = f"{usage.cache_hit_tokens} + {usage.cache_miss_tokens} in"
        what = f"{mode:<9} {calls}, {prompt}, {usage.completion_tokens} out{reasoning}"
        self._output.print(f"{INDENT}{what:<60} {money(Cost.sum(each.cost for each in attempts).total):>12}")

    def refused(self, number: int, question: Question, error: BudgetExceeded) -> None:
        """A question that the budget did not let through."""
        if self._output.as_json:
            self._output.line(
                {"event": "refused", "number": number, "question": question.text, "message": error.message}
            )
            return
        self._text(f"refused before it was sent: {error.message}", INDENT, style="yellow")

    def audit_refused(self, question: Question, error: BudgetExceeded) -> None:
        """An audit that the budget did not let through; its question has its answer."""
        if self._output.as_json:
            self._output.line({"event": "audit_refused", "question": question.text, "message": error.message})
            return
        self._text(f"audit: refused before it was sent: {error.message}", INDENT, style="yellow")

    def audited(self, question: Question, reply: Reply) -> None:
        """A question was thought through as well, because too few thinking calls are on record."""
        if self._output.as_json:
            self._output.line({"event": "audit", "question": question.text, **reply.model_dump(mode="json")})
            return
        text = "audit: too few thinking calls are on record to tell a saving, so this was thought through as well"
        self._text(text, INDENT, style="dim")
        self._mode("thinking", reply.attempts)

    def finish(self, totals: Totals, elapsed: float, stopped: BaseException | None) -> None:
        """The totals, also of a run that was stopped."""
        if self._output.as_json:
            self._output.line(
                {
                    "event": "totals",
                    "complete": stopped is None,
                    "seconds": round(elapsed, 3),
                    **totals.as_json(),
                }
            )
            return
        if isinstance(stopped, asyncio.CancelledError):
            self._output.print("\nStopped. What was under way is booked too.", style="yellow")
        self._output.print(f"\nTotals after {seconds(elapsed)}", style="bold")
        self._totals_table(totals)
        self._official_table(totals)
        self._output.print(f"\nBudget: {limit(self._budget.limit)} for this run", style="bold")
        show_budgets(totals.budgets, self._output)
        self._output.print("\nNet saving against always thinking", style="bold")
        self._savings(totals)
        self._output.print("\nRead it back: deepthrift spend --by mode --by purpose --since today", whole=True)

    def _totals_table(self, totals: Totals) -> None:
        numbers = ("requests", "cache hit", "cache miss", "output", "reasoning", "cost (brief)")
        found = table("", *numbers, right=numbers)
        for name, attempts in totals.parts():
            usage = usage_of(attempts)
            cost = Cost.sum(each.cost for each in attempts)
            found.add_row(
                name,
                str(len(attempts)),
                f"{usage.cache_hit_tokens:,}",
                f"{usage.cache_miss_tokens:,}",
                f"{usage.completion_tokens:,}",
                f"{usage.reasoning_tokens:,}",
                money(cost.total),
                style="bold" if name == "total" else None,
            )
        self._output.print(found)

    def _official_table(self, totals: Totals) -> None:
        self._output.print("\nThe same tokens at", style="bold")
        found = table("prices", "standard", "thinking", "total", right=("standard", "thinking", "total"))
        for name in PROFILES:
            costs = [totals.cost_at(name, mode) for mode in MODES]
            label = f"{name} (booked)" if name == "brief" else name
            found.add_row(label, *(money(cost) for cost in costs), money(costs[0] + costs[1]))
        self._output.print(found)

    def _savings(self, totals: Totals) -> None:
        savings = totals.savings
        if savings is None or savings.net is None:
            reason = "no question was answered" if savings is None else savings.reason
            self._text(f"Not known: {reason}.", "")
            return
        self._text(f"{sentence(savings_line(savings))}.", "", style="bold")
        self._text(
            f"{totals.escalated} of {totals.answers} answers went to thinking; {savings.reason}. All that routing "
            f"itself cost is counted, {money(totals.samples)} for second samples among it. It is the saving of these "
            "questions on this model, and says nothing of yours.",
            "",
        )
        if totals.audits:
            left = savings.net - totals.audits
            self._text(
                f"The audits cost {money(totals.audits)} on top, once: with them the net is {money(left)}. The next "
                "run finds them on record.",
                "",
            )

    def _text(self, text: str, indent: str, *, style: str | None = None, start: str | None = None) -> None:
        """A paragraph, broken between words at the width of the page, in a pipe too. `start` begins its first line."""
        width = min(self._output.out.width, 100) - 1
        for line in text.split("\n"):
            broken = textwrap.wrap(line, width, initial_indent=start or indent, subsequent_indent=indent)
            self._output.print("\n".join(broken) or indent.rstrip(), style=style)


def dump(reply: RoutedReply) -> dict[str, object]:
    """A reply as JSON, with its cost in each mode."""
    fields: dict[str, object] = reply.model_dump(mode="json")
    fields["cost_by_mode"] = {
        mode: Cost.sum(each.cost for each in reply.attempts if each.mode == mode).model_dump(mode="json")
        for mode in MODES
    }
    return fields


def _why(reply: RoutedReply) -> str:
    """The reason, without the sentence on the policy, which is the same for every answer."""
    reason = reply.decision.reason
    return reason if reply.decision.policy == "auto" else reason.partition(". ")[2] or reason


def _short(text: str) -> str:
    """One paragraph of text, cut where it becomes long."""
    return _limited(" ".join(clean(text).split()))


def _cut(text: str) -> str:
    """Text in its own lines, cut where it becomes long."""
    return _limited("\n".join(line.rstrip() for line in clean(text).splitlines() if line.strip()))


def _limited(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST].rstrip()}…"
