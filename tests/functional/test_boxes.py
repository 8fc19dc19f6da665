import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.functional.boxes import BoxBatch, is_valid, pairwise_iou, to_xyxy

coordinates = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-100, 100),
    st.integers(-3, 3).map(float),
)
box_lists = st.lists(st.tuples(*[coordinates] * 4), max_size=5)


def as_array(boxes):
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def iou_by_hand(a, b):
    """Intersection over union of two boxes, each a sequence of edges."""
    for left, top, right, bottom in (a, b):
        if not all(abs(edge) <= 1e150 for edge in (left, top, right, bottom)):
            return 0.0
        if not (right > left and bottom > top and (right - left) * (bottom - top) > 0):
            return 0.0
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(
        min(a[3], b[3]) - max(a[1], b[1]), 0.0
    )
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (a, b)]
    return shared / (areas[0] + areas[1] - shared)


# ------------------------------------------------------------------------------------ coordinates


@pytest.mark.parametrize(
    ("name", "box"),
    [("xyxy", [10, 20, 30, 60]), ("xywh", [10, 20, 20, 40]), ("cxcywh", [20, 40, 20, 40])],
)
def test_one_box_in_each_format(name, box):
    np.testing.assert_array_equal(to_xyxy([box], name), [[10.0, 20, 30, 60]])


@pytest.mark.parametrize("name", ["xyxy", "xywh", "cxcywh"])
def test_no_boxes_stay_no_boxes(name):
    assert to_xyxy(np.zeros((0, 4)), name).shape == (0, 4)


def test_a_negative_width_is_not_a_box():
    assert not is_valid(to_xyxy([[10, 10, -5, 5]], "xywh")).any()


def test_an_unknown_format_is_refused():
    message = "Expected `box_coordinates` to be one of xyxy, xywh, cxcywh, but got 'yxyx'"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        to_xyxy([[0, 0, 1, 1]], "yxyx")


# --------------------------------------------------------------------------------- validity, IoU


@pytest.mark.parametrize(
    ("box", "valid"),
    [
        ([0, 0, 1, 1], True),
        ([-5, -5, -4, -4], True),
        ([0, 0, 1e150, 1e150], True),
        ([0, 0, 0, 1], False),
        ([0, 0, 1, 0], False),
        ([2, 0, 1, 1], False),
        ([2, 2, 1, 1], False),
        ([0, 0, 1, np.nan], False),
        ([0, 0, np.inf, 1], False),
        ([-np.inf, 0, np.inf, 1], False),
        ([0, 0, 1e200, 1], False),
        ([0, 0, 1e-200, 1e-200], False),  # an area too small to be a number above 0
    ],
)
def test_which_boxes_are_valid(box, valid):
    assert is_valid([box]).tolist() == [valid]
    assert pairwise_iou([box], [box]).tolist() == [[1.0 if valid else 0.0]]


def test_areas_of_100_and_120_that_share_80():
    """80 / (100 + 120 - 80) = 80 / 140."""
    assert pairwise_iou([[0, 0, 10, 10]], [[2, 0, 14, 10]])[0, 0] == 80 / 140


def test_touching_boxes_share_nothing():
    assert pairwise_iou([[0, 0, 1, 1]], [[1, 0, 2, 1], [1, 1, 2, 2]]).tolist() == [[0.0, 0.0]]


