"""The command line inside the test process, with the shared model as the packaged one; and programs to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAM = '''
from dataclasses import dataclass
from typing import Literal

import thalweg as tw


@dataclass
class Verdict:
    label: Literal["good", "bad"]
    length: int


@tw.learned
def judge(text: str) -> Literal["good", "bad"]:
    """Is this review good or bad?"""


@tw.learned
def stars(text: str, language: str = "English") -> Literal[1, 2, 3, 4, 5]:
    """How many stars would the writer give?"""


@tw.flow
def review(text: str) -> Verdict:
    if "explode" in text:
        raise ValueError("the review explodes")
    return Verdict(judge(text), len(text))


@tw.flow
def counted(number: int) -> int:
    return number + 1
'''


@dataclass(frozen=True)
class Said:
    """What a command printed and its exit status."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """Call the command line in a folder of its own that holds `reviews.py`."""
    from thalweg.cli import main
    from thalweg.program import session

    monkeypatch.setitem(session._models, "smollm2-135m", model)
    monkeypatch.setattr(session, "_noted", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "reviews.py").write_text(PROGRAM)

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        told = capsys.readouterr()
        code = left.value.code
        return Said(code if isinstance(code, int) else 0, told.out, told.err)

    yield call
