"""The overfitting rule: by hand, condition by condition, and its error rates on labelled curves."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_vlmeval.analysis.loss_curve import noise
from lightning_vlmeval.analysis.overfitting import OverfittingDetector, Verdict
from lightning_vlmeval.errors import ConfigurationError
from tests.analysis import curves
from tests.analysis.curves import Curve, rates

FALLING = [1.0, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.28, 0.26, 0.24]
RISE = [1.0, 0.9, 0.8, 0.9, 1.0, 1.1, 1.2]

# A rise that comes late, and a training loss that fell by a tenth five times and then is 3 % up.
LATE = [1.0, 0.9, 0.8, 0.801, 0.802, 0.803, 0.804, 0.9, 0.95, 1.0]
STEADY = [0.9 ** min(i, 5) for i in range(7)]
BACK = 1.03 * STEADY[-1]


def run(
    val: list[float], train: list[float] | None = None, **options: Any
) -> tuple[OverfittingDetector, list[Verdict]]:
    """A detector after these losses, at steps 0, 10, 20, ..., and all its verdicts."""
    rule = OverfittingDetector(**options)
    train = FALLING[: len(val)] if train is None else train
    verdicts = [
        rule.update(step=10 * i, train_loss=s, val_loss=v)
        for i, (v, s) in enumerate(zip(val, train, strict=True))
    ]
    return rule, verdicts


def states(val: list[float], train: list[float] | None = None, **options: Any) -> list[str]:
    return [verdict.state for verdict in run(val, train, **options)[1]]


def test_worked_by_hand() -> None:
    """The second differences of log RISE are small but for the minimum's, so the noise is small.

    The best level is median(0.9, 0.8, 0.9) = 0.9. The last three losses 1.0, 1.1, 1.2 exceed it
    and are the third evaluation above it; their median 1.1 is 22 % above, and 0.2 / 1.1 of today's
    loss was added.
    """
    _, verdicts = run(RISE)
    assert [v.state for v in verdicts] == ["ok"] * 5 + ["watch", "overfitting"]
    last = verdicts[-1]
    assert last.severity == pytest.approx(1 - 0.9 / 1.1)
    assert last.rise == pytest.approx(1.1 / 0.9 - 1)
    assert (last.onset_step, last.best_step, last.num_evaluations) == (20, 20, 7)
    assert last.reason == (
        "Overfitting since step 20: validation loss is 22.2 % above its best level of 0.9 around "
        "step 20 while training loss went from 0.7 to 0.45; use more diverse data, fewer epochs, "
        "or both."
    )


def test_margin_by_hand() -> None:
    """Four evaluations: second differences of log(1, 2, 2, 4) are -ln 2 and ln 2."""
    _, verdicts = run([1.0, 2.0, 2.0, 4.0])
    sd = 1.4826 / math.sqrt(6) * math.log(2)
    margin = 1.75 * sd * math.sqrt(2 * math.log(4))
    assert verdicts[-1].min_detectable_rise == pytest.approx(math.expm1(margin))
    assert math.isnan(verdicts[2].min_detectable_rise)


def test_smallest_rise_counts_where_there_is_no_noise() -> None:
    quiet = [1.0, 1.015, 1.017, 1.019, 1.0195, 1.0199]
    assert "watch" not in states(quiet)
    assert states(quiet, min_rise=0.01)[3:] == ["overfitting"] * 3
    assert run(quiet)[1][-1].min_detectable_rise == pytest.approx(0.02)


def test_rises_from_the_first_evaluation_on() -> None:
    verdicts = run([1.0, 1.1, 1.2, 1.3])[1]
    assert verdicts[-1].state == "overfitting"
    assert (verdicts[-1].onset_step, verdicts[-1].best_step) == (0, 0)


def test_noise_ignores_a_line_and_an_outlier() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.01, 400) + 0.5 * np.arange(400)
    assert noise(values.tolist()) == pytest.approx(0.01, rel=0.15)
    values[200] += 9
    assert noise(values.tolist()) == pytest.approx(0.01, rel=0.15)
    assert noise([0.0, 1.0, 2.0, 3.0], least=1e-4) == 1e-4
    assert math.isnan(noise([0.0, 1.0, 0.0]))


# What each condition of the rule rejects: the losses, and what the state is instead.
REJECTED = {
    "the training loss rises too": (RISE, [1, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9], "diverging"),
    "the training loss stays where it was": (RISE, [1, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7], "ok"),
    "the training loss fell, but stands above its low": (LATE, [*STEADY, *[BACK] * 3], "ok"),
    "the training loss rose, but by less than 5 %": (LATE, [*STEADY, *[1.013 * BACK] * 3], "ok"),
    "the training loss rose by more than 5 %": (LATE, [*STEADY, *[1.03 * BACK] * 3], "diverging"),
    "no longer rising": ([*RISE[:-1], 1.05], FALLING[:7], "ok"),
    "two evaluations above": (RISE[:-1], FALLING[:6], "watch"),
    "a blip": ([1.0, 0.9, 0.8, 0.9, 1.0, 0.82, 0.83], FALLING[:7], "ok"),
    "one lucky evaluation": ([1, 0.9, 0.85, 0.84, 0.7, 0.86, 0.85, 0.851], FALLING[:8], "ok"),
    "within the noise": ([1, 1.2, 0.95, 1.25, 1.0, 1.3, 1.1, 1.32], FALLING[:8], "ok"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_rejects(name: str) -> None:
    val, train, state = REJECTED[name]
    seen = states(val, train)
    assert seen[-1] == state
    assert "overfitting" not in seen


def test_noisy_training_loss_may_stand_above_its_low() -> None:
    quiet = [*STEADY, *[BACK] * 3]
    noisy = [s * (1.02 if i % 2 else 0.98) for i, s in enumerate(quiet)]
    assert states(LATE, quiet)[-1] == "ok"
    assert states(LATE, noisy)[-1] == "overfitting"


def test_patience() -> None:
    assert states([*RISE, 1.3], patience=4)[-2:] == ["watch", "overfitting"]
    assert states(RISE, patience=2)[-2:] == ["overfitting", "overfitting"]


def test_stands_until_a_new_best() -> None:
    val = [*RISE, 0.85, 0.81, 0.79, 0.85]
    train = FALLING[: len(val)]
    assert states(val, train)[6:] == ["overfitting"] * 3 + ["ok", "ok"]
    verdicts = run(val, train)[1]
    assert verdicts[8].severity == 0.0  # the loss is back, but has not beaten its best
    assert verdicts[9].reason == "Validation loss is at its lowest of 10 evaluations, at step 90."


def test_tied_steps() -> None:
    val = [1.0, 0.9, 0.81, 0.8, 0.82, 0.79, 0.9, 1.0]
    last = run(val)[1][-1]
    sd = noise([math.log(v) for v in val])
    near = [10 * i for i, v in enumerate(val) if v != 0.79 and math.log(v / 0.79) <= sd]
    assert last.best_step == 50
    assert list(last.tied_steps) == near == [20, 30]


@pytest.mark.parametrize("loss", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["validation", "training"])
def test_invalid_loss_is_left_out(name: str, loss: float) -> None:
    rule, verdicts = run(RISE)
    losses = {"val_loss": 1.3, "train_loss": 0.3}
    losses["val_loss" if name == "validation" else "train_loss"] = loss
    verdict = rule.update(step=70, **losses)
    assert verdict.state == "invalid"
    assert verdict.reason == (
        f"The {name} loss at step 70 is {loss:g}, not a positive finite number: this evaluation "
        'is left out; the verdict before it, "overfitting", stands.'
    )
    assert (verdict.severity, verdict.num_evaluations) == (verdicts[-1].severity, 7)
    assert rule.update(step=80, train_loss=0.3, val_loss=1.1).state == "overfitting"


def test_invalid_first() -> None:
    rule = OverfittingDetector()
    verdict = rule.update(step=0, train_loss=math.nan, val_loss=1.0)
    assert (verdict.state, verdict.best_step, verdict.num_evaluations) == ("invalid", None, 0)
    assert "stands" not in verdict.reason
    assert rule.update(step=1, train_loss=1.0, val_loss=1.0).num_evaluations == 1


def test_too_few_evaluations() -> None:
    rule, verdicts = run(RISE[:3])
    assert verdicts[-1].reason.startswith("3 of the 4 evaluations that a verdict needs")
    assert rule.shortfall(4) is None
    assert rule.shortfall(3) == (
        "This run plans 3 evaluations, and overfitting takes at least 4 to be seen: evaluate more "
        "often (val_check_interval, check_val_every_n_epoch)."
    )
    assert OverfittingDetector(patience=5).min_evaluations == 6
    assert OverfittingDetector(patience=1).min_evaluations == 4


# The state after each of the losses, and words of its reason.
REASONS = {
    "watch": (RISE[:6], FALLING[:6], "after 3 evaluations in a row it is overfitting"),
    "diverging": (
        RISE,
        [1, 0.8, 0.7, 0.75, 0.8, 0.85, 0.9],
        "and training loss 13.3 % above its own lowest",
    ),
    "not rising": ([*RISE[:-1], 1.05], FALLING[:7], "it no longer rises"),
    "train flat": (RISE, [1, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7], "training loss has not kept falling"),
    "small": (
        [1, 0.9, 0.8, 0.7, 0.706],
        FALLING[:5],
        "the last 2 evaluations are not both more than 3.04 % above.",
    ),
    "noisy": ([1, 1.2, 0.95, 1.25, 1.0], FALLING[:5], "too noisy to tell a smaller rise"),
}


@pytest.mark.parametrize("name", REASONS)
def test_reason(name: str) -> None:
    val, train, words = REASONS[name]
    assert words in run(val, train)[1][-1].reason


def test_extreme_losses() -> None:
    last = run([1e-300, 1e-300, 1e300, 1e301, 1e302, 1e303], FALLING[:6], noise_factor=0.0)[1][-1]
    assert last.state == "overfitting"
    assert 0.99 < last.severity < 1
    assert math.isfinite(last.rise)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "`patience` to be a whole number of at least 1, but got 0"),
        ({"patience": 2.5}, "`patience` to be a whole number of at least 1, but got 2.5"),
        ({"min_rise": -0.1}, "`min_rise` to be a finite number of at least 0, but got -0.1"),
        ({"noise_factor": math.nan}, "`noise_factor` to be a finite number of at least 0, but got"),
        ({"train_tol": math.inf}, "`train_tol` to be a finite number of at least 0, but got inf"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        OverfittingDetector(**options)


LOSSES = st.lists(
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)) | st.just((math.nan, 1.0)), max_size=12
)


@settings(deadline=None)
@given(LOSSES, st.sampled_from([1e-3, 0.25, 3.0, 250.0]), st.sampled_from([1e-3, 1.0, 250.0]))
def test_scale_changes_nothing(
    losses: list[tuple[float, float]], by_val: float, by_train: float
) -> None:
    # No two losses tie, so that no difference of rounding decides.
    val = [v * (1 + 1e-3 * math.sin(i)) for i, (v, _) in enumerate(losses)]
    train = [s * (1 + 1e-3 * math.cos(i)) for i, (_, s) in enumerate(losses)]
    _, plain = run(val, train)
    _, scaled = run([by_val * v for v in val], [by_train * s for s in train])
    assert [v.state for v in scaled] == [v.state for v in plain]
    np.testing.assert_allclose([v.severity for v in scaled], [v.severity for v in plain], atol=1e-9)
    assert all(0 <= v.severity < 1 and v.rise >= 0 for v in plain)


def per_sample(rng: np.random.Generator, mean: float, n: int, spread: float) -> dict[str, float]:
    """Losses of n samples with exactly this mean."""
    values = rng.normal(0, spread, n)
    return {f"sample {i}": mean + v for i, v in enumerate(values - values.mean())}


def paired_run(
    val: list[float], n: int, spread: float, rename_from: int | None = None
) -> list[Verdict]:
    """Verdicts where the samples' losses are known; from one evaluation on under other ids."""
    rng = np.random.default_rng(3)
    rule = OverfittingDetector()
    verdicts = []
    for i, v in enumerate(val):
        losses = per_sample(rng, v, n, spread)
        if rename_from is not None and i >= rename_from:
            losses = {f"other {name}": loss for name, loss in losses.items()}
        verdicts.append(rule.update(step=i, train_loss=FALLING[i], val_loss=v, val_losses=losses))
    return verdicts


