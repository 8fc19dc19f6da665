"""WordNet's reader: on a database written by hand, and against NLTK's on the installed one."""

import functools
import random
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nltk
import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError
from lightning_vlmeval.functional import wordnet
from lightning_vlmeval.functional.wordnet import (
    WordNet,
    find_wordnet,
    open_wordnet,
    wordnet_version,
)

LICENCE = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved.\n"

# The lemmas of each synset, as a data file has them.
SYNSETS = {
    "noun": [["car", "auto"], ["hot_dog", "frank"], ["Paris", "City_of_Light"], ["ox"]],
    "verb": [["go", "travel", "move"], ["damage", "harm"], ["move", "stir"]],
    "adj": [["abundant", "galore(ip)"], ["damaged", "broken"]],
    "adv": [["quickly", "fast"]],
}
EXCEPTIONS = {"noun": "oxen ox\n", "verb": "went go\n", "adj": "", "adv": ""}

SYNONYMS = [
    ("car", {"car", "auto"}),
    ("Auto", {"car", "auto"}),
    ("cars", {"car", "auto"}),  # by a rule
    ("went", {"go", "travel", "move"}),  # by the list
    ("oxen", {"ox"}),
    ("moved", {"go", "travel", "move", "stir"}),  # two synsets
    ("damaged", {"damage", "harm", "damaged", "broken"}),  # two parts of speech
    ("galore", {"abundant", "galore"}),  # without its marker
    ("frank", {"frank"}),  # without the lemma of two words
    ("hot_dog", {"frank"}),
    ("paris", {"Paris"}),  # as WordNet spells it
    ("faster", set()),  # adverbs have no rules
    ("zyx", set()),
    ("s", set()),
    ("", set()),
]


def installed_wordnet() -> str | None:
    try:
        return find_wordnet()
    except MissingExtraError:
        return None


needs_wordnet = pytest.mark.skipif(
    installed_wordnet() is None,
    reason="needs WordNet's database: python -m nltk.downloader wordnet",
)


def write_database(folder: Path, synsets=SYNSETS, header=LICENCE) -> str:
    """A database of these synsets, in WordNet's format."""
    folder.mkdir()
    for pos, lemmas in synsets.items():
        data, index = header, {}
        for names in lemmas:
            offset = f"{len(data):08d}"
            words = "".join(f"{name} 0 " for name in names)
            data += f"{offset} 00 {pos[0]} {len(names):02x} {words}000 | a gloss\n"
            for name in names:
                index.setdefault(name.split("(")[0].lower(), []).append(offset)
        lines = [f"{w} {pos[0]} {len(o)} 0 {len(o)} 0 {' '.join(o)}  \n" for w, o in index.items()]
        (folder / f"data.{pos}").write_bytes(data.encode())
        (folder / f"index.{pos}").write_bytes((header + "".join(lines)).encode())
        (folder / f"{pos}.exc").write_bytes(EXCEPTIONS[pos].encode())
    return str(folder)


@functools.cache
def _nltk_copy() -> tempfile.TemporaryDirectory:
    """The installed database where NLTK reads it.

    NLTK reads only from folders of its data path, and wants a file of the names of 45 files, which
    Debian's package leaves out; what the names are does not matter here.
    """
    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name) / "corpora" / "wordnet"
    root.mkdir(parents=True)
    source = Path(find_wordnet())
    if source.is_file():
        zipfile.ZipFile(source).extractall(root.parent)
    else:
        for path in source.iterdir():
            shutil.copy(path, root)
    (root / "lexnames").write_text("".join(f"{i:02d} name 0\n" for i in range(45)))
    return folder


@functools.cache
def _nltk_reader() -> WordNetCorpusReader:
    with pytest.warns(UserWarning, match="multilingual functions are not available"):
        return WordNetCorpusReader(nltk.data.find("corpora/wordnet", [_nltk_copy().name]), None)


