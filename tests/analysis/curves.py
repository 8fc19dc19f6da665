"""Simulated loss curves with known answers, and the error rates of overfitting rules on them.

``python -m tests.analysis.curves`` prints the table for 2,000 healthy and 2,000 overfit curves.

A curve has 5 to 60 evaluations and multiplicative noise of 0.1 to 7 % (validation) and 0.3 to 8 %
(training), autocorrelated up to 0.5, with heavy tails in one curve of ten. A healthy curve is of
one of eight kinds, drawn with the shares of `HEALTHY`; all but the plateau of both, the divergence
and the spike have a training loss that falls to the end, as in an overfit one.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from lightning_vlmeval.analysis.overfitting import OverfittingDetector
from lightning_vlmeval.table import Floats

HEALTHY = {
    "improving": 0.36,
    "plateau, gap widening": 0.18,
    "spike of both": 0.13,
    "blip of validation": 0.11,
    "plateau of both": 0.07,
    "divergence": 0.05,
    "warm-up": 0.05,
    "cyclic rate": 0.05,
}

RISES = {"straight": 0.4, "slowing": 0.4, "growing": 0.15, "stairs": 0.05}

Rule = Callable[[list[float], list[float]], int | None]


@dataclass(frozen=True)
class Curve:
    """A labelled pair of loss curves.

    Args:
        kind: How it was made.
        val_loss: The validation loss of each evaluation.
        train_loss: The mean training loss since the evaluation before.
        lowest: The evaluation with the lowest noise-free validation loss.
        overfit: Whether that loss then rises by 5 % or more, over 3 evaluations or more.
        clear: Whether it rises by 6 standard deviations of the noise or more, over 5 evaluations.
    """

    kind: str
    val_loss: list[float]
    train_loss: list[float]
    lowest: int
    overfit: bool
    clear: bool


def healthy(rng: np.random.Generator) -> Curve:
    """A curve without overfitting.

    Args:
        rng: Draws it.
    """
    kind = str(rng.choice(list(HEALTHY), p=list(HEALTHY.values())))
    n = _length(rng)
    t = np.arange(n)
    val, train = _decay(rng, t), _decay(rng, t) * _falling(rng, t)
    start = int(rng.integers(1, max(2, n - 1)))
    after = np.maximum(t - start, 0)
    if kind == "improving":
        val = val * np.exp(-_log_uniform(rng, 0.0003, 0.03) * t)
    elif kind == "plateau, gap widening":
        val = val[np.minimum(t, start)]
    elif kind == "plateau of both":
        val, train = val[np.minimum(t, start)], train[np.minimum(t, start)]
    elif kind == "spike of both":
        height, tau = _log_uniform(rng, 0.02, 0.8), rng.uniform(0.7, 6)
        spike = np.where(t >= start, np.exp(-after / tau), 0.0)
        val, train = (
            val * (1 + height * spike),
            train * (1 + height * rng.uniform(0.5, 1.5) * spike),
        )
    elif kind == "divergence":
        ramp = np.minimum(1.0, (after + (t >= start)) / rng.integers(1, 4))
        height = _log_uniform(rng, 0.08, 1.0)
        hold = np.minimum(t, start)
        val = val[hold] * (1 + height * ramp)
        train = train[hold] * (1 + height * rng.uniform(0.6, 1.8) * ramp)
    elif kind == "warm-up":
        bump = rng.uniform(0.0, 0.25) * np.exp(-(((t - rng.uniform(1, 3)) / 1.0) ** 2))
        val, train = val * (1 + bump), train * (1 + bump)
    elif kind == "cyclic rate":
        period = rng.integers(3, 9)
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * t / period)
        val = val * (1 + _log_uniform(rng, 0.02, 0.15) * wave)
    curve, _ = _observe(rng, kind, val, train)
    if kind == "blip of validation":
        for i in rng.integers(1, n, size=rng.integers(1, 3)):
            curve.val_loss[i] *= 1 + _log_uniform(rng, 0.03, 0.5)
    return curve


def overfit(rng: np.random.Generator) -> Curve:
    """A curve whose validation loss rises from its minimum while the training loss falls.

    Args:
        rng: Draws it; drawn again until the rise is 5 % or more over 3 evaluations or more.
    """
    while True:
        n = _length(rng)
        t = np.arange(n)
        lowest = int(rng.uniform(0, 0.75) * (n - 1))
        after = np.maximum(t - lowest, 0) / (n - 1 - lowest)
        shape = rng.choice(list(RISES), p=list(RISES.values()))
        if shape == "slowing":
            after = 1 - np.exp(-rng.uniform(1, 5) * after)
        elif shape == "growing":
            after = after ** rng.uniform(1.2, 2.5)
        elif shape == "stairs":
            steps = max(1, (n - 1 - lowest) // int(rng.integers(2, 6)))
            after = np.ceil(after * steps) / steps
        val = _decay(rng, t)[np.minimum(t, lowest)] * (1 + _log_uniform(rng, 0.03, 3.0) * after)
        train = _decay(rng, t) * _falling(rng, t)
        curve, sd = _observe(rng, f"overfit, {shape}", val, train)
        rise, evaluations = val[-1] / val.min() - 1, n - 1 - int(np.argmin(val))
        if rise >= 0.05 and evaluations >= 3:
            clear = rise >= 6 * sd and evaluations >= 5
            return Curve(
                curve.kind, curve.val_loss, curve.train_loss, curve.lowest, True, bool(clear)
            )


def double_descent(rng: np.random.Generator) -> Curve:
    """A curve that rises and then falls below all that was before.

    Args:
        rng: Draws it.
    """
    n = int(rng.integers(20, 61))
    t = np.arange(n)
    bump = np.exp(-(((t - n / 3) / (n / 9)) ** 2)) * _log_uniform(rng, 0.1, 0.8)
    val = np.exp(-rng.uniform(0.02, 0.06) * t) * (1 + bump)
    return _observe(rng, "double descent", val, _decay(rng, t) * _falling(rng, t))[0]


def _length(rng: np.random.Generator) -> int:
    return round(_log_uniform(rng, 5, 60))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _decay(rng: np.random.Generator, t: Floats) -> Floats:
    """A loss that falls, quickly at first: exponentially, or as a power of time."""
    floor = 1 - _log_uniform(rng, 0.02, 0.55)
    tau = _log_uniform(rng, 0.7, 8)
    fall = np.exp(-t / tau) if rng.random() < 0.5 else (1 + t / tau) ** -rng.uniform(0.5, 1.5)
    return floor + (1 - floor) * fall


def _falling(rng: np.random.Generator, t: Floats) -> Floats:
    """What keeps a training loss falling to the end."""
    return np.exp(-_log_uniform(rng, 0.3, 3.0) * t / len(t))


def _observe(
    rng: np.random.Generator, kind: str, val: Floats, train: Floats
) -> tuple[Curve, float]:
    """The curve with noise, on a scale of its own; and the noise of its validation loss."""
    sd = _log_uniform(rng, 0.001, 0.07)
    heavy = rng.random() < 0.1
    noisy_val = val * np.exp(_noise(rng, len(val), sd, heavy)) * _log_uniform(rng, 0.05, 5)
    noisy_train = train * np.exp(_noise(rng, len(val), _log_uniform(rng, 0.003, 0.08), heavy))
    lowest = int(np.argmin(val))
    return Curve(kind, noisy_val.tolist(), noisy_train.tolist(), lowest, False, False), sd


def _noise(rng: np.random.Generator, n: int, sd: float, heavy: bool) -> Floats:
    """Autocorrelated noise of this standard deviation."""
    rho = rng.uniform(0, 0.5)
    shocks = rng.standard_t(3, n) / np.sqrt(3) if heavy else rng.standard_normal(n)
    noise = np.empty(n)
    noise[0] = shocks[0]
    for i in range(1, n):
        noise[i] = rho * noise[i - 1] + np.sqrt(1 - rho**2) * shocks[i]
    return sd * noise


def detector(val_loss: list[float], train_loss: list[float]) -> int | None:
    """The evaluation at which `OverfittingDetector` flags first, or None.

    Args:
        val_loss: The validation losses.
        train_loss: The training losses.
    """
    states = detector_states(val_loss, train_loss)
    return states.index("overfitting") if "overfitting" in states else None


def detector_states(val_loss: list[float], train_loss: list[float]) -> list[str]:
    """The state of `OverfittingDetector` after each evaluation.

    Args:
        val_loss: The validation losses.
        train_loss: The training losses.
    """
    rule = OverfittingDetector()
    return [
        rule.update(step=i, train_loss=train, val_loss=val).state
        for i, (val, train) in enumerate(zip(val_loss, train_loss, strict=True))
    ]


def early_stopping(val_loss: list[float], train_loss: list[float]) -> int | None:
    """Three evaluations in a row without a new best.

    Args:
        val_loss: The validation losses.
        train_loss: Not looked at.
    """
    for i in range(3, len(val_loss)):
        if i - int(np.argmin(val_loss[: i + 1])) >= 3:
            return i
    return None


def naive(val_loss: list[float], train_loss: list[float]) -> int | None:
    """Validation loss up and training loss down, once.

    Args:
        val_loss: The validation losses.
        train_loss: The training losses.
    """
    for i in range(1, len(val_loss)):
        if val_loss[i] > val_loss[i - 1] and train_loss[i] < train_loss[i - 1]:
            return i
    return None


RULES: dict[str, Rule] = {
    "OverfittingDetector": detector,
    "EarlyStopping(patience=3)": early_stopping,
    "up and down once": naive,
}


@dataclass(frozen=True)
class Rates:
    """How a rule did; an alarm at or before the true minimum is early, and detects nothing.

    Args:
        false_alarms: Of `num_healthy`, those with any alarm.
        clear: Of `num_clear`, those detected.
        detected: Of `num_overfit`, those detected.
        early: Of `num_overfit`, those with an early alarm.
        delays: From the true minimum to the alarm, in evaluations, of the clear ones.
    """

    false_alarms: int
    num_healthy: int
    clear: int
    num_clear: int
    detected: int
    num_overfit: int
    early: int
    delays: tuple[int, ...]


def rates(rule: Rule, curves: list[Curve]) -> Rates:
    """The error rates of a rule.

    Args:
        rule: Gives the evaluation of its first alarm.
        curves: Healthy and overfit ones.
    """
    alarms = [(curve, rule(curve.val_loss, curve.train_loss)) for curve in curves]
    ill = [(c, alarm) for c, alarm in alarms if c.overfit]
    hits = [(c, alarm - c.lowest) for c, alarm in ill if alarm is not None and alarm > c.lowest]
    return Rates(
        false_alarms=sum(alarm is not None for c, alarm in alarms if not c.overfit),
        num_healthy=len(curves) - len(ill),
        clear=sum(c.clear for c, _ in hits),
        num_clear=sum(c.clear for c, _ in ill),
        detected=len(hits),
        num_overfit=len(ill),
        early=sum(alarm is not None and alarm <= c.lowest for c, alarm in ill),
        delays=tuple(delay for c, delay in hits if c.clear),
    )


def simulate(num_each: int, seed: int) -> list[Curve]:
    """Healthy curves, and as many overfit ones.

    Args:
        num_each: How many of each.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    return [make(rng) for make in (healthy, overfit) for _ in range(num_each)]


