"""What token log-probabilities say, as one of a few outcomes that can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepthrift import TokenLogprob

_QUANTILE: Final = 0.1
"""Low quantiles tell more than means, which long answers wash out (Gupta et al., arXiv 2404.10136)."""
_SPANS: Final = ((-3.0, "below -3"), (-1.5, "-3 to -1.5"), (-0.7, "-1.5 to -0.7"), (-0.2, "-0.7 to -0.2"))


def logprob_outcome(tokens: Sequence[TokenLogprob]) -> str | None:
    """The span in which the tenth percentile of the log-probabilities lies: the higher, the surer; or `None`."""
    return span_of([token.logprob for token in tokens if token.logprob is not None])


def span_of(logprobs: Sequence[float]) -> str | None:
    """The same of bare log-probabilities."""
    values = sorted(logprobs)
    if not values:
        return None
    low = values[int(_QUANTILE * (len(values) - 1))]
    return next((name for most, name in _SPANS if low < most), "above -0.2")