@contextmanager
def nltk_wordnet() -> Iterator[WordNetCorpusReader]:
    """NLTK's own reader of the installed database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [*nltk.data.path, _nltk_copy().name])
        yield _nltk_reader()


@pytest.fixture(scope="module")
def reader():
    with nltk_wordnet() as reader:
        yield reader


@pytest.mark.parametrize(("word", "synonyms"), SYNONYMS)
def test_synonyms_by_hand(tmp_path, word, synonyms):
    assert WordNet(write_database(tmp_path / "wordnet")).synonyms(word) == synonyms


def test_zip_file_reads_as_its_folder(tmp_path):
    folder = Path(write_database(tmp_path / "wordnet"))
    with zipfile.ZipFile(tmp_path / "wordnet.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"wordnet/{path.name}")
    location = find_wordnet(str(tmp_path / "wordnet.zip"))
    database = open_wordnet(location)
    assert all(database.synonyms(word) == synonyms for word, synonyms in SYNONYMS)
    assert wordnet_version(location) == "3.0"


def test_version_is_the_header_s(tmp_path):
    assert wordnet_version(write_database(tmp_path / "a")) == "3.0"
    header = LICENCE.replace("WordNet 3.0", "WordNet 3.1")
    assert wordnet_version(write_database(tmp_path / "b", header=header)) == "3.1"
    assert wordnet_version(write_database(tmp_path / "c", header="")) == "unknown"


@pytest.mark.parametrize(
    "damage", [lambda data: b"\r\n" + data, lambda data: data[:90]], ids=["shifted", "cut"]
)
def test_damaged_database_says_so(tmp_path, damage):
    folder = Path(write_database(tmp_path / "wordnet"))
    data = folder / "data.noun"
    data.write_bytes(damage(data.read_bytes()))
    with pytest.raises(ConfigurationError, match=r"data\.noun to have a synset at byte \d+, but"):
        WordNet(str(folder)).synonyms("ox")


def test_places_in_their_order(tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("data", "search", "home", "system")]
    (tmp_path / "data" / "corpora").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    databases = [
        write_database(tmp_path / "data" / "corpora" / "wordnet"),
        write_database(tmp_path / "search"),
        write_database(tmp_path / "home" / "dict"),
        write_database(tmp_path / "system"),
    ]
    monkeypatch.setattr(nltk.data, "path", ["", str(places[0])])
    monkeypatch.setenv("WNSEARCHDIR", str(places[1]))
    monkeypatch.setenv("WNHOME", str(places[2]))
    monkeypatch.setattr(wordnet, "_SYSTEM_FOLDERS", (str(places[3]),))
    for database in databases:
        assert find_wordnet() == database
        shutil.rmtree(database)
    with pytest.raises(MissingExtraError):
        find_wordnet()


def test_missing_database_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)
    monkeypatch.setattr(wordnet, "_SYSTEM_FOLDERS", ())
    message = (
        "METEOR needs WordNet's database, and none is installed. Run `python -m nltk.downloader "
        "wordnet`, or install Debian's package wordnet-base, or name its folder (the one with "
        "data.noun in it) by the option `wordnet` or the variable WNSEARCHDIR"
    )
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        find_wordnet()


@pytest.mark.parametrize("name", ["missing", "data.noun", "empty"])
def test_folder_without_a_database_says_so(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.noun").write_bytes(b"")
    folder = str(tmp_path / name)
    message = (
        "Expected `wordnet` to be a folder with WordNet's index.noun, data.noun, noun.exc, ..., or "
        f"NLTK's wordnet.zip, but got {folder!r}"
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        find_wordnet(folder)


@needs_wordnet
def test_synonyms_equal_nltk_s(reader):
    """20,000 words: lemmas, irregular forms, inflections right and wrong, stems, other writing."""
    rng = random.Random(0)
    lemmas = sorted(reader.all_lemma_names())
    irregular = sorted({word for listed in reader._exception_map.values() for word in listed})
    endings = ("s", "es", "ed", "ing", "er", "est", "ies", "men", "ses", "ches", "ves", "xes")
    words = rng.sample(lemmas, 8000) + rng.sample(irregular, 3000)
    for word in rng.choices(lemmas, k=8900):
        words.append(word[: len(word) - rng.choice((0, 0, 1, 2))] + rng.choice(endings))
    words += [
        "",
        "s",
        "İ",
        "STRASSE",
        "Straße",
        "Dogs",
        "a b",
        "_",
        "hot_dog",
        "'s",
        "東京",
        "\ud800",
    ] * 9
    ours = open_wordnet(find_wordnet())
    found = 0
    for word in words:
        names = {lemma.name() for synset in reader.synsets(word) for lemma in synset.lemmas()}
        assert ours.synonyms(word) == {name for name in names if "_" not in name}, word
        found += bool(names)
    assert found > 10_000
