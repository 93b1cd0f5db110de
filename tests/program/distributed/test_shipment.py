"""A shipped program is the same program: modules beside it, parameters and settings come along."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg.errors import UnsupportedByBackend
from thalweg.program.distributed.shipment import Shipment

FLOWS = '''
import thalweg as tw
from shipped_pack.words import loud

@tw.learned
def judge(text: str) -> bool:
    """Is it good?"""

@tw.flow
def review(text: str) -> str:
    return loud(text) if not text else loud(text) + str(judge(text))
'''


@pytest.fixture
def forgotten() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith("shipped_pack")]:
        del sys.modules[name]


def test_a_program_of_a_package_opens_elsewhere_with_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: None
) -> None:
    pack = tmp_path / "here" / "shipped_pack"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text("")
    (pack / "words.py").write_text("def loud(text):\n    return text.upper()\n")
    (pack / "flows.py").write_text(FLOWS)
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    flow = importlib.import_module("shipped_pack.flows").review
    changed = flow.bind({"review.judge/instruction": "Is it bad?"}).using(seed=7)
    shipment = Shipment.of(changed)
    assert sorted(shipment.files) == [f"shipped_pack/{name}.py" for name in ("__init__", "flows", "words")]
    assert json.loads(json.dumps([shipment.state, shipment.own]))[1] == {"seed": 7}
    for name in [name for name in sys.modules if name.startswith("shipped_pack")]:
        del sys.modules[name]
    sys.path.remove(str(tmp_path / "here"))
    opened = shipment.open(tmp_path / "there")
    assert Path(sys.modules["shipped_pack.words"].__file__ or "").is_relative_to(tmp_path / "there")
    assert opened.state() == changed.state() != flow.state()
    assert opened.own.seed == 7
    assert opened("") == ""


def test_a_program_without_a_file_is_refused() -> None:
    import thalweg as tw

    @tw.learned
    def inner(text: str) -> bool:
        """Is it good?"""
        ...

    with pytest.raises(UnsupportedByBackend, match="not at the top level of a file"):
        Shipment.of(inner)