# With noise of 0.9 % the margin is 3.6 % by 1.75 times it, and 2.1 % by 1.0 times.
WOBBLY = [1.0, 0.95, 0.94, 0.925, 0.93, 0.935, 0.945, 0.943, 0.958, 0.952, 0.963, 0.967]

# A larger rise with noise of 4 %.
NOISY = [1.0, 0.94, 0.96, 0.92, 0.94, 1.0, 0.98, 1.04, 1.03, 1.08]


def test_samples_let_a_quiet_curve_speak_sooner() -> None:
    assert 0.009 < noise([math.log(v) for v in WOBBLY]) < 0.01
    assert "overfitting" not in states(WOBBLY)
    assert paired_run(WOBBLY, n=200, spread=0.01)[-1].state == "overfitting"
    assert paired_run(WOBBLY, n=49, spread=0.01)[-1].state == "ok"


def test_samples_do_not_let_a_noisy_curve_speak_sooner() -> None:
    last = paired_run(NOISY, n=200, spread=0.01)[-1]
    assert last.state == "ok"
    assert last.paired is not None
    assert last.paired.p_value < 0.01
    assert last.min_detectable_rise == run(NOISY)[1][-1].min_detectable_rise


def test_samples_must_confirm() -> None:
    assert paired_run(RISE, n=200, spread=0.1)[-1].state == "overfitting"
    last = paired_run(RISE, n=200, spread=30.0)[-1]
    assert last.state == "ok"
    assert last.paired is not None
    assert last.paired.p_value > 0.01
    assert "the samples do not confirm it (" in last.reason


