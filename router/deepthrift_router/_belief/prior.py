"""What can be said about a question before it is sent, and how little that is on unfamiliar ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Set
from functools import lru_cache
from importlib.resources import files
from math import exp
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, Field

from deepthrift_router._answers.features import extract_features
from deepthrift_router._belief.belief import Belief, Cells

if TYPE_CHECKING:
    from deepthrift import Messages
    from deepthrift_pricing import Mode


class Score(BaseModel):
    """What the question alone says, before anything is sent.

    The two probabilities are already shrunk: on a question unlike the training data they are the base rates, moved
    only by what transfers, the length of the question.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    p_standard: float
    """Probability that standard mode answers right."""
    p_thinking: float
    """Probability that thinking mode answers right."""
    complexity: float
    """How hard the question looks: the share of the training questions that look easier, 0 to 1."""
    novelty: float
    """How unlike any one family of training questions it is, by the coverage of its words, 0 to 1."""
    weight: float
    """How much of the question's own score was used, 0 to 1; the rest is the base rate."""
    cells: Cells
    """Probabilities that both modes, only standard, only thinking, or neither answers right."""
    standard_tokens: float | None = None
    """Completion tokens to expect in standard mode, from the training data; `None`: not known."""
    thinking_tokens: float | None = None
    """The same in thinking mode, reasoning included."""
    between: tuple[Cells, ...] = ()
    """On a ladder whose lowest and highest tier `cells` speaks of: for each tier between them, the chance that it is
    right in each of the four cases. Left out, it follows from what the tiers cost."""

    @property
    def gain(self) -> float:
        """`p_thinking - p_standard`."""
        return self.p_thinking - self.p_standard

    @property
    def belief(self) -> Belief:
        """The four cases as a belief that evidence can move."""
        return Belief(self.cells)


class Scorer(Protocol):
    """Anything that scores a conversation before it is sent. `Prior` is one; your own may replace it."""

    def score(self, messages: Messages) -> Score:
        """The score of `messages`, without any call."""
        ...


class Measure(BaseModel):
    """One plain measure: how it is standardised and what it adds to the four log weights."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    mean: float
    scale: float
    weights: Cells
    least: float = -3.0
    """The lowest that counts, standardised; the highest is 3."""


class LengthHead(BaseModel):
    """Completion tokens of one mode as a function of a few plain measures, on a logarithmic scale."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    intercept: float
    measures: Mapping[str, tuple[float, float, float]]
    """Mean, scale and weight of each measure."""
    correction: float
    """What the mean of the tokens is of the exponential of the mean logarithm, where it was not fitted."""
    most: float

    def expected(self, measures: Mapping[str, float], weight: float) -> float:
        """The tokens to expect; of the measures, the share `weight` is used."""
        own = sum(
            factor * max(-3.0, min(3.0, (measures.get(name, mean) - mean) / scale))
            for name, (mean, scale, factor) in self.measures.items()
        )
        return min(self.most, self.correction * exp(self.intercept + max(0.3, weight) * own))