@given(box_lists, box_lists)
def test_iou_equals_the_plain_formula_and_is_never_nan(preds, target):
    iou = pairwise_iou(as_array(preds), as_array(target))
    assert iou.shape == (len(preds), len(target))
    assert iou.tolist() == [[iou_by_hand(a, b) for b in target] for a in preds]
    assert ((iou >= 0) & (iou <= 1)).all()
    np.testing.assert_array_equal(iou.T, pairwise_iou(as_array(target), as_array(preds)))


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)],
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.uint8),
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.float32),
        torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]),
        torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]], requires_grad=True),
        torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]], dtype=torch.bfloat16, requires_grad=True),
        torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]], dtype=torch.float16),
        [torch.tensor([1.0, 2, 3, 4]), torch.tensor([5.0, 6, 7, 8])],
        {"boxes": torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]), "scores": torch.tensor([0.1])},
    ],
    ids=[
        "lists",
        "tuples",
        "uint8 array",
        "float32 array",
        "integer tensor",
        "tensor with a gradient",
        "bfloat16 tensor",
        "float16 tensor",
        "list of tensors",
        "mapping with scores",
    ],
)
def test_boxes_of_any_kind_read_alike(value):
    batch = BoxBatch.read([value], [[]])
    assert batch.boxes.dtype == np.float64
    np.testing.assert_array_equal(batch.boxes, [[1, 2, 3, 4], [5, 6, 7, 8]])
    assert (batch.n_pred.tolist(), batch.n_target.tolist()) == ([2], [0])


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[]],
        (),
        np.zeros((0, 4)),
        np.zeros(0),
        torch.empty(0),
        torch.zeros(0, 4),
        torch.zeros(1, 0),
        {"boxes": []},
        {"boxes": [], "labels": []},
        {"unparsable": True},
    ],
    ids=[
        "list",
        "nested list",
        "tuple",
        "array",
        "flat array",
        "flat tensor",
        "tensor",
        "tensor of one empty row",
        "mapping",
        "mapping with labels",
        "unparsable",
    ],
)
def test_nothing_in_any_form_is_no_boxes(value):
    batch = BoxBatch.read([value], [value])
    assert batch.boxes.shape == (0, 4)
    assert batch.n_pred.tolist() == [0]


@pytest.mark.parametrize(
    "labels",
    [[1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2]), [np.int64(1), torch.tensor(2)]],
    ids=["list", "tuple", "array", "tensor", "list of tensors"],
)
def test_labels_of_any_kind_read_alike(labels):
    value = {"boxes": [[0, 0, 1, 1], [0, 0, 2, 2]], "labels": labels}
    assert BoxBatch.read([value], [[]]).pred_labels == [[1, 2]]


one_box = [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            None,
            InputTypeError,
            "Expected boxes as numbers of shape (N, 4), or an empty list for no",
        ),
        (None, InputTypeError, "but got None"),
        ("[0, 0, 1, 1]", InputTypeError, "but got '[0, 0, 1, 1]'"),
        ([["0", "0", "1", "1"]], InputTypeError, "but got [['0', '0', '1', '1']]"),
        ([[0, 0, 1, None]], InputTypeError, "but got [[0, 0, 1, None]]"),
        (np.ones((1, 4), dtype=bool), InputTypeError, "but got array([[ True"),
        ([0, 0, 1, 1], InputError, "Expected boxes of shape (N, 4), but got shape (4,)"),
        ([0, 0, 1, 1], InputError, "give each sample a list of boxes, even for one box"),
        (torch.zeros(2, 5), InputError, "but got shape (2, 5)"),
        (3.5, InputError, "but got shape ()"),
        ([[0, 0, 1, 1], [0, 0, 1]], InputError, "but got [[0, 0, 1, 1], [0, 0, 1]]"),
        ({"box": one_box}, InputError, "Expected a mapping with 'boxes', but got the keys ['box']"),
        ({"boxes": None}, InputTypeError, "but got None"),
        (
            {"boxes": one_box, "labels": ["a", "b"]},
            InputError,
            "Expected one label for each box, but got 2 labels for 1 boxes",
        ),
        (
            {"boxes": one_box, "labels": "a"},
            InputTypeError,
            "Expected labels as a list, but got 'a'",
        ),
        (
            {"boxes": one_box, "labels": torch.tensor(1)},
            InputTypeError,
            "Expected labels as a list, but got tensor(1)",
        ),
        (
            {"boxes": one_box, "labels": [["a"]]},
            InputTypeError,
            "Expected each label to be a number or a string, but got [['a']]",
        ),
    ],
)
@pytest.mark.parametrize("side", ["preds", "target"])
def test_what_cannot_be_read_is_refused_with_its_sample(side, value, error, message):
    values = {"preds": [[], [], []], "target": [[], [], []]}
    values[side][1] = value
    with pytest.raises(error, match=re.escape(message)) as caught:
        BoxBatch.read(**values)
    assert caught.value.index == 1


