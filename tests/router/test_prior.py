"""The score before the call: cheap, readable, and nothing where the question is unfamiliar."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_router import Prior, Score
from deepthrift_router._answers.features import conversation_text, text_features
from tests.support.bill_server import Answer, BillServer

FAMILIAR = "Find the Greatest Common Divisor (GCD) of these numbers: 428, 500. Give only the GCD as your final answer."
UNFAMILIAR = "Welche Blumen eignen sich für einen schattigen Balkon mit wenig Platz?"


def test_an_unfamiliar_question_keeps_only_the_base_rates_and_what_its_length_says() -> None:
    prior = Prior.builtin()
    score = prior.score(UNFAMILIAR)
    total = sum(prior.base)
    assert score.weight == 0
    assert score.novelty > 0.9
    # Of average length, a question says nothing at all.
    average = prior.score(f"{UNFAMILIAR} " * 5)
    assert average.weight == 0
    for cell, base in zip(average.cells, prior.base, strict=True):
        assert cell == pytest.approx(base / total, abs=0.03)
    assert prior.score(f"{UNFAMILIAR} " * 50).p_standard < average.p_standard < score.p_standard


def test_tokens_are_expected_by_mode() -> None:
    prior = Prior.builtin()
    short, long = prior.score(FAMILIAR), prior.score("Add these numbers: " + " ".join(str(n) for n in range(300)))
    for score in (short, long):
        assert score.standard_tokens is not None
        assert score.thinking_tokens is not None
        assert 0 < score.standard_tokens < score.thinking_tokens
    assert (long.standard_tokens or 0) > (short.standard_tokens or 0)


def test_a_familiar_question_has_a_score_of_its_own() -> None:
    prior = Prior.builtin()
    score = prior.score(FAMILIAR)
    assert score.weight > 0.9
    assert score.novelty < 0.6
    assert score.p_standard > prior.score(UNFAMILIAR).p_standard


def test_the_two_heads_and_the_gain_fit_together() -> None:
    score = Prior.builtin().score(FAMILIAR)
    both, standard, thinking, _ = score.cells
    assert sum(score.cells) == pytest.approx(1)
    assert score.p_standard == pytest.approx(both + standard)
    assert score.p_thinking == pytest.approx(both + thinking)
    assert score.gain == pytest.approx(score.p_thinking - score.p_standard)
    assert Score.model_validate_json(score.model_dump_json()) == score


def test_a_harder_looking_question_is_more_complex() -> None:
    prior = Prior.builtin()
    easy = prior.score(FAMILIAR).complexity
    grid = "\n".join(" ".join(str((row * column) % 10) for column in range(12)) for row in range(12))
    hard = prior.score(
        f"Find the common rule that maps the input grid to the output grid.\n\nInput:\n{grid}"
    ).complexity
    assert 0 <= easy < hard <= 1


def test_only_the_last_user_message_is_scored() -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": [{"type": "text", "text": FAMILIAR}]},
    ]
    assert conversation_text(conversation) == FAMILIAR  # type: ignore[arg-type]
    assert Prior.builtin().score(conversation) == Prior.builtin().score(FAMILIAR)  # type: ignore[arg-type]


@given(st.text(max_size=3000))
def test_any_text_has_a_score(text: str) -> None:
    score = Prior.builtin().score(text)
    assert sum(score.cells) == pytest.approx(1)
    assert 0 <= score.complexity <= 1
    assert 0 <= score.novelty <= 1
    assert 0 <= score.weight <= 1


def test_a_long_text_is_read_in_part_only() -> None:
    head, tail = "word " * 2000, "what is the answer?"
    features = text_features(head + "middle " * 100_000 + tail)
    assert "answer" in features.words
    varied = text_features(" ".join(f"word{chr(97 + number % 26)}{number}" for number in range(100_000)))
    assert len(varied.words) <= 1200
    assert features.measures["characters"] > text_features(head).measures["characters"]


def test_scoring_loads_nothing_heavy() -> None:
    code = (
        "import sys; from deepthrift_router import Prior; Prior.builtin().score('How many primes?');"
        "print([m for m in ('numpy', 'sklearn', 'scipy', 'tiktoken') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_routed_answer_loads_nothing_heavy_and_speaks_to_its_endpoint_only() -> None:
    code = """
import asyncio, sys
spoken = set()
def hook(event, given):
    if event in ("socket.connect", "socket.sendto"):
        spoken.add(given[1][:2] if isinstance(given[1], tuple) else given[1])
    elif event == "socket.getaddrinfo":
        spoken.add(tuple(given[:2]))
sys.addaudithook(hook)
from deepthrift import AsyncClient
from deepthrift_router import ModeRouter
async def main():
    async with AsyncClient(sys.argv[1], host="vllm", prices="official-2025-09-05") as client:
        reply = await ModeRouter(client, policy="cascade").chat("What is the capital of Australia?", max_tokens=100)
    heavy = ("numpy", "onnxruntime", "scipy", "sklearn", "torch")
    print(len(reply.attempts), [name for name in heavy if name in sys.modules], {port for _, port in spoken})
asyncio.run(main())
"""
    with BillServer(Answer("Canberra.")) as server:
        done = subprocess.run([sys.executable, "-c", code, server.url], capture_output=True, text=True, check=True)
        port = int(server.origin.rpartition(":")[2])
    assert done.stdout.strip() == f"2 [] {{{port}}}"


def test_the_model_card_comes_with_the_package() -> None:
    card = (files("deepthrift_router") / "data" / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("Licence", "Never seen", "Known failures", "temper"):
        assert word in card
    assert "AUC" in Prior.builtin().usefulness