class Familiarity(BaseModel):
    """Which words the families of training questions use, and how rare each word is.

    A question is as familiar as the family that covers most of it: words that are known, but from here and there, do
    not make it so.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    unknown: float
    """Rarity of a word that no family uses."""
    ballast: float
    """Rarity added to every question, so that a few words are never familiar."""
    families: int
    words: Mapping[str, tuple[float, tuple[int, ...]]]
    """For each word its rarity and the families that use it."""

    def coverage(self, words: Set[str]) -> float:
        """The share of `words`, by rarity, that the best-fitting family covers, 0 to 1."""
        known = self.words.keys() & words
        covered = [0.0] * self.families
        total = self.ballast + self.unknown * (len(words) - len(known))
        for word in known:
            rarity, families = self.words[word]
            total += rarity
            for family in families:
                covered[family] += rarity
        return max(covered) / total if covered else 0.0


class RecordedLength(BaseModel, frozen=True, defer_build=True):
    """Completion tokens of one mode in the training data, as evenly spaced quantiles."""

    source: str
    rows: int
    quantiles: tuple[int, ...]


class Prior(BaseModel):
    """The shipped score: a linear model over words and plain measures, with the weight that it has earned.

    Its coefficients are a small JSON file, scored in plain Python. The model card beside it says what it was trained
    on and how well it does on task families it has not seen.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    version: str
    base: Cells
    """The four base rates, used where the question is unfamiliar, with `plain`."""
    plain: Mapping[str, Measure] = Field(default_factory=dict[str, Measure])
    """The little that transfers to unfamiliar questions: what a few plain measures add to the base rates."""
    intercept: Cells
    measures: Mapping[str, Measure]
    words: Mapping[str, Cells]
    familiarity: Familiarity
    shrink: tuple[tuple[float, float], ...]
    """Pairs of coverage and weight, in rising order; between them the weight is interpolated."""
    looks: tuple[float, ...]
    """Quantiles of how hard the training questions look, for `complexity`."""
    lengths: Mapping[str, RecordedLength]
    """Recorded completion tokens by mode."""
    length_heads: Mapping[str, LengthHead] = Field(default_factory=dict[str, LengthHead])
    """Completion tokens to expect, by mode."""
    usefulness: str
    """In a sentence, what the score is worth on families that it has not seen."""

    @classmethod
    def builtin(cls) -> Prior:
        """The one that comes with the package."""
        return _builtin()

    def score(self, messages: Messages) -> Score:
        """The score of `messages`: about 0.3 ms of plain Python for 2,000 characters."""
        features = extract_features(messages)
        both, standard, thinking, neither = _added(self.intercept, self.measures, features.measures)
        words = self.words
        for word in words.keys() & features.words:
            b, s, t, n = words[word]
            both += b
            standard += s
            thinking += t
            neither += n
        coverage = self.familiarity.coverage(features.words)
        looked = Belief.of_logits((both, standard, thinking, neither))
        weight = self._weight(coverage)
        base = _added(Belief.of(self.base).logits, self.plain, features.measures)
        own = (both, standard, thinking, neither)
        belief = Belief.of_logits([(1 - weight) * a + weight * b for a, b in zip(base, own, strict=True)])
        lengths = {mode: head.expected(features.measures, weight) for mode, head in self.length_heads.items()}
        return Score(
            p_standard=belief.p_standard,
            p_thinking=belief.p_thinking,
            complexity=bisect_right(self.looks, 1 - looked.p_standard) / max(1, len(self.looks)),
            novelty=1 - coverage,
            weight=weight,
            cells=belief.cells,
            standard_tokens=lengths.get("standard"),
            thinking_tokens=lengths.get("thinking"),
        )

    def recorded_length(self, mode: Mode) -> RecordedLength | None:
        """Completion tokens of `mode` in the training data, or `None` where none were recorded."""
        return self.lengths.get(mode)

    def _weight(self, coverage: float) -> float:
        below = (0.0, 0.0)
        for point in self.shrink:
            if coverage <= point[0]:
                span = point[0] - below[0]
                return point[1] if span <= 0 else below[1] + (point[1] - below[1]) * (coverage - below[0]) / span
            below = point
        return below[1]


def _added(start: Cells, measures: Mapping[str, Measure], values: Mapping[str, float]) -> Cells:
    """Log weights with what plain measures add to them."""
    both, standard, thinking, neither = start
    for name, measure in measures.items():
        value = max(measure.least, min(3.0, (values.get(name, measure.mean) - measure.mean) / measure.scale))
        b, s, t, n = measure.weights
        both += b * value
        standard += s * value
        thinking += t * value
        neither += n * value
    return both, standard, thinking, neither


@lru_cache(maxsize=1)
def _builtin() -> Prior:
    return Prior.model_validate_json((files("deepthrift_router") / "data" / "prior.json").read_bytes())
