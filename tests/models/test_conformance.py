"""Every engine keeps the `Scorer` protocol: one suite, run over llama.cpp and torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg.models.llama_tree import LlamaTree
from thalweg.models.simulated import Simulated

pytest.register_assert_rewrite("conformance")

from conformance import Conformance, Laws, Under, torch_small, torch_tiny  # noqa: E402


class TestLlamaCpp(Conformance):
    @pytest.fixture
    def under(self, scorer: Any) -> Under:
        return Under(scorer, first=1000, tolerance=0.0)


@pytest.fixture(scope="module")
def tree(model_path: Path) -> Iterator[LlamaTree]:
    tree = LlamaTree(model_path, streams=5, context=512, threads=1)
    yield tree
    tree.free()


class TestLlamaTree(Conformance):
    @pytest.fixture
    def under(self, tree: LlamaTree) -> Under:
        return Under(tree, first=1000, tolerance=0.0)


class TestTorch(Conformance):
    @pytest.fixture
    def under(self) -> Under:
        return Under(torch_small(), first=1000, tolerance=1e-4)


class TestTinyTorch(Laws):
    @pytest.fixture
    def under(self) -> Under:
        return Under(torch_tiny(), first=10, tolerance=1e-4)


class TestSimulated(Conformance):
    @pytest.fixture
    def under(self) -> Under:
        return Under(Simulated(streams=6, context=256, cells=2048), first=1, tolerance=0.0)
