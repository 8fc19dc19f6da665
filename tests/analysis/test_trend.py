"""The trend of a score: by hand, each state, odd input, and its error rates."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_vlmeval.analysis.trend import trend
from lightning_vlmeval.errors import ConfigurationError, InputError


def test_worked_by_hand() -> None:
    """Second differences -0.1, 0.1, 0, 0, 0.1 have the median size 0.1.

    The line through 0.1, 0.2, 0.3, 0.4, 0.6 has the slope (-2 * 0.1 - 0.2 + 0.4 + 2 * 0.6) / 10
    = 0.12, so the change is 0.48; its error is 1.3 * (1.4826 / sqrt 6) * 0.1 * 4 / sqrt 10. With
    seven values t has four degrees of freedom: 2.776445.
    """
    found = trend([0.0, 0.1, 0.1, 0.2, 0.3, 0.4, 0.6])
    half = 2.7764451051977987 * 1.3 * 1.4826 / math.sqrt(6) * 0.1 * 4 / math.sqrt(10)
    assert found.change == pytest.approx(0.48)
    assert (found.low, found.high) == pytest.approx((found.change - half, found.change + half))
    assert found.state == "improving"


def test_two_degrees_of_freedom_are_the_least() -> None:
    """Four values and a window of three: second differences of 0.1 and -0.1, t of two degrees."""
    found = trend([0.0, 0.0, 0.1, 0.1], window=3)
    half = 4.302652729911275 * 1.3 * 1.4826 / math.sqrt(6) * 0.1 * 2 / math.sqrt(2)
    assert found.high - found.change == pytest.approx(half)


# Values and the state, where higher is better.
STATES = {
    "improving": ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "improving"),
    "declining": ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], "declining"),
    "constant": ([0.5] * 6, "plateaued"),
    "plateau after a steep climb": ([0.0, 0.3, 0.5, 0.6] + [0.61] * 6, "plateaued"),
    "slow climb after a steep one": (
        [0.0, 0.3, 0.5, 0.6, *(0.6 + 0.004 * i for i in range(8))],
        "improving",
    ),
    "a climb too slow to matter": ([0.5 + 0.001 * i for i in range(9)], "plateaued"),
    "half of what matters": ([0.5 + 0.0013 * i for i in range(9)], "improving"),
    "noise": ([0.5, 0.3, 0.6, 0.2, 0.55, 0.4, 0.7], "unclear"),
    "noise without a new best": ([0.9, 0.5, 0.6, 0.5, 0.61, 0.5, 0.606], "plateaued"),
    "a new best, and back": ([0.5, 0.51, 0.5, 0.5, 0.53, 0.5, 0.5], "unclear"),
    "five values": ([0.1, 0.2, 0.3, 0.4, 0.5], "unclear"),
    "none": ([], "unclear"),
}


@pytest.mark.parametrize("name", STATES)
def test_state(name: str) -> None:
    values, state = STATES[name]
    found = trend(values)
    assert found.state == state
    assert state in found.reason.lower() or len(values) < 6


@pytest.mark.parametrize("name", STATES)
def test_lower_is_better(name: str) -> None:
    """The same values turned over have the same state, and the change with the other sign."""
    values, state = STATES[name]
    found = trend([1 - value for value in values], higher_is_better=False)
    assert found.state == state
    np.testing.assert_allclose(found.change, -trend(values).change, atol=1e-12)


def test_reason() -> None:
    assert trend([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).reason == (
        "Improving: +0.4 [0.4, 0.4] over the last 5 evaluations."
    )
    assert trend([0.1, 0.2]).reason == "2 evaluations, and a trend over 5 takes 6 or more."
    assert math.isnan(trend([0.1, 0.2]).change)


def test_undefined_values_are_left_out() -> None:
    values = [0.1, math.nan, 0.2, 0.3, 0.4, math.nan, 0.5, 0.6]
    steps = [10, 15, 20, 30, 40, 45, 50, 60]
    assert trend(values, steps) == trend([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert trend([math.nan] * 9).state == "unclear"


def test_steps_that_are_not_even() -> None:
    """A straight line over its steps: all of its climb in the window is the change."""
    steps = [0, 10, 20, 25, 40, 80, 90]
    assert trend([0.01 * s for s in steps], steps).change == pytest.approx(0.7)
    assert trend([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [7] * 6).change == pytest.approx(0.4)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=20), st.integers(3, 5))
def test_properties(values: list[float], window: int) -> None:
    found = trend(values, window=window)
    assert found.low <= found.change <= found.high
    if found.state == "improving":
        assert found.low > 0
        assert found.change >= 0.005
    if found.state == "declining":
        assert found.high < 0
        assert found.change <= -0.005
    if found.state == "plateaued":
        assert abs(found.change) < 0.01


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_delta": 0.0}, ConfigurationError, "Expected `min_delta` above 0, but got 0.0"),
        ({"window": 2}, ConfigurationError, "Expected `window` of at least 3, but got 2"),
        ({"steps": [1, 2]}, InputError, "Expected one step for each value, but got 2 and 6"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        trend([0.1] * 6, **options)


def test_infinite_value() -> None:
    with pytest.raises(InputError, match="Expected finite values or NaN, but got an infinite one"):
        trend([0.1, 0.2, math.inf])


def climb(rng: np.random.Generator, slope: float, noise: float) -> list[float]:
    """A score that climbs steeply, and for its last seven evaluations by `slope` each time."""
    n = int(rng.integers(8, 40))
    t = np.arange(n)
    rho = rng.uniform(0, 0.5)
    error = rng.normal(0, 1, n)
    for i in range(1, n):
        error[i] = rho * error[i - 1] + math.sqrt(1 - rho**2) * error[i]
    start = n - 7
    steep = 0.4 * (1 - np.exp(-np.minimum(t, start) / rng.uniform(1, 5)))
    return (steep + slope * np.maximum(t - start, 0) + noise * error).tolist()


@pytest.mark.parametrize(("noise", "found"), [(0.002, 0.9), (0.004, 0.7)])
def test_error_rates(noise: float, found: float) -> None:
    """Of 300 plateaus and 300 climbs by 1 to 5 % in a window, where 1 % matters."""
    rng = np.random.default_rng(0)
    flat = [trend(climb(rng, 0.0, noise)).state for _ in range(300)]
    slopes = 0.01 * np.exp(rng.uniform(0, math.log(5), 300)) / 4
    up = [trend(climb(rng, slope, noise)).state for slope in slopes]
    assert flat.count("improving") + flat.count("declining") <= 0.08 * 300
    assert flat.count("plateaued") >= found * 300
    assert up.count("improving") >= found * 300
    assert up.count("declining") <= 0.005 * 300
