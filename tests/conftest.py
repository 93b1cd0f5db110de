"""What all tests share: the real small model, and a model cache inside the repository that later runs use again."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PRINT = builtins.print

HOME = Path(__file__).parents[1] / ".thalweg" / "test-home"
os.environ["THALWEG_HOME"] = str(HOME)  # before any test module is imported: the user's own cache is not touched


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The packaged model as Q8_0."""
    from thalweg.models import prepare

    return prepare.prepared("smollm2-135m:q8_0").path


@pytest.fixture(scope="session")
def scorer(model_path: Path) -> Iterator[Any]:
    """The packaged model as Q8_0, 8 streams of 1024 tokens. Tests close the prefixes they open.

    One thread: threads of the engine spin at barriers, which on a busy machine costs tenfold.
    """
    from thalweg.models import load

    scorer = load("smollm2-135m:q8_0", streams=8, context=1024, threads=1)
    yield scorer
    scorer.free()


@pytest.fixture(scope="session")
def model(scorer: Any) -> Any:
    """The same model behind the engine: answers requests. Not closed, as closing would free the shared scorer."""
    from thalweg.scheduling import Engine

    return Engine(scorer)


@pytest.fixture(autouse=True)
def own_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has a store of its own and starts from the default settings; loaded models stay."""
    monkeypatch.setenv("THALWEG_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("THALWEG_MODEL", raising=False)
    yield
    builtins.print = PRINT  # Ray puts its own in its place
    session = sys.modules.get("thalweg.program.session")
    if session is None:
        return
    with session._lock:
        session._default = session.Session()
        for folder in [folder for folder in session._stores if Path(folder).is_relative_to(tmp_path)]:
            session._stores.pop(folder).close()