@pytest.mark.parametrize(
    ("n_pairs", "large", "n_parts"),
    [(1, 10, 4), (4, 10, 4), (7, 10, 2), (12, 10, 1), (1000, 10, 1), (4, 5, 2), (1, 1, 1)],
)
def test_parts_are_runs_of_whole_samples(n_pairs, large, n_parts):
    """Samples of 0, 4, 6, 0 and 2 pairs; the labels tell whose boxes went where."""
    rng = np.random.default_rng(9)
    sides = [
        [{"boxes": rng.random((n, 4)), "labels": [side + str(i)] * n} for i, n in enumerate(sizes)]
        for side, sizes in (("p", [3, 2, 3, 0, 1]), ("t", [0, 2, 2, 1, 2]))
    ]
    parts = list(BoxBatch.read(*sides).parts(n_pairs, large))
    assert len(parts) == n_parts
    start = 0
    for part in parts:
        stop = start + len(part.n_pred)
        alone = BoxBatch.read(*(side[start:stop] for side in sides))
        np.testing.assert_array_equal(part.boxes, alone.boxes)
        assert part.n_pred.tolist() == alone.n_pred.tolist()
        assert part.n_target.tolist() == alone.n_target.tolist()
        assert (part.pred_labels, part.target_labels) == (alone.pred_labels, alone.target_labels)
        assert part.unparsable.tolist() == alone.unparsable.tolist()
        start = stop
    assert start == 5


# --------------------------------------------------------------------------------- many at a time


TENSORS = {
    "alike": [torch.tensor([[0.0, 1, 2, 3], [1, 1, 4, 4]]), torch.zeros(0, 4)],
    "with a gradient": [torch.tensor([[0.0, 1, 2, 3]], requires_grad=True)] * 2,
    "half": [torch.tensor([[0.1, 1, 2, 3]], dtype=torch.bfloat16)] * 2,
    "whole numbers": [torch.tensor([[0, 1, 2, 2**40 + 1]])] * 2,
    "of unlike types": [
        torch.tensor([[0, 1, 2, 2**40 + 1]]),
        torch.tensor([[0.1, 1, 2, 3]], dtype=torch.float32),
    ],
    "none": [torch.zeros(0), torch.tensor([[0.0, 1, 2, 3]])],
    "none of another width": [torch.zeros(0, 5), torch.tensor([[0.0, 1, 2, 3]])],
    "none at all": [torch.zeros(0), torch.zeros(0)],
}


@pytest.mark.parametrize("boxes", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["tensors", "mappings"])
def test_tensors_are_read_as_lists_are(boxes, wrapped):
    """Also where they go through one concatenation: no rounding to a common type."""
    lists = [box.double().tolist() for box in boxes]
    values = (
        [{"boxes": box, "labels": list(range(len(box)))} for box in boxes] if wrapped else boxes
    )
    read = BoxBatch.read(values, values[::-1])
    want = BoxBatch.read(lists, lists[::-1])
    assert read.boxes.tobytes() == want.boxes.tobytes()
    assert read.n_pred.tolist() == want.n_pred.tolist()
    assert read.n_target.tolist() == want.n_target.tolist()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 5), "of shape (N, 4), but got shape (2, 5)"),
        (torch.zeros(4), "of shape (N, 4), but got shape (4,)"),
        (torch.ones(1, 4, dtype=torch.bool), "as numbers of shape (N, 4)"),
    ],
)
def test_a_wrong_tensor_is_named(bad, message):
    for preds in ([bad, bad], [torch.zeros(1, 4), bad]):
        with pytest.raises((InputError, InputTypeError), match=re.escape(message)) as caught:
            BoxBatch.read(preds, [torch.zeros(0, 4)] * 2)
        assert caught.value.index == (0 if preds[0] is bad else 1)


def test_batches_are_joined_in_order():
    one = BoxBatch.read([[[0, 0, 1, 1]], {"unparsable": True}], [[], [[2, 2, 3, 3]]])
    two = BoxBatch.read([{"boxes": [[4, 4, 5, 5]], "labels": ["a"]}], [[]])
    joined = BoxBatch.joined([one, two])
    assert joined.boxes[:, 0].tolist() == [0, 4, 2], "predictions first"
    assert joined.n_pred.tolist() == [1, 0, 1]
    assert joined.n_target.tolist() == [0, 1, 0]
    assert joined.pred_labels == [None, None, ["a"]]
    assert joined.unparsable.tolist() == [False, True, False]
