"""What all tests share: the real small model, and a model cache inside the repository that later runs use again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[1] / ".thalweg" / "test-home"
os.environ["THALWEG_HOME"] = str(HOME)  # before any test module is imported: the user's own cache is not touched


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The packaged model as Q8_0."""
    from thalweg.models import prepare

    return prepare.prepared("smollm2-135m:q8_0").path


@pytest.fixture(scope="session")
def scorer(model_path: Path) -> Iterator[Any]:
    """The packaged model as Q8_0, 8 streams of 1024 tokens. Tests close the prefixes they open."""
    from thalweg.models import load

    scorer = load("smollm2-135m:q8_0", streams=8, context=1024)
    yield scorer
    scorer.free()
