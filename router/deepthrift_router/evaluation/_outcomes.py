"""Recorded outcomes: what a standard and a thinking run answered to one question, and whether they were right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepthrift.errors import ConfigurationError
from deepthrift_pricing.shared.files import encoding_by_mark
from deepthrift_router._answers.answers import Answer, normal_form, parse_answer
from deepthrift_router._answers.features import conversation_text

if TYPE_CHECKING:
    from deepthrift import Messages


class Extra(BaseModel):
    """What else was recorded of the standard side; further fields are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    sample_finals: tuple[str | None, ...] | None = None
    """Parsed answers of all standard samples, the first one included; `None` or empty: that sample had no answer."""
    sample_answers: tuple[str, ...] | None = None
    """Raw texts of all standard samples, the first one included."""
    sample_tokens: tuple[int, ...] | None = None
    """Completion tokens of all standard samples."""
    other_models: Mapping[str, str | None] = Field(default_factory=dict[str, str | None])
    """What other models answered to the same question."""
    logprobs: tuple[tuple[float, ...], ...] | None = None
    """For each standard sample, the natural-log probabilities of its tokens."""


class Outcome(BaseModel):
    """One question with the recorded outcome of both modes: one line of a file of recorded outcomes.

    A field that was not recorded is `None`. `*_correct` is 0 or 1, or a share between them where several samples or a
    partial grade were recorded; from 0.5 on an answer counts as right.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    query: str = ""
    """The question as one user message; left out where there are `messages`."""
    messages: tuple[Mapping[str, object], ...] | None = None
    """The conversation as it was sent, where it was more than one user message."""
    source: str = ""
    dataset: str = "default"
    """The family of questions; never seen means that a whole dataset is left out."""
    category: str = ""
    """The finer task within the dataset."""
    standard_model: str = "standard"
    thinking_model: str = "thinking"
    same_weights: bool = False
    standard_correct: float | None = None
    thinking_correct: float | None = None
    standard_samples_correct: tuple[float, ...] | None = None
    thinking_samples_correct: tuple[float, ...] | None = None
    prompt_tokens: int | None = None
    standard_tokens: int | None = None
    """Completion tokens of the first standard answer."""
    thinking_tokens: int | None = None
    """Completion tokens of the thinking answer, reasoning included."""
    standard_latency_s: float | None = None
    thinking_latency_s: float | None = None
    standard_answer: str | None = None
    """Raw text of the first standard answer."""
    thinking_answer: str | None = None
    """Raw text of the thinking answer, without its reasoning."""
    standard_final: str | None = None
    """The answer that was parsed out of it."""
    thinking_final: str | None = None
    standard_finish: str = "stop"
    """Why the first standard answer ended; `length`: it was cut off."""
    standard_extra: Extra = Field(default_factory=Extra)
    reference: str | None = None
    """What a grader compares with: a right answer, a pattern, or the tests of code."""
    provenance: str = ""

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return self.query if self.messages is None else conversation_text(self.conversation)

    @property
    def conversation(self) -> Messages:
        """The question as it goes to a client."""
        return self.query if self.messages is None else cast("Messages", list(self.messages))

    @property
    def pair(self) -> str:
        """The two models."""
        return f"{self.standard_model}>{self.thinking_model}"

    @property
    def graded(self) -> bool:
        """Whether both modes have a grade."""
        return self.standard_correct is not None and self.thinking_correct is not None

    @property
    def standard_right(self) -> bool:
        """Whether the first standard answer is right."""
        return (self.standard_correct or 0.0) >= 0.5

    @property
    def thinking_right(self) -> bool:
        """Whether the thinking answer is right."""
        return (self.thinking_correct or 0.0) >= 0.5

    @property
    def cell(self) -> int:
        """0 both right, 1 only standard, 2 only thinking, 3 neither."""
        if self.standard_right:
            return 0 if self.thinking_right else 1
        return 2 if self.thinking_right else 3

    @cached_property
    def samples(self) -> tuple[Answer | None, ...]:
        """The parsed answers of the standard samples, at least the first; `None` for a sample without one."""
        finals, texts = self.standard_extra.sample_finals, self.standard_extra.sample_answers
        if finals is not None and finals:
            return tuple(normal_form(text, self.question) if text else None for text in finals)
        if texts:
            return tuple(parse_answer(text, self.question) for text in texts)
        if self.standard_final is not None:
            return (normal_form(self.standard_final, self.question) if self.standard_final else None,)
        if self.standard_answer is None or self.standard_finish == "length":
            return (None,)
        return (parse_answer(self.standard_answer, self.question),)

    def sample_right(self, number: int) -> bool:
        """Whether standard sample `number`, from 0, is right."""
        graded = self.standard_samples_correct
        return self.standard_right if graded is None or number >= len(graded) else graded[number] >= 0.5

    def other_answers(self, models: Iterable[str]) -> tuple[Answer | None, ...]:
        """The parsed answers of other models, in the order asked for; `None` where one has none."""
        others = self.standard_extra.other_models
        texts = (others.get(model) for model in models)
        return tuple(normal_form(text, self.question) if text else None for text in texts)


def read_outcomes(*paths: Path | str) -> list[Outcome]:
    """The rows of JSON Lines files, packed with gzip or not, in order.

    Raises:
        ConfigurationError: A file cannot be read or a line is not a recorded outcome; it names the file and the line.
    """
    return [outcome for path in paths for outcome in _read(Path(path))]


def _read(path: Path) -> Iterator[Outcome]:
    number = 0
    try:
        encoding, packed = _encoding(path)
        with gzip.open(path, "rt", encoding=encoding) if packed else path.open(encoding=encoding) as lines:
            for line in lines:
                number += 1
                if line.strip():
                    yield Outcome.model_validate(_without_nulls(json.loads(line.removeprefix("\ufeff"))))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}, line {number}: {where or 'the line'}: {first['msg']}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}, line {number} is not JSON: {error}") from None
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def _encoding(path: Path) -> tuple[str, bool]:
    """How the text of a file is encoded, and whether it is packed with gzip."""
    with path.open("rb") as file:
        start = file.read(4)
    packed = start.startswith(b"\x1f\x8b")
    if packed:
        with gzip.open(path, "rb") as lines:
            start = lines.read(4)
    return encoding_by_mark(start) or "utf-8", packed


def _without_nulls(raw: object) -> object:
    """A field that is `null` was not recorded: its default stands."""
    if not isinstance(raw, Mapping):
        return raw
    fields = cast("Mapping[str, object]", raw)
    return {name: value for name, value in fields.items() if value is not None}


def write_outcomes(path: Path | str, outcomes: Iterable[Outcome]) -> int:
    """Writes rows as JSON Lines, packed when the name ends in `.gz`; the number of rows.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    path = Path(path)
    count = 0
    try:
        with gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8") as f:
            for outcome in outcomes:
                f.write(outcome.model_dump_json(exclude_defaults=True) + "\n")
                count += 1
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error}") from None
    return count
