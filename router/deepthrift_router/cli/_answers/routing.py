"""Routed answers: the path that was taken, and why."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepthrift_pricing import utc_now
from deepthrift_pricing.errors import LedgerError
from deepthrift_router._belief.evidence import TIER
from deepthrift_router.cli._answers.replies import Beside, show_reply
from deepthrift_router.cli._answers.text import clean
from deepthrift_router.cli._shared.connect import Place, connect, planning
from deepthrift_router.cli._shared.format import money, percent

if TYPE_CHECKING:
    from rich.table import Table

    from deepthrift import AsyncClient, Message
    from deepthrift_pricing import Attempt, Ledger
    from deepthrift_router import Decision, ModeRouter, Preferences, RoutedReply, Savings
    from deepthrift_router.cli._shared.output import Output

_POLL_SECONDS: Final = 0.2
_SAID: Final = {
    ("finish", "complete"): "complete",
    ("finish", "truncated"): "cut off",
    ("finish", "interrupted"): "broken off",
    ("finish", "empty"): "empty",
    ("hedging", "plain"): "plainly worded",
    ("hedging", "hedged"): "hedged",
    ("agreement", "agree"): "second sample agrees",
    ("agreement", "disagree"): "second sample differs",
    ("agreement", "no_answer"): "second sample has no answer",
    ("third_sample", "agree"): "third sample agrees",
    ("third_sample", "disagree"): "third sample differs",
    ("third_sample", "no_answer"): "third sample has no answer",
    ("third_sample", "with_first"): "third sample sides with the first",
    ("third_sample", "with_second"): "third sample sides with the second",
    ("third_sample", "with_neither"): "third sample sides with neither",
    ("hedging", "refused"): "a refusal",
    ("program", "agree"): "a program agrees",
    ("program", "disagree"): "a program differs",
    ("program", "no_answer"): "a program has no answer",
    ("cross_check", "agree"): "another endpoint agrees",
    ("cross_check", "disagree"): "another endpoint differs",
    ("cross_check", "no_answer"): "another endpoint has no answer",
}
"""Evidence in words, by signal and outcome; any other is shown by its own names."""


def doing(attempt: Attempt) -> str:
    """What an attempt that is under way is for: `standard`, `standard, second sample`, `thinking`."""
    purposes = {"sample": ", second sample", "verify": ", check", "audit": ", audit", "repair": ", repair"}
    return f"{attempt.mode}{purposes.get(attempt.purpose, '')}"


@contextlib.asynccontextmanager
async def progress(ledger: Ledger, output: Output, what: str) -> AsyncGenerator[None]:
    """Show, on a terminal, what is under way, as the ledger knows it: every attempt is in it before it is sent."""
    if not output.err.is_terminal:
        yield
        return
    began = time.monotonic()
    since = utc_now()
    with output.err.status(what, spinner="dots") as status:

        async def follow() -> None:
            while True:
                try:
                    attempts = await ledger.in_thread(lambda: ledger.attempts(since=since))
                    under_way = [each for each in attempts if each.status == "reserved"]
                except LedgerError:  # what is shown beside an answer must not cost it
                    under_way = []
                now = f": {doing(under_way[-1])}" if under_way else ""
                status.update(f"{what}{now}, {time.monotonic() - began:.0f} s")
                await asyncio.sleep(_POLL_SECONDS)

        follower = asyncio.create_task(follow())
        try:
            yield
        finally:
            follower.cancel()
            await asyncio.wait({follower})  # unlike `await follower`, it swallows no Ctrl-C that comes now


def router_at(
    client: AsyncClient, place: Place, preferences: Preferences | None = None, tiers: Sequence[str] | None = None
) -> ModeRouter[AsyncClient]:
    """The router of the command line: the setting of `deepthrift calibrate` in force, what it learns in a file.

    Raises:
        ConfigurationError: The setting cannot be read, or `tiers` are no ladder.
        LedgerUnavailable: The file cannot be opened.
    """
    from deepthrift_router import ModeRouter
    from deepthrift_router.cli._money.ledger import ledger_path
    from deepthrift_router.cli._shared.paths import router_settings, router_store

    # A ledger of its own is a world of its own: what is learned in it stays beside it.
    kept = place.ledger
    store = ledger_path(kept).with_suffix(".router.db") if isinstance(kept, Path) else router_store()
    return ModeRouter(client, preferences=preferences, tiers=tiers, settings=router_settings(), store=store)


async def routed(
    router: ModeRouter[AsyncClient],
    messages: Sequence[Message],
    output: Output,
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    effort: str | int | None = None,
) -> RoutedReply:
    """The routed answer, with its path; with `--json` nothing is shown."""
    async with progress(router.client.ledger, output, "routing"):
        reply = await router.chat(messages, max_tokens=max_tokens, temperature=temperature, seed=seed, effort=effort)
    if output.as_json:
        return reply
    if reply.reasoning:
        output.note(f"thinking: {clean(reply.reasoning.strip())}\n", style="dim italic")
    output.answer(reply.text)
    output.note(path_line(reply))
    output.note(f"Checked: {checks(reply)}.")
    output.note(reply.decision.reason)
    return reply


def path_line(reply: RoutedReply) -> str:
    """`standard > second sample > thinking, 64 % sure; saved $0.0001 against always thinking`."""
    return f"{' > '.join(reply.path)}, {reply.confidence * 100:.0f} % sure; {savings_line(reply.savings)}"


def checks(reply: RoutedReply) -> str:
    """What was looked at, and what it said: `complete, plainly worded, second sample agrees`."""
    return ", ".join(_said(item.signal, item.outcome) for item in reply.decision.evidence) or "nothing"


def _said(signal: str, outcome: str) -> str:
    if signal.startswith(TIER):
        return f"{signal.removeprefix(TIER)} {'agrees' if outcome == 'agree' else 'says something else'}"
    if signal == "extent":
        return "over 120 characters long" if outcome.endswith("-") else f"{outcome} characters long"
    return _SAID.get((signal, outcome), f"{signal} {outcome}".replace("_", " "))


def sentence(text: str) -> str:
    """`text` with a capital at its start."""
    return text[:1].upper() + text[1:]


def savings_line(savings: Savings) -> str:
    """What routing saved, with its interval, or why nobody knows; negative when it cost more."""
    if savings.net is None:
        return f"saving against always thinking unknown: {savings.reason}"
    verb = "saved" if savings.net.pico >= 0 else "cost"
    more = "" if savings.net.pico >= 0 else " more than always thinking"
    amount = money(savings.net if savings.net.pico >= 0 else -savings.net)
    share = f" ({percent(savings.net.pico / savings.baseline.pico)})" if savings.baseline else ""
    text = f"{verb} {amount}{more}{share}" + (" against always thinking" if not more else "")
    if savings.basis == "estimated" and savings.low is not None and savings.high is not None:
        text += f", 95 % interval {money(savings.low)} to {money(savings.high)}"
    return text


async def ask_routed(
    messages: Sequence[Message],
    place: Place,
    output: Output,
    *,
    preferences: Preferences | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    effort: str | int | None = None,
    beside: Beside = (),
    tiers: Sequence[str] | None = None,
) -> None:
    """`deepthrift ask --mode auto` and `deepthrift route --run`."""
    async with connect(place, output) as client, router_at(client, place, preferences, tiers) as router:
        reply = await routed(
            router, messages, output, max_tokens=max_tokens, temperature=temperature, seed=seed, effort=effort
        )
    show_reply(reply, output, beside)


async def show_plan(
    messages: Sequence[Message],
    place: Place,
    output: Output,
    preferences: Preferences,
    *,
    max_tokens: int | None,
    tiers: Sequence[str] | None = None,
) -> None:
    """`deepthrift route`: what the router would do, what each plan costs, and why. Nothing is asked."""
    async with planning(place) as client, router_at(client, place, preferences, tiers) as router:
        decision = router.plan(messages, max_tokens=max_tokens)
    if output.as_json:
        output.document(decision)
        return
    output.print(f"Plan: {decision.plan}", style="bold")
    output.print(decision.reason)
    output.print()
    output.print(_plans(decision))
    for plan in decision.plans:
        if plan.note:
            output.print(f"Not {plan.plan}: {plan.note}.", style="dim")
    output.print(f"Would be bought: {_purchases(decision)}.")
    for length in decision.lengths:
        source = f"{length.calls} recorded calls" if length.source == "recorded" else "the shipped prior"
        span = f"{length.low:.0f} to {length.high:.0f}"
        output.print(
            f"{length.mode}: {length.expected:.0f} output tokens expected ({span}), from {source}", style="dim"
        )
    score = decision.score
    said = [f"{name} of {chance:.2f}" for name, chance in decision.tiers.items()]
    chances = ", ".join([said[0].replace(" of ", " is right with a probability of ", 1), *said[1:]])
    output.print(
        f"From the question alone: {chances}; {score.weight:.0%} of that is the question's own, "
        f"novelty {score.novelty:.2f}.",
        style="dim",
    )
    for note in (*decision.degraded, *decision.missing):
        output.print(f"Missing: {note}.", style="dim")
    if decision.setting != "shipped":
        output.print(f"The setting in force is {decision.setting}.", style="dim")
    value = f"A right answer is taken to be worth {money(decision.value_of_right_answer)} ({decision.value_source})."
    output.print(value, style="dim")
    output.note("nothing was asked; --run asks")


def _plans(decision: Decision) -> Table:
    from deepthrift_router.cli._shared.output import table

    above = "thinking" if [*decision.tiers] == ["standard", "thinking"] else "higher tier"
    numbers = ("expected cost", "at worst", "p(right)", "2nd sample", above)
    found = table("plan", *numbers, right=numbers)
    for plan in decision.plans:
        found.add_row(
            plan.plan,
            money(plan.cost),
            money(plan.worst),
            f"{plan.p_right:.2f}",
            f"{plan.sampled:.0%}",
            f"{plan.escalated:.0%}",
            style="bold" if plan.plan == decision.plan else None,
        )
    return found


def _purchases(decision: Decision) -> str:
    """What the chosen plan buys, and with what chance: `a standard answer, then thinking (38 %)`."""
    chosen = next(plan for plan in decision.plans if plan.plan == decision.plan)
    lowest = next(iter(decision.tiers))
    if decision.plan not in ("cascade", lowest):
        return {"thinking": "thinking", "specialist": "the specialist's answer"}.get(
            decision.plan, f"an answer of {decision.plan}, and a higher tier's, where it is not trusted"
        )
    above = "thinking" if len(decision.tiers) <= 2 and "thinking" in decision.tiers else "a higher tier"
    first = "a standard answer" if lowest == "standard" else f"an answer of {lowest}"
    further = ((chosen.sampled, "a second sample"), (chosen.escalated, f"{above}, where the answer is not trusted"))
    return ", then ".join([first, *(f"{what} ({share:.0%})" for share, what in further if share)])
