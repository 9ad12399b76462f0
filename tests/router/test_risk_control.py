"""The promise: it holds as often as it says, and is refused where there are too few labels."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift.errors import ConfigurationError
from deepthrift_router._learn.risk_control import LabelledCall, control_quality_loss, loss_bound, loss_p_value


def draw(random: Random, calls: int) -> list[LabelledCall]:
    """Calls of which thinking is the more often right the higher their gain."""
    found = []
    for _ in range(calls):
        gain = random.uniform(-0.3, 0.6)
        differs = random.random() < 0.4
        better = random.random() < 0.5 + gain / 0.8
        found.append(LabelledCall(gain, not better if differs else True, better if differs else True))
    return found


def true_loss(threshold: float) -> float:
    """Of the calls above, accepted below `threshold`: 0.4 · E[(0.5 + g/0.8) − (0.5 − g/0.8); g < threshold]."""
    steps = 2000
    gains = [-0.3 + 0.9 * (step + 0.5) / steps for step in range(steps)]
    return sum(0.4 * (2 * max(0.0, min(1.0, 0.5 + g / 0.8)) - 1) for g in gains if g < threshold) / steps


def test_too_few_labels_promise_nothing_and_say_how_many_more() -> None:
    for calls in (0, 40):
        control = control_quality_loss(draw(Random(1), calls), 0.02)
        assert control.threshold is None
        assert control.more_labels is not None
        assert control.more_labels >= 100
        assert str(control.more_labels) in control.reason


def test_enough_labels_leave_out_thinking() -> None:
    control = control_quality_loss(draw(Random(2), 1500), 0.02)
    assert control.threshold is not None
    assert control.thinking_share < 0.6
    assert control.loss <= control.loss_bound <= 0.02
    assert control.more_labels is None
    assert "95%" in control.reason


def test_a_promise_that_cannot_be_kept_is_not_made() -> None:
    hopeless = [LabelledCall(index / 1000, False, True) for index in range(1000)]
    control = control_quality_loss(hopeless, 0.02)
    assert control.threshold is None or control.thinking_share > 0.97


@pytest.mark.parametrize(("limit", "confidence"), [(0.0, 0.95), (1.5, 0.95), (0.02, 1.0), (0.02, 0.2)])
def test_limits_that_mean_nothing_are_refused(limit: float, confidence: float) -> None:
    with pytest.raises(ConfigurationError):
        control_quality_loss([], limit, confidence=confidence)


@given(st.integers(1, 400), st.integers(0, 60), st.integers(0, 60), st.floats(0.005, 0.3))
@settings(max_examples=60, deadline=None)
def test_p_values_are_ordered(extra: int, lost: int, won: int, limit: float) -> None:
    count = lost + won + extra
    p = loss_p_value(lost, won, count, limit)
    assert 0 <= p <= 1
    assert loss_p_value(lost + 1, won, count, limit) >= p - 1e-9
    assert loss_p_value(lost, won, count, min(0.9, limit * 1.5)) <= p + 1e-9
    assert loss_bound(lost, won, count) >= (lost - won) / count - 1e-6


def test_the_p_value_is_that_of_a_simulation() -> None:
    random, limit, differ, count = Random(3), 0.05, 0.3, 300
    draws = 4000
    hits = 0
    for _ in range(draws):
        balance = 0
        for _ in range(count):
            if random.random() < differ:
                balance += 1 if random.random() < (differ + limit) / (2 * differ) else -1
        hits += balance <= 3
    # 48 lost and 45 won: about as many differ as here, and the balance is 3.
    assert loss_p_value(48, 45, count, limit) >= hits / draws - 0.01


@pytest.mark.slow
def test_the_promise_holds_as_often_as_it_says() -> None:
    random, repeats, broken = Random(4), 150, 0
    for _ in range(repeats):
        control = control_quality_loss(draw(random, 300), 0.05)
        broken += control.threshold is not None and true_loss(control.threshold) > 0.05
    # At most 5 % are broken; 10 % is three standard errors above that.
    assert broken <= 0.1 * repeats
