"""A store of token texts that finds, for any context, where its longest ending stands and what followed there.

Choose it to draft from a corpus: documents that answers quote, code, answers of the past. Positions are sorted by the
text before them, read backwards (a suffix array of the reversed corpus), so that one binary search gives the matches of
every length at once; texts are read only up to `longest` tokens back, so sorting takes a few rounds of prefix doubling.
Saved as plain arrays and mapped into memory. Source: Manber and Myers 1993, "Suffix arrays"; used for drafting by
He et al. 2024, "REST: retrieval-based speculative decoding". Cost: 12 bytes a token; a look-up 0.1 ms.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import DataError

GAP = -1  # stands between texts: no match crosses it


class SuffixStore:
    """Texts as tokens, searched by what stands before a position. Immutable, so safe for several threads.

    Args:
        tokens: int32 [n], texts with `GAP` between them.
        order: int64 or int32 [n + 1], positions 0 to n sorted by the text before them, read backwards.
        longest: how far back they are sorted: longer matches are not told apart.
    """

    def __init__(self, tokens: NDArray[np.int32], order: NDArray[Any], longest: int) -> None:
        self.tokens, self.order, self.longest = np.asarray(tokens), np.asarray(order), longest

    @classmethod
    def build(cls, texts: Iterable[Sequence[int] | str], tokenizer: Any = None, *, longest: int = 32) -> SuffixStore:
        """A store of `texts`: token sequences, or strings with a `tokenizer`.

        Raises:
            DataError: no text has a token, or there are strings and no tokenizer.
        """
        pieces: list[NDArray[np.int32]] = []
        for text in texts:
            if isinstance(text, str):
                if tokenizer is None:
                    raise DataError("A text is a string.", "Pass the model's `tokenizer`, or token ids.")
                text = tokenizer.encode(text)
            if len(text):
                pieces += [np.asarray(text, np.int32), np.array([GAP], np.int32)]
        if not pieces:
            raise DataError("No text has a token.", "Pass at least one text.")
        tokens = np.concatenate(pieces[:-1])
        return cls(tokens, _sorted_backwards(tokens, longest), longest)

    def __len__(self) -> int:
        """Tokens held, gaps included."""
        return len(self.tokens)

    def find(self, context: Sequence[int], shortest: int = 1) -> tuple[int, NDArray[np.int64]]:
        """Where the longest ending of `context` that occurs stands.

        Returns:
            Its length (at most `longest`; 0 if below `shortest`), and all positions right behind it, ascending.
        """
        key = [int(token) for token in context[-self.longest :]][::-1]
        if not key:
            return 0, np.empty(0, np.int64)
        at = self._first(key, 0, len(self.order))
        length = max(self._shared(at - 1, key), self._shared(at, key))
        if length < max(shortest, 1):
            return 0, np.empty(0, np.int64)
        return length, self._around(key[:length], at)

    def places(self, context: Sequence[int], length: int) -> NDArray[np.int64]:
        """All positions behind the last `length` tokens (at most `longest`) of `context`, ascending."""
        key = [int(token) for token in context[len(context) - length :]][::-1]
        return self._around(key, self._first(key, 0, len(self.order)))

    def after(self, position: int, most: int) -> list[int]:
        """Up to `most` tokens from `position` on, to the end of its text."""
        piece: list[int] = self.tokens[position : position + most].tolist()
        return piece[: piece.index(GAP)] if GAP in piece else piece

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the store into a folder, which is made if it is missing.

        Raises:
            DataError: it cannot be written.
        """
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            np.save(path / "tokens.npy", self.tokens)
            np.save(path / "order.npy", self.order)
            (path / "store.json").write_text(json.dumps({"format": 1, "longest": self.longest}), encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"The store cannot be written to {str(path)!r}: {error}.", "Choose another folder."
            ) from error

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SuffixStore:
        """A saved store, mapped into memory.

        Raises:
            DataError: the folder does not hold one.
        """
        path = Path(folder)
        try:
            longest = int(json.loads((path / "store.json").read_text(encoding="utf-8"))["longest"])
            tokens = np.load(path / "tokens.npy", mmap_mode="r", allow_pickle=False)
            order = np.load(path / "order.npy", mmap_mode="r", allow_pickle=False)
            if tokens.ndim != 1 or order.shape != (len(tokens) + 1,):
                raise ValueError("its arrays do not belong together")
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"{str(path)!r} does not hold a suffix store: {error}."
            raise DataError(what, "Pass a folder written by `SuffixStore.save`.") from error
        return cls(tokens, order, longest)

    def _around(self, key: list[int], at: int) -> NDArray[np.int64]:
        """The positions whose text begins, read backwards, with `key`, ascending. They stand right around place `at`.

        Most keys have few: steps are doubled from `at` on before the range is halved.
        """
        low, step = at, 1
        while low > 0 and self._before(low - 1, len(key)) >= key:
            low, step = max(0, low - step), 2 * step
        first = self._first(key, low, at)
        beyond = [*key[:-1], key[-1] + 1]
        high, step = at, 1
        while high < len(self.order) and self._before(high, len(key)) < beyond:
            high, step = min(len(self.order), high + step), 2 * step
        return np.sort(self.order[first : self._first(beyond, at, high)]).astype(np.int64)

    def _first(self, key: list[int], low: int, high: int) -> int:
        """The first place in `order`, from `low` to `high`, whose text, read backwards, is not below `key`."""
        size = len(key)
        while low < high:
            middle = (low + high) // 2
            if self._before(middle, size) < key:
                low = middle + 1
            else:
                high = middle
        return low

    def _before(self, place: int, size: int) -> list[int]:
        """Up to `size` tokens before the position at `place`, read backwards."""
        end = int(self.order[place])
        return self.tokens[max(0, end - size) : end][::-1].tolist()

    def _shared(self, place: int, key: list[int]) -> int:
        if not 0 <= place < len(self.order):
            return 0
        count = 0
        for mine, theirs in zip(self._before(place, len(key)), key, strict=False):
            if mine != theirs:
                break
            count += 1
        return count


def _sorted_backwards(tokens: NDArray[np.int32], longest: int) -> NDArray[Any]:
    """Positions 0..n sorted by their last `longest` tokens, read backwards (a shorter text before a longer one).

    Prefix doubling: knowing the ranks by the last k tokens, the ranks by the last 2k are those of (rank here, rank k
    tokens further back).
    """
    size = len(tokens) + 1
    # Rank by no token: all equal. By one: the token before the position, nothing (0) before a gap (1) before tokens.
    rank = np.zeros(size, np.int64)
    rank[1:] = tokens.astype(np.int64) + 2
    order = np.argsort(rank, kind="stable")
    known = 1
    while True:
        steps = np.empty(size, np.int64)
        steps[0] = 0
        ordered = rank[order]
        np.cumsum(ordered[1:] != ordered[:-1], out=steps[1:])
        dense = np.empty(size, np.int64)
        dense[order] = steps
        if known >= longest or steps[-1] == size - 1:
            return order.astype(np.int32 if size < 2**31 else np.int64)
        back = np.zeros(size, np.int64)
        back[known:] = dense[:-known] + 1 if known < size else 0
        rank = dense * (size + 1) + back
        order = np.argsort(rank, kind="stable")
        known *= 2
