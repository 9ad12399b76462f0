"""`deepthrift batch run --on`: rows sent from several nodes of a real Ray cluster, one of which is killed."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path

import click
import pytest

from deepthrift_router.cli._batches.ray import check_place
from deepthrift_router.cli._shared.connect import Place
from deepthrift_router.cli._shared.endpoint import Endpoint
from tests.cli.conftest import Run
from tests.cli.processes import deepthrift, running
from tests.sdk.batch.files import last_lines, read_lines, row, write_rows
from tests.support.bill_server import Answer, BillServer
from tests.support.databases import postgres_url
from tests.support.ray_cluster import ray_cluster

KEY = "sk-very-secret-key"
ROWS = 40
PRICES = ("--prices", "official-2025-09-05", "--concurrency", "8", "--mode", "standard")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_node_killed_in_the_middle_loses_nothing_and_pays_nothing_twice(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        missing = "Ray is not installed; it is in the dependency group `fleet`"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(missing)
        pytest.skip(missing)
    source = write_rows(tmp_path / "in.jsonl", [row(f"r{number}", f"Question {number}?") for number in range(ROWS)])
    out = tmp_path / "out.jsonl"
    with BillServer(Answer("Yes.", delay=0.5), key=KEY) as server, postgres_url() as ledger:
        env = {
            "DEEPTHRIFT_URL": server.url,
            "DEEPTHRIFT_API_KEY": KEY,
            "DEEPTHRIFT_HOST": "deepseek",
            "DEEPTHRIFT_LEDGER": ledger,
        }
        with ray_cluster(2, {"DEEPTHRIFT_API_KEY": KEY, "DEEPTHRIFT_LEDGER": ledger}) as cluster:
            command = ("batch", "run", str(source), str(out), *PRICES)
            with running(*command, "--on", cluster.address, env=env) as batch:
                server.wait_for(lambda each: len(each.bill) >= ROWS // 4 and each.in_flight == 8, timeout=120)
                cluster.kill_node()
                ran = batch.end()
            assert ran.code == 1, ran.err
            server.quiet()
            assert ran.out.startswith(f"{ROWS} rows: ")
            first = last_lines(out)
            lost = {name for name, line in first.items() if line["deepthrift"]["outcome"] == "unanswered"}
            assert 1 <= len(lost) <= 8
            assert {line["error"]["code"] for name, line in first.items() if name in lost} == {"worker_lost"}
            assert len(first) == len(read_lines(out)) == ROWS
            asked = Counter(request.question for request in server.requests)
            assert set(asked.values()) == {1}, asked
            # What the dead node had reserved is still held against every budget, and becomes unknown spend in time.
            told = deepthrift("spend", "--json", "--by", "status", env=env).json["rows"]
            booked = sum(each["attempts"] for each in told)
            assert (
                len(server.requests) <= booked <= len(server.requests) + len(lost)
            )  # reserved, and killed before it left

            # What is left is sent from outside, through the cluster's door.
            again = deepthrift(*command, "--on", cluster.door, "--retry-unanswered", "--json", env=env)
            written = cluster.written()
        assert again.code == 0, again.out + again.err
        assert (again.json["answered"], again.json["run_rows"]) == (ROWS, len(lost))
        asked = Counter(request.question for request in server.requests)
        assert {question for question, times in asked.items() if times == 2} <= {
            f"Question {name[1:]}?" for name in lost
        }
        assert max(asked.values()) <= 2
    for text in (written, ran.out, ran.err, again.out, again.err, out.read_text(), Path(f"{out}.journal").read_text()):
        assert KEY not in text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--on", "spark", "--ledger", "postgresql://db/x"), "is none of ray, ray://HOST:PORT and HOST:PORT"),
        (("--on", "ray"), "needs a ledger that all machines share"),
        (("--on", "ray", "--ledger", "spend.db"), "needs a ledger that all machines share"),
        (("--on", "ray", "--ledger", "postgresql://db/x", "--local"), "the embedded engine is on this machine alone"),
        (("--on", "ray", "--ledger", "postgresql://db/x", "--ask-key"), "a key that was typed stays here"),
        (("--on", "ray", "--ledger", "postgresql://db/x", "--url", "http://me:pw@gpu/v1"), "which would travel"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_starts(
    run: Run, tmp_path: Path, more: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepthrift_router.cli._shared.connect.fetch", lambda name, output: None)
    source = write_rows(tmp_path / "in.jsonl", [row("a")])
    url = () if "--local" in more or "--url" in more else ("--url", "http://127.0.0.1:9/v1")
    ran = run("batch", "run", str(source), str(tmp_path / "out.jsonl"), *url, *more, input=f"{KEY}\n")
    assert ran.code == 2
    assert told in ran.err
    assert not (tmp_path / "out.jsonl").exists()


def test_a_password_in_the_url_of_the_ledger_does_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named where workers find it, or refused."""
    place = Place(Endpoint(url="http://gpu/v1", key=KEY, key_variable="THE_KEY"), ledger="postgresql://me:pw@db/x")
    with pytest.raises(click.UsageError, match="put the URL into DEEPTHRIFT_LEDGER"):
        check_place(place)
    monkeypatch.setenv("DEEPTHRIFT_LEDGER", str(place.ledger))
    check_place(place)