def test_few_samples_confirm_at_a_lower_level() -> None:
    """One-sided p between 0.01 and 0.05: enough for 40 samples, not for 400."""
    for n, state in ((40, "overfitting"), (400, "ok")):
        change = np.array([1.0, -1.0] * (n // 2))
        change = 0.2 + change * 0.2 * math.sqrt(n) / 2.0  # t is about 2
        rule = OverfittingDetector()
        for i, v in enumerate(RISE):
            losses = {str(k): 1.0 + (c if i > 3 else 0.0) for k, c in enumerate(change)}
            verdict = rule.update(step=i, train_loss=FALLING[i], val_loss=v, val_losses=losses)
        assert verdict.paired is not None
        assert 0.01 < verdict.paired.p_value < 0.05
        assert verdict.state == state


def test_paired_rise_by_hand() -> None:
    """Best at 1, so losses 0 to 2 average against 3 to 5: sample a by 3, b by 3 * 2, c by 0."""
    rule = OverfittingDetector()
    for i, v in enumerate([1.0, 0.5, 0.9, 1.0, 1.1, 1.2]):
        losses = {"a": float(i), "b": 2.0 * i, "c": 5.0, "d": math.nan}
        verdict = rule.update(step=i, train_loss=FALLING[i], val_loss=v, val_losses=losses)
    paired = verdict.paired
    assert paired is not None
    assert (paired.difference, paired.share_worse, paired.num_samples) == (3.0, 2 / 3, 3)
    half = 4.302652729911275 * 3 / math.sqrt(3)  # t of two degrees of freedom, at 0.975
    assert (paired.low, paired.high) == pytest.approx((3 - half, 3 + half))
    assert paired.p_value == pytest.approx(0.112701665)  # 1/2 - t / (2 sqrt(2 + t^2)), t = sqrt 3


def test_other_samples_are_said_so() -> None:
    last = paired_run(RISE, n=200, spread=30.0, rename_from=4)[-1]
    assert last.paired is None
    assert last.state == "overfitting"  # by the curve alone
    assert "the samples were not the same at each evaluation" in last.reason


def test_samples_are_forgotten() -> None:
    rule = OverfittingDetector()
    rng = np.random.default_rng(0)
    for i in range(60):
        losses = per_sample(rng, 1.0, 10, 0.1)
        rule.update(step=i, train_loss=1.0, val_loss=1 + 0.1 * (i - 20) ** 2, val_losses=losses)
    assert rule.state_dict()["samples"]["evaluations"] == [19, 20, 21, 57, 58, 59]


def primitive(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(k) is str and primitive(v) for k, v in value.items())
    if isinstance(value, list):
        return all(primitive(v) for v in value)
    return type(value) in (int, float, str)


@pytest.mark.parametrize("samples", [False, True])
def test_resuming_equals_never_having_stopped(samples: bool) -> None:
    rng = np.random.default_rng(1)
    val = [*WOBBLY[:5], math.nan, *WOBBLY[5:], 0.95]
    inputs = [
        {
            "step": 10 * i,
            "val_loss": v,
            "train_loss": 0.9**i,
            "val_losses": per_sample(rng, v, 60, 0.01) if samples else None,
        }
        for i, v in enumerate(val)
    ]
    whole = OverfittingDetector()
    expected = [whole.update(**one) for one in inputs]
    assert ("overfitting" in {v.state for v in expected}) == samples
    for stop in range(len(val)):
        before = OverfittingDetector()
        for one in inputs[:stop]:
            before.update(**one)
        state = before.state_dict()
        assert primitive(state)
        after = OverfittingDetector()
        after.load_state_dict(json.loads(json.dumps(state)))
        resumed = [after.update(**one) for one in inputs[stop:]]
        assert [repr(v) for v in resumed] == [repr(v) for v in expected[stop:]]
        assert after.state_dict() == whole.state_dict()


def labelled() -> list[Curve]:
    """The 184 curves with a label, of 180 simulated and 20 real ones from tiny fine-tunes."""
    data = json.loads((Path(__file__).parent / "data" / "curves_dev.json").read_text())
    return [
        Curve(
            kind=one["kind"],
            val_loss=one["val_loss"],
            train_loss=one["train_loss"],
            lowest=one["truth"]["true_min_index"],
            overfit=one["label"] == "overfit",
            clear=one["clear"],
        )
        for one in data["curves"]
        if one["label"] != "ambiguous"
    ]


def test_labelled_curves() -> None:
    r = rates(curves.detector, labelled())
    assert (r.false_alarms, r.num_healthy) == (2, 100)
    assert (r.clear, r.num_clear) == (63, 64)
    assert (r.detected, r.num_overfit) == (70, 84)
    assert r.early == 0
    assert np.quantile(r.delays, [0.5, 0.9]).tolist() == pytest.approx([4, 9], abs=0.5)


def test_simulated_curves() -> None:
    """Bounds that the measured rates keep with room: 1.8 %, 97.3 %, 84.5 %, 0.3 %, 4."""
    some = curves.simulate(500, seed=11)
    r = rates(curves.detector, some)
    assert r.false_alarms <= 0.03 * r.num_healthy
    assert r.clear >= 0.95 * r.num_clear
    assert r.detected >= 0.80 * r.num_overfit
    assert r.early <= 0.01 * r.num_overfit
    assert np.median(r.delays) <= 5
    for rule in (curves.early_stopping, curves.naive):
        other = rates(rule, some)
        assert other.false_alarms > 10 * r.false_alarms
        assert other.clear < r.clear


def test_false_alarms_by_kind() -> None:
    """Measured on 8,000 healthy curves: 13 %, 4.0 % and 0.3 %."""
    some = curves.simulate(1500, seed=12)[:1500]
    for kind, share in (("divergence", 0.2), ("spike of both", 0.08), ("improving", 0.01)):
        those = [c for c in some if c.kind == kind]
        assert rates(curves.detector, those).false_alarms <= share * len(those)


def test_double_descent_withdraws_the_flag() -> None:
    rng = np.random.default_rng(4)
    flagged = 0
    for _ in range(100):
        curve = curves.double_descent(rng)
        seen = curves.detector_states(curve.val_loss, curve.train_loss)
        if "overfitting" in seen:
            flagged += 1
            assert seen[-1] != "overfitting"
    assert flagged > 10


def test_the_simulator_is_what_it_says() -> None:
    some = curves.simulate(400, seed=2)
    assert [c.overfit for c in some] == [False] * 400 + [True] * 400
    assert {c.kind for c in some[:400]} == set(curves.HEALTHY)
    lengths = [len(c.val_loss) for c in some]
    assert (min(lengths), max(lengths)) == (5, 60)
    assert all(len(c.val_loss) - 1 - c.lowest >= 3 for c in some[400:])
    assert all(len(c.val_loss) - 1 - c.lowest >= 5 for c in some if c.clear)


@pytest.mark.parametrize("rule", [curves.early_stopping, curves.naive])
def test_the_other_rules(rule: Callable[[list[float], list[float]], int | None]) -> None:
    expected = 5 if rule is curves.early_stopping else 3
    assert rule([3.0, 2.0, 1.0, 1.5, 1.4, 1.6], [3.0, 2.0, 1.0, 0.9, 0.8, 0.7]) == expected
    assert rule([3.0, 2.0, 1.0], [3.0, 2.0, 1.0]) is None
