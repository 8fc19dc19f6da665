"""WordNet's synonyms, read from its own database files: no download, no corpus reader."""

import importlib
import os
import re
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Final

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError

# The suffixes that a word may lose, and what takes their place, for each part of speech: the rules
# of detachment of WordNet's manual page morphy(7WN).
_RULES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}

_FILES: Final = tuple(
    name for pos in _RULES for name in (f"index.{pos}", f"data.{pos}", f"{pos}.exc")
)

# Where operating systems and WordNet's own installer put the database.
_SYSTEM_FOLDERS: Final = (
    "/usr/share/wordnet",
    "/usr/share/wordnet-3.0/dict",
    "/usr/local/WordNet-3.0/dict",
    "/opt/homebrew/opt/wordnet/dict",
    "/usr/local/opt/wordnet/dict",
)


class WordNet:
    """WordNet's database in memory (about 60 MB): the synonyms of a word.

    Args:
        location: A folder, or NLTK's `wordnet.zip`: what `find_wordnet` gave.
    """

    def __init__(self, location: str) -> None:
        root = _root(location)
        self._index = {pos: _index((root / f"index.{pos}").read_bytes()) for pos in _RULES}
        self._data = {pos: (root / f"data.{pos}").read_bytes() for pos in _RULES}
        self._exceptions = {pos: _exceptions((root / f"{pos}.exc").read_bytes()) for pos in _RULES}

    def synonyms(self, word: str) -> frozenset[str]:
        """The one-word lemmas of all synsets of a word and of its base forms, as WordNet spells them.

        They are the lemmas without "_" of NLTK's `wordnet.synsets(word)`. Empty for a word that
        WordNet does not know; capitals are kept ("Paris").

        Args:
            word: In any case, inflected or not.

        Raises:
            ConfigurationError: The database is damaged.
        """
        word = word.lower()
        found: list[str] = []
        for pos, index in self._index.items():
            for form in self._forms(word, pos):
                for offset in _offsets(index.get(form)):
                    found += self._names(pos, offset)
        return frozenset(found)

    def _forms(self, word: str, pos: str) -> list[str]:
        """The word and what it may be an inflection of: as listed, or else by the rules."""
        listed = self._exceptions[pos].get(word)
        if listed is not None:
            return [word, *listed]
        return [word, *(word[: -len(a)] + b for a, b in _RULES[pos] if word.endswith(a))]

    def _names(self, pos: str, offset: str) -> list[str]:
        """The one-word lemmas of the synset at a byte offset."""
        data, start = self._data[pos], int(offset)
        # offset, lexicographer's file, type, number of lemmas in hexadecimal; then lemma, id, ...
        fields = data[start : data.find(b"|", start)].decode(errors="replace").split()
        if not fields or fields[0] != offset:
            raise ConfigurationError(
                f"Expected WordNet's data.{pos} to have a synset at byte {offset}, but it has none: "
                "the database is damaged, install it again"
            )
        names = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        # An adjective may end in a syntactic marker: "galore(ip)".
        return [n[: n.rindex("(")] if n[-1] == ")" else n for n in names if "_" not in n]


@lru_cache(maxsize=2)
def open_wordnet(location: str) -> WordNet:
    """WordNet's database at a location, read once in a process.

    Args:
        location: What `find_wordnet` gave.
    """
    return WordNet(location)


def find_wordnet(folder: str | None = None) -> str:
    """Where WordNet's database is: a folder, or NLTK's `wordnet.zip`.

    Looked for, in this order: in NLTK's data path (`corpora/wordnet` or `corpora/wordnet.zip`), in
    the folders that WordNet's own variables WNSEARCHDIR and WNHOME name, and where operating
    systems install it (Debian's package wordnet-base: `/usr/share/wordnet`).

    Args:
        folder: The only place to look, where given: a folder or a zip file.

    Raises:
        ConfigurationError: `folder` holds no WordNet database.
        MissingExtraError: No database is found; the message says how to get one.
    """
    if folder is not None:
        if not _holds_database(folder):
            raise ConfigurationError(
                f"Expected `wordnet` to be a folder with WordNet's {', '.join(_FILES[:3])}, ..., "
                f"or NLTK's wordnet.zip, but got {folder!r}"
            )
        return folder
    for place in _places():
        if _holds_database(place):
            return place
    raise MissingExtraError(
        "METEOR needs WordNet's database, and none is installed. Run "
        "`python -m nltk.downloader wordnet`, or install Debian's package wordnet-base, or name its "
        "folder (the one with data.noun in it) by the option `wordnet` or the variable WNSEARCHDIR"
    )


def wordnet_version(location: str) -> str:
    """The version that the database's own header names, as "3.0"; "unknown" where it names none.

    Args:
        location: What `find_wordnet` gave.
    """
    with (_root(location) / "data.adj").open("rb") as file:
        named = re.search(rb"WordNet (\d+(?:\.\d+)*) Copyright", file.read(4096), re.IGNORECASE)
    return named[1].decode() if named else "unknown"


def _places() -> list[str]:
    """Where to look for the database, the first first."""
    # NLTK takes more than a second to import: only when WordNet is looked for.
    roots = [Path(root) / "corpora" for root in importlib.import_module("nltk.data").path]
    places = [str(root / name) for root in roots for name in ("wordnet", "wordnet.zip")]
    if "WNSEARCHDIR" in os.environ:
        places.append(os.environ["WNSEARCHDIR"])
    if "WNHOME" in os.environ:
        places.append(str(Path(os.environ["WNHOME"]) / "dict"))
    return [*places, *_SYSTEM_FOLDERS]


def _root(location: str) -> Path | zipfile.Path:
    """The folder of the database's files, which may be inside a zip file."""
    if os.path.isfile(location):
        return zipfile.Path(location) / "wordnet"
    return Path(location)


def _holds_database(location: str) -> bool:
    """Whether every file that is read is there."""
    if os.path.isfile(location) and not zipfile.is_zipfile(location):
        return False
    root = _root(location)
    return all((root / name).is_file() for name in _FILES)


def _index(content: bytes) -> dict[str, str]:
    """Each lemma with the rest of its line; the lines of the licence begin with a space."""
    lines = (line.partition(" ") for line in content.decode().splitlines())
    return {lemma: rest for lemma, _, rest in lines if lemma}


def _offsets(rest: str | None) -> list[str]:
    """The offsets of a lemma's synsets: the last fields of its line; the second says how many."""
    if rest is None:
        return []
    fields = rest.split()
    return fields[-int(fields[1]) :]


def _exceptions(content: bytes) -> dict[str, list[str]]:
    """Each irregular form with its base forms."""
    lines = (line.split() for line in content.decode().splitlines())
    return {fields[0]: fields[1:] for fields in lines if fields}