def _bound(r: Rates) -> float:
    """The upper end of the exact 95 % interval of the share of false alarms."""
    if r.false_alarms == r.num_healthy:
        return 1.0
    quantile = special.betaincinv(r.false_alarms + 1, r.num_healthy - r.false_alarms, 0.975)
    return float(quantile)


def _lines(name: str, curves: list[Curve]) -> Iterator[str]:
    yield f"{name}: {len(curves)} curves"
    for rule_name, rule in RULES.items():
        r = rates(rule, curves)
        p50, p90 = np.quantile(r.delays, [0.5, 0.9]) if r.delays else (np.nan, np.nan)
        yield (
            f"  {rule_name:26} false alarms {r.false_alarms}/{r.num_healthy} "
            f"= {r.false_alarms / max(r.num_healthy, 1):.2%} (at most {_bound(r):.2%})  clear {r.clear}/{r.num_clear} "
            f"= {r.clear / max(r.num_clear, 1):.2%}  all {r.detected}/{r.num_overfit} "
            f"= {r.detected / max(r.num_overfit, 1):.2%}  early {r.early / max(r.num_overfit, 1):.2%}  "
            f"delay p50/p90 {p50:.0f}/{p90:.0f}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--num-each", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    curves = simulate(options.num_each, options.seed)
    print("\n".join(_lines("all", curves)))
    for low, high in ((5, 10), (11, 30), (31, 60)):
        some = [c for c in curves if low <= len(c.val_loss) <= high]
        print("\n".join(_lines(f"{low} to {high} evaluations", some)))
    for kind in HEALTHY:
        some = [c for c in curves if c.kind == kind]
        shares = (
            f"{name} {rates(rule, some).false_alarms / len(some):.1%}"
            for name, rule in RULES.items()
        )
        print(f"false alarms, {kind} ({len(some)}): {', '.join(shares)}")
    rng = np.random.default_rng(options.seed)
    flagged = withdrawn = 0
    for curve in (double_descent(rng) for _ in range(options.num_each)):
        states = detector_states(curve.val_loss, curve.train_loss)
        flagged += "overfitting" in states
        withdrawn += "overfitting" in states and states[-1] != "overfitting"
    print(f"double descent ({options.num_each}): flagged {flagged}, withdrawn {withdrawn}")


if __name__ == "__main__":
    main()
