from lightning_vlmeval.keys import interval_keys
from lightning_vlmeval.reporting.layout import custom_scalars

VALUES = ["val/answers/exact_match", "val/grounding/f1", "val/grounding/mean_iou", "val/mine/score"]
TAGS = [
    "train/loss",
    "val/loss",
    *VALUES,
    *(end for key in VALUES for end in interval_keys(key)),
]


def test_charts_of_what_is_logged() -> None:
    charts = custom_scalars(TAGS)["vlmeval"]
    assert charts["training and validation loss"] == ["Multiline", ["^train/loss$", "^val/loss$"]]
    assert charts["precision, recall, F1"] == ["Multiline", ["^val/grounding/f1$"]]
    assert charts["val/grounding/f1, 95 % interval"] == [
        "Margin",
        ["val/grounding/f1", "val_ci/grounding/f1_low", "val_ci/grounding/f1_high"],
    ]
    assert "meaning and wording" not in charts


def test_intervals_in_the_order_in_which_tensorboard_shows_the_main_values_first() -> None:
    margins = [name for name in custom_scalars(TAGS)["vlmeval"] if "interval" in name]
    assert [name.partition(",")[0] for name in reversed(margins)] == [
        "val/grounding/f1",
        "val/grounding/mean_iou",
        "val/answers/exact_match",
        "val/mine/score",
    ]


def test_names_are_no_regular_expressions_and_may_have_prefixes() -> None:
    tags = ["mine-train/loss", "mine-val/shelf+1/grounding/f1"]
    charts = custom_scalars(tags)["vlmeval"]
    assert charts["training and validation loss"][1] == [r"^mine\-train/loss$"]
    assert charts["precision, recall, F1"][1] == [r"^mine\-val/shelf\+1/grounding/f1$"]


def test_training_samples_have_charts_of_their_own() -> None:
    tags = [*TAGS, "train/grounding/f1", "train/grounding/precision"]
    charts = custom_scalars(tags)["vlmeval"]
    assert charts["precision, recall, F1"] == ["Multiline", ["^val/grounding/f1$"]]
    assert charts["grounding/f1: training samples and validation"] == [
        "Multiline",
        ["^train/grounding/f1$", "^val/grounding/f1$"],
    ]


def test_nothing_logged_is_no_page() -> None:
    assert custom_scalars([]) == {}
