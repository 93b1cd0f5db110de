"""What turns texts into vectors: the `Embedder` protocol. Nearness of vectors means nearness of meaning.

Indexes, retrievers, matchers and samplers of demonstrations ask for nothing else, so any implementation (the packaged
MiniLM, a larger model, a server) can be put in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors; a dot product of two is their cosine similarity.

    Attributes:
        name: of model and settings; goes into cache keys and indexes, so that vectors of two models never mix.
        dimensions: length of every vector.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:  # [texts, dimensions], unit length
        """One unit vector a text, in order; no text gives shape (0, dimensions).

        Raises:
            DataError: an element is not a string; its `row` is the index.
        """
        ...
