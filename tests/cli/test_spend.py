"""`deepthrift spend` and `deepthrift budget` on a ledger with known rows."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepthrift_pricing import AttemptRequest, Budget, Ledger, Mode, Money, PriceBook, Usage, new_id
from deepthrift_pricing._store.url import safe_url
from deepthrift_router.cli._money import budgets as _budgets
from deepthrift_router.cli._shared.paths import budgets_file, default_ledger
from tests.cli.conftest import Run
from tests.cli.processes import COMMAND, PATIENCE, environment
from tests.cli.test_chat import Terminal
from tests.support.databases import store_url

BRIEF = PriceBook.named("brief")


def book(ledger: Ledger, mode: Mode, usage: Usage, **tags: str) -> None:
    """One settled attempt at the brief prices."""
    at = datetime.now(UTC) - timedelta(seconds=3)
    attempt = ledger.try_reserve(
        AttemptRequest(
            attempt_id=new_id("att"),
            call_id=new_id("call"),
            group_id=new_id("grp"),
            host="local",
            model="tiny",
            mode=mode,
            prompt_tokens=usage.prompt_tokens,
            max_tokens=usage.completion_tokens,
            worst=Money.of("0.01"),
            tags=tags,
            started_at=at,
        )
    )
    cost = BRIEF.cost(usage, host="local", model="tiny", mode=mode, started_at=at, ended_at=at)
    ledger.settle(attempt.id, usage=usage, cost=cost, ended_at=at)


@pytest.fixture
def spent() -> Path:
    """The default ledger with three attempts in it."""
    # Some seconds ago, for a window that is opened anew begins with the second in which that is done.
    with Ledger.open(default_ledger(), clock=lambda: datetime.now(UTC) - timedelta(seconds=3)) as ledger:
        book(ledger, "standard", Usage.of(1000, 100, cache_hit=600), team="search")
        book(ledger, "standard", Usage.of(1000, 100))
        book(ledger, "thinking", Usage.of(1000, 500, reasoning=400), team="search")
    return default_ledger()


def test_an_empty_ledger_says_how_to_begin(run: Run) -> None:
    ran = run("spend")
    assert ran.code == 0
    assert "Nothing spent here yet" in ran.out
    assert run("spend", "--json").json["rows"] == []


def test_spend_by_mode_is_exact(run: Run, spent: Path) -> None:
    found = run("spend", "--json").json
    assert found["ledger"] == str(spent)
    by_mode = {row["key"]["mode"]: row for row in found["rows"]}
    # 600 × 0.028 + 400 × 0.28 + 100 × 0.42, and 1000 × 0.28 + 100 × 0.42, per million
    assert by_mode["standard"]["total"]["amount"] == "0.0004928"
    assert by_mode["thinking"]["total"]["amount"] == "0.00139"
    assert by_mode["thinking"]["reasoning_tokens"] == 400
    assert found["totals"][0]["total"]["amount"] == "0.0018828"
    text = run("spend").out
    assert "standard         2   2,000     600     200          0  $0.00049280" in text
    assert "total            3   3,000     600     700        400  $0.00188280" in text
    assert max(len(line) for line in text.splitlines() if str(spent) not in line) <= 80


def test_spend_by_tag_day_and_window(run: Run, spent: Path) -> None:
    rows = run("spend", "--by", "tag:team", "--json").json["rows"]
    assert {row["key"]["tag:team"]: row["attempts"] for row in rows} == {"": 1, "search": 2}
    rows = run("spend", "--by", "day", "--by", "mode", "--json").json["rows"]
    assert len(rows) == 2
    assert run("spend", "--since", "1h", "--json").json["totals"][0]["attempts"] == 3
    assert run("spend", "--until", "1h", "--json").json["rows"] == []


def test_wrong_groups_and_moments_are_usage_errors(run: Run) -> None:
    ran = run("spend", "--by", "colour")
    assert ran.code == 2
    assert "colour" in ran.err
    ran = run("spend", "--since", "yesterday-ish")
    assert ran.code == 2
    assert "is not a moment" in ran.err


def test_a_ledger_that_cannot_be_made_is_a_clear_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("spend", "--ledger", str(tmp_path / "file" / "spend.db"))
    assert ran.code == 1
    assert "cannot be made" in ran.err
    assert "Traceback" not in ran.err


def test_a_budget_is_set_shown_reset_and_removed(run: Run, spent: Path) -> None:
    assert run("budget", "set", "0.002", "--per", "day", "--name", "daily").code == 0
    shown = run("budget", "--json").json
    assert shown[0]["name"] == "daily"
    assert shown[0]["spent"]["amount"] == "0.0018828"
    assert shown[0]["left"]["amount"] == "0.0001172"
    text = run("budget").out
    assert "94.1 % of $0.002  daily" in text
    assert "left $0.00011720" in text
    assert "daily" in run("spend").out
    assert run("budget", "reset", "daily").code == 0
    assert run("budget", "--json").json[0]["spent"]["amount"] == "0"
    assert run("spend", "--json").json["totals"][0]["attempts"] == 3, "a reset forgets no attempt"
    assert run("budget", "remove", "daily").code == 0
    assert run("budget", "--json").json == []


def test_a_budget_may_roll_count_tags_apart_and_make_calls_smaller(run: Run, spent: Path) -> None:
    ran = run("budget", "set", "0.05", "--per", "24h", "--each", "team", "--policy", "clamp")
    assert ran.code == 0, ran.err
    [status] = run("budget", "--json").json
    assert (status["name"], status["part"]) == ("24h each team", '{"team": "search"}')
    assert (status["budget"]["policy"], status["budget"]["each"]) == ("clamp", ["team"])
    assert Money.of(status["spent"]["amount"]) > Money.of("0")
    for wrong in ("fortnight", "0h", "h", "999999999999999999w"):
        assert run("budget", "set", "1", "--per", wrong).code == 2


def test_a_budget_of_the_same_name_replaces_the_old_one(run: Run) -> None:
    run("budget", "set", "1", "--per", "month", "--mode", "thinking", "--tag", "team=search", "--zone", "Asia/Shanghai")
    run("budget", "set", "2", "--per", "month", "--mode", "thinking", "--tag", "team=search", "--policy", "refuse")
    budgets = _budgets.load()
    assert [(each.limit, each.per, each.mode, dict(each.tags), each.zone, each.policy) for each in budgets] == [
        (Money.of(2), "month", "thinking", {"team": "search"}, "UTC", "refuse")
    ]


@pytest.mark.parametrize("amount", ["-1", "much", "0.0000000000001", "NaN"])
def test_an_amount_that_cannot_be_is_refused(run: Run, amount: str) -> None:
    ran = run("budget", "set", "--", amount)
    assert ran.code == 2
    assert not budgets_file().exists()


def test_what_cannot_be_reset_or_found_is_said(run: Run) -> None:
    run("budget", "set", "1", "--per", "total", "--name", "all")
    assert "no window" in run("budget", "reset", "all").err
    ran = run("budget", "remove", "none")
    assert ran.code == 2
    assert "'all'" in ran.err


@pytest.mark.parametrize("content", ["{", "[1]", "{}", '[{"amount": "x"}]'])
def test_damaged_budgets_stop_the_command_instead_of_spending_on(run: Run, content: str) -> None:
    budgets_file().parent.mkdir(parents=True, exist_ok=True)
    budgets_file().write_text(content)
    ran = run("spend")
    assert ran.code == 2
    assert "mend or delete" in ran.err
    assert ran.out == ""


def test_budgets_survive_writing_and_reading() -> None:
    budgets = [
        Budget("0.5", "day", name="a", anchor=datetime(2026, 1, 1, 14, 30)),  # noqa: DTZ001 - a wall-clock time
        Budget("7", "month", name="b", currency="CNY", host="deepseek", model="x", zone="Asia/Shanghai", policy="warn"),
        Budget("1", timedelta(hours=36), name="c", each=("team", "user"), policy="downgrade"),
    ]
    with _budgets.changing() as kept:
        kept[:] = budgets
    assert _budgets.load() == budgets
    assert not [
        entry
        for entry in budgets_file().parent.iterdir()
        if stat.S_ISREG(entry.stat().st_mode) and entry.suffix == ".new"
    ]


def test_budgets_set_at_the_same_time_are_all_kept() -> None:
    names = [f"b{number}" for number in range(6)]
    setting = [
        subprocess.Popen([*COMMAND, "budget", "set", "1", "--name", name], env=environment(), stdout=subprocess.DEVNULL)
        for name in names
    ]
    assert [each.wait(PATIENCE) for each in setting] == [0] * 6
    assert sorted(budget.name or "" for budget in _budgets.load()) == names


def test_a_budget_that_cannot_be_kept_leaves_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    with _budgets.changing() as kept:
        kept.append(Budget("1", "day", name="a"))

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def cleared() -> None:
        with _budgets.changing() as kept:
            kept.clear()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            cleared()
    assert [budget.name for budget in _budgets.load()] == ["a"]
    assert not list(budgets_file().parent.glob("*.new"))


def test_the_report_compares_with_other_ways(run: Run, spent: Path) -> None:
    ran = run("spend", "--report")
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert "hits 600 tokens" in text
    assert "0 of 3 answers (0.0 %)" in text
    assert "no cache $" in text
    assert "comparison/gpt-5.2" in text
    assert "always thinking unknown" in text
    report = run("spend", "--report", "--json").json["report"]
    found = {other["name"]: other for other in report["counterfactuals"]}
    assert found["no cache"]["saved"] == {"amount": "0.0001512", "currency": "USD"}


LONG = "  comparison/gpt-5.2, comparison/claude-opus-4.5, comparison/gemini-2.0-flash: "


def test_the_reasons_of_the_report_are_one_line_each_in_a_pipe(run: Run, spent: Path) -> None:
    lines = run("spend", "--report").out.splitlines()
    [found] = [line for line in lines if line.startswith(LONG)]
    assert found.endswith("the length of answers differ")


@pytest.mark.parametrize("variables", [{"TERM": "xterm"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_the_reasons_of_the_report_go_on_further_in_on_a_terminal(spent: Path, variables: dict[str, str]) -> None:
    with Terminal("spend", "--report", variables=variables) as terminal:
        assert terminal.end() == 0, terminal.screen
        lines = terminal.unescaped.replace("\r", "").split("\n")
    place = lines.index(LONG.rstrip())
    assert lines[place + 1].startswith("    the same token counts")
    assert all(line.startswith("    ") for line in lines[place + 1 : lines.index("", place)])
    assert max(map(len, lines)) <= 80


def test_the_bill_is_compared_and_a_drift_above_one_percent_is_flagged(run: Run, spent: Path, tmp_path: Path) -> None:
    booked = Money.of(run("spend", "--json").json["totals"][0]["total"]["amount"])
    for billed, verdict in ((booked, "agrees"), (booked * 2, "drifts")):
        ran = run("spend", "--billed", f"{billed.amount:f}")
        assert ran.code == 0
        assert "The bill of local" in ran.out
        assert verdict in ran.out
    invoice = tmp_path / "invoice.csv"
    invoice.write_text(f"day,fee\n1,{booked.amount:f}\n2,{booked.amount:f}\n")
    found = run("spend", "--invoice", str(invoice), "--host", "local", "--json").json["reconciliation"]
    assert (found["verdict"], found["drift_share"]) == ("drifts", "0.5000")
    assert found["drift"] == {"amount": f"{booked.amount:f}", "currency": "USD"}


def test_an_invoice_keeps_to_the_period_and_says_what_it_left_out(run: Run, spent: Path, tmp_path: Path) -> None:
    booked = Money.of(run("spend", "--json").json["totals"][0]["total"]["amount"])
    day = datetime.now(UTC) - timedelta(seconds=3)
    rows = [(day - timedelta(days=40), "5"), (day, f"{booked.amount:f}"), (day + timedelta(days=40), "7")]
    header = "BilledCost,BillingCurrency,ChargePeriodStart\n"
    invoice = tmp_path / "focus.csv"
    invoice.write_text(header + "".join(f"{amount},USD,{at.isoformat()}\n" for at, amount in rows))
    period = ("--since", (day - timedelta(days=2)).isoformat(), "--until", (day + timedelta(days=2)).isoformat())
    found = run("spend", "--invoice", str(invoice), *period, "--json").json["reconciliation"]
    assert (found["verdict"], found["billed"]) == ("agrees", {"amount": f"{booked.amount:f}", "currency": "USD"})
    assert (found["invoice"]["layout"], found["invoice"]["rows"], found["invoice"]["outside"]) == ("FOCUS", 1, 2)
    ran = run("spend", "--invoice", str(invoice), *period)
    assert "2 rows begin outside of the period" in ran.out
    invoice.write_text(invoice.read_text().replace("USD", "CNY"))
    ran = run("spend", "--invoice", str(invoice), *period)
    assert ran.code == 2
    assert "line 2 is in CNY, and USD is wanted" in " ".join(ran.err.split())


def test_what_an_invoice_leaves_open_is_said_by_options(run: Run, spent: Path, tmp_path: Path) -> None:
    invoice = tmp_path / "invoice.csv"
    invoice.write_text('day,billed\n2026-10-01,"1,234"\n')
    assert run("spend", "--invoice", str(invoice)).code == 2
    assert run("spend", "--invoice", str(invoice), "--column", "billed").code == 2
    for decimal, billed in (("point", "1234"), ("comma", "1.234")):
        said = ("--invoice", str(invoice), "--column", "billed", "--decimal", decimal, "--json")
        assert run("spend", *said).json["reconciliation"]["billed"]["amount"] == billed


def test_days_and_moments_are_in_the_time_zone_that_is_named(run: Run) -> None:
    evening = datetime(2026, 10, 1, 20, tzinfo=UTC)  # the next day in Shanghai
    with Ledger.open(default_ledger(), clock=lambda: evening) as ledger:
        book(ledger, "standard", Usage.of(1000, 100))
    for zone, day in (("UTC", "2026-10-01"), ("Asia/Shanghai", "2026-10-02")):
        found = run("spend", "--by", "day", "--zone", zone, "--json").json
        assert [row["key"]["day"] for row in found["rows"]] == [day]
        assert found["zone"] == zone
        since = run("spend", "--since", "2026-10-02", "--zone", zone, "--json").json
        assert len(since["rows"]) == (zone != "UTC")
    assert (
        run("spend", "--since", "2026-10-02", "--zone", "Asia/Shanghai", "--json")
        .json["since"]
        .startswith("2026-10-01T16")
    )
    for wrong in ("Nowhere/City", "", "../etc/passwd"):
        ran = run("spend", "--zone", wrong)
        assert (ran.code, "time zone" in ran.err) == (2, True)
    assert "--since" in run("spend", "--since", "soon").err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--host", "local"),
        ("--decimal", "comma"),
        ("--excel",),
        ("--excel", "--export", "attempts.jsonl"),
        ("--billed", "1", "--invoice", "x.csv"),
        ("--billed", "much"),
        ("--billed", "1", "--since", "now"),
        ("--invoice", "nowhere.csv"),
    ],
)
def test_a_bill_that_cannot_be_compared_is_refused(run: Run, spent: Path, wrong: tuple[str, ...]) -> None:
    assert run("spend", *wrong).code == 2


def test_a_ledger_in_a_database_is_read(run: Run, tmp_path: Path) -> None:
    with store_url("postgres", tmp_path) as url:
        with Ledger.open(url) as ledger:
            book(ledger, "standard", Usage.of(1000, 100))
        found = run("spend", "--ledger", url, "--json").json
        assert found["totals"][0]["attempts"] == 1
        assert found["ledger"] == safe_url(url)
        assert run("budget", "--ledger", url, "--json").json == []


def test_attempts_are_exported(run: Run, spent: Path, tmp_path: Path) -> None:
    file = tmp_path / "attempts.csv"
    ran = run("spend", "--export", str(file))
    assert ran.code == 0
    assert "3 attempts written" in ran.out
    assert len(file.read_text("utf-8").splitlines()) == 4
    assert run("spend", "--export", str(file), "--excel").code == 0
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    assert run("spend", "--export", str(tmp_path / "attempts.xml")).code == 2


def test_old_attempts_are_deleted_when_asked_for(run: Run, spent: Path) -> None:
    unasked = run("spend", "--prune", "now")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)  # nobody is there to say yes
    assert run("spend", "--json").json["totals"][0]["attempts"] == 3
    ran = run("spend", "--prune", "now", "--yes")
    assert ran.code == 0
    assert "3 attempts deleted" in ran.out
    assert run("spend", "--json").json["totals"] == []
