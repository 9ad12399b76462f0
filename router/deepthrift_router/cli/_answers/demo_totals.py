"""The totals of a demo run, worked out from what the ledger holds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepthrift_pricing import Attempt, BudgetStatus, Cost, Mode, Money, PriceBook, Usage
from deepthrift_router import RoutedReply, Savings
from deepthrift_router.cli._money.prices import PROFILES

if TYPE_CHECKING:
    from deepthrift import Reply
    from deepthrift_pricing import Ledger


def audited_savings(reply: RoutedReply, audit: Reply) -> Savings:
    """The saving of an answer whose question was thought through as well: measured, the audit's own cost apart."""
    net = audit.cost.total - reply.cost.total
    return Savings(
        net=net,
        low=net,
        high=net,
        spent=reply.cost.total,
        baseline=audit.cost.total,
        basis="measured",
        recorded=1,
        reason="the question was thought through as well",
    )


@dataclass(frozen=True)
class Totals:
    """What a run made and spent."""

    attempts: Sequence[Attempt]
    """Every attempt of the run, those of stopped and refused answers too."""
    budgets: Sequence[BudgetStatus]
    savings: Savings | None
    """Of all answers; `None` if there are none."""
    escalated: int
    answers: int

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        tags: Mapping[str, str],
        replies: Sequence[RoutedReply],
        savings: Sequence[Savings],
    ) -> Totals:
        """The totals of the attempts that carry `tags`."""
        return cls(
            attempts=ledger.attempts(tags=tags),
            budgets=[status for status in ledger.budget_status() if dict(status.budget.tags) == dict(tags)],
            savings=Savings.sum(savings),
            escalated=sum("standard" not in reply.path or reply.escalated for reply in replies),
            answers=len(replies),
        )

    def parts(self) -> list[tuple[str, Sequence[Attempt]]]:
        """The attempts by what they were for, and all of them at the end."""
        audits = [each for each in self.attempts if each.purpose == "audit"]
        answers = [each for each in self.attempts if each.purpose != "audit"]
        found: list[tuple[str, Sequence[Attempt]]] = [
            ("standard", [each for each in answers if each.mode == "standard"]),
            ("thinking", [each for each in answers if each.mode == "thinking"]),
        ]
        if audits:
            found.append(("audits", audits))
        return [*found, ("total", self.attempts)]

    @property
    def samples(self) -> Money:
        """What second samples cost."""
        return Money.sum(each.cost.total for each in self.attempts if each.purpose == "sample")

    @property
    def audits(self) -> Money:
        """What audits cost."""
        return Money.sum(each.cost.total for each in self.attempts if each.purpose == "audit")

    @property
    def spent(self) -> Money:
        """What the whole run cost."""
        return Money.sum(each.cost.total for each in self.attempts)

    def cost_at(self, profile: str, mode: Mode) -> Money:
        """What the same tokens of one mode cost at the prices of a profile."""
        book = PriceBook.named(profile)
        return Money.sum(
            book.cost(each.usage, host=each.host, model=each.model, mode=mode, started_at=each.started_at).total
            for each in self.attempts
            if each.mode == mode and each.usage is not None
        )

    def as_json(self) -> dict[str, object]:
        """Everything, exactly."""
        modes: tuple[Mode, ...] = ("standard", "thinking")
        return {
            "answers": self.answers,
            "thought": self.escalated,
            "spent": self.spent,
            "second_samples": self.samples,
            "audits": self.audits,
            "parts": [
                {"name": name, "attempts": len(part), "usage": usage_of(part), "cost": Cost.sum(a.cost for a in part)}
                for name, part in self.parts()
            ],
            "same_tokens_at": {name: {mode: self.cost_at(name, mode) for mode in modes} for name in PROFILES},
            "budgets": self.budgets,
            "savings": self.savings,
        }


def usage_of(attempts: Sequence[Attempt]) -> Usage:
    """The tokens of all attempts, as far as they are known."""
    return Usage.sum(attempt.usage for attempt in attempts)
