"""Recorded outcomes of more than two tiers: what several models answered to one question, and whether it was right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from deepthrift.errors import ConfigurationError
from deepthrift_router._answers.answers import Answer, parse_answer, same_answer


@dataclass(frozen=True, slots=True)
class LadderRow:
    """One question with the recorded answers of several tiers."""

    id: str
    query: str
    source: str
    dataset: str
    """The family of questions; never seen means that a whole dataset is held out."""
    category: str
    correct: Mapping[str, tuple[bool, ...]]
    """For each tier, whether each of its samples was right."""
    answers: Mapping[str, tuple[int | None, ...]]
    """For each tier, its samples: equal numbers are equal answers, across tiers too; `None`: nothing to compare."""

    def right(self, tier: str, sample: int = 0) -> bool:
        """Whether a sample of `tier` was right."""
        return self.correct[tier][sample]


def read_ladder(path: Path | str) -> list[LadderRow]:
    """The rows of a JSON Lines file, gzipped where its name ends in `.gz`.

    A line has `id`, `query`, `models`: for each tier its `samples_correct` and its `finals`, the parsed answers.

    Raises:
        ConfigurationError: The file cannot be read, or a line is wrong.
    """
    path = Path(path)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [_row(json.loads(line)) for line in raw.decode().split("\n") if line.strip()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{str(path)!r} can't be read as outcomes of a ladder: {error!r}") from None


def _row(line: Mapping[str, object]) -> LadderRow:
    query = str(line["query"])
    known: list[Answer] = []
    correct: dict[str, tuple[bool, ...]] = {}
    answers: dict[str, tuple[int | None, ...]] = {}
    for name, recorded in cast("Mapping[str, Mapping[str, list[object]]]", line["models"]).items():
        if recorded["samples_correct"]:
            correct[name] = tuple(bool(each) for each in recorded["samples_correct"])
            answers[name] = tuple(_number(final, query, known) for final in recorded["finals"])
    return LadderRow(
        id=str(line["id"]),
        query=query,
        source=str(line.get("source", "")),
        dataset=str(line.get("dataset", "default")),
        category=str(line.get("category", "")),
        correct=correct,
        answers=answers,
    )


def _number(final: object, query: str, known: list[Answer]) -> int | None:
    """Which of the answers that are known `final` is; a new one is added to them."""
    answer = parse_answer(final, query) if isinstance(final, str) and final.strip() else None
    if answer is None:
        return None
    for number, each in enumerate(known):
        if same_answer(each, answer):
            return number
    known.append(answer)
    return len(known) - 1
