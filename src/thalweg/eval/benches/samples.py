"""What the benchmarks measure on: the real mails of `examples/mail`, and functions over them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

import thalweg as tw
from thalweg.errors import DataError
from thalweg.program.tables import open_table


def mails(split: str | None = None) -> list[dict[str, Any]]:
    """Rows of the mail sample; of one split (train, dev, test) or all."""
    place = Path(os.environ.get("THALWEG_EXAMPLES", "examples")) / "mail" / "mail.parquet"
    if not place.exists():
        raise DataError(
            f"The mail sample is not at {place}.",
            "Run from the repository, or set THALWEG_EXAMPLES to its examples folder.",
        )
    rows = [row.values for row in open_table(place) if row.values is not None]
    return [row for row in rows if split is None or row["split"] == split]


@dataclass
class Slip:
    """Four fields about a mail."""

    sender: Annotated[str, Field(min_length=1, max_length=40)]
    topic: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Literal["question", "announcement", "discussion", "advertisement"]
    urgent: bool


@tw.learned
def slip(mail: str) -> Slip:
    """Fill in the slip for this e-mail: sender, topic in a few words, kind, and whether it is urgent."""
    ...


@tw.learned
def judge(mail: str) -> Literal["advertisement", "discussion", "newsletter"]:
    """Classify the e-mail."""
    ...
