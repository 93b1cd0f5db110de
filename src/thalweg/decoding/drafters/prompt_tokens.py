"""PPD: a few trained embedding rows that make the model guess several tokens ahead by itself.

Behind the last token, m prompt tokens are appended; the model's logits at the i-th are a guess of the token i + 1
steps ahead. Only the rows are trained (kilobytes, see `training.prompt_tokens`); the model stays as it is. Each pass
checks the guesses of the pass before and, at prompt tokens hanging on the nodes where it may end, makes the next ones.
A prompt token's weight is what it is worth: the chance that the pass ends there, times the tokens it will save. So the
budget sizes tree and prompt tokens together for the machine.
Choose it for open text where nothing is copied, on an engine whose wider passes are cheap. Needs soft tokens.
Source: Chen et al. 2024, "Hardware-aware parallel prompt decoding". Cost: m rows a carrying node, 0.1 ms a draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from importlib.resources import files
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.drafters.draft import Draft, Verified
from thalweg.decoding.drafters.hits import Hits, Kind, Watch
from thalweg.decoding.drafters.token_recycling import top
from thalweg.errors import ModelError, UnsupportedByBackend
from thalweg.models.scorer import SOFT

_RANKS = (0.3, 0.1, 0.06, 0.04, 0.03, 0.02, 0.02, 0.02, 0.01, 0.01)  # the prior of the first guess ahead


@dataclass(frozen=True)
class PromptTokens:
    """Trained rows, float32 [m, width], and the name of the model they belong to."""

    rows: NDArray[np.float32]
    model: str

    def save(self, path: str | PathLike[str]) -> None:
        from safetensors.numpy import save_file

        save_file({"rows": self.rows}, fspath(path), metadata={"model": self.model, "method": "ppd"})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> PromptTokens:
        """Raises ModelError where the file is missing or holds something else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(fspath(path), framework="np") as file:
                rows, model = file.get_tensor("rows"), (file.metadata() or {}).get("model", "")
        except (OSError, SafetensorError) as error:
            what = f"There are no prompt tokens in {fspath(path)} ({error})."
            raise ModelError(what, "Train them with thalweg.training.train_prompt_tokens.") from error
        if rows.ndim != 2:
            what = f"{fspath(path)} holds an array of {rows.ndim} dimensions, not rows."
            raise ModelError(what, "Give a file that PromptTokens.save wrote.")
        return cls(rows.astype(np.float32), model)

    @classmethod
    def packaged(cls, model: str = "smollm2-135m") -> PromptTokens:
        """The rows that come with the library. Raises ModelError where there are none for `model`."""
        place = files("thalweg.decoding.drafters") / "data" / f"{model}.ppd.safetensors"
        return cls.load(str(place))


class PromptTokenDrafter:
    """Guesses with `tokens`, by default those packaged for the model.

    Args:
        tokens: trained rows; None takes the packaged ones when an answer begins.
        k: guesses kept of each distance.
    """

    name = "prompt_tokens"

    def __init__(self, tokens: PromptTokens | None = None, *, k: int = 8) -> None:
        if k < 1:
            raise ValueError("prompt tokens need k >= 1")
        self.tokens, self.k = tokens, k
        self.hits = Hits(_prior, strength=8)

    def start(self, prompt: Sequence[int], scorer: Any) -> _Prompting:
        if not scorer.capabilities.soft_tokens:
            raise UnsupportedByBackend(
                f"{scorer.name} takes no embedding rows, which prompt tokens are.",
                'Load the model as "tree:NAME" or "torch:NAME".',
            )
        if self.tokens is None:
            self.tokens = PromptTokens.packaged(scorer.name.split(":", 1)[-1].split(":")[0])
        width = scorer.embed([0]).shape[1]
        if self.tokens.rows.shape[1] != width:
            raise UnsupportedByBackend(
                f"These prompt tokens have {self.tokens.rows.shape[1]} numbers a row, {scorer.name} has {width}.",
                f"They were trained for {self.tokens.model or 'another model'}; train some for this one.",
            )
        return _Prompting(self, self.tokens.rows)


class _Prompting:
    def __init__(self, drafter: PromptTokenDrafter, rows: NDArray[np.float32]) -> None:
        self._drafter, self._rows = drafter, rows
        self._hits = Hits(base=drafter.hits, strength=32)
        self._watch = Watch(self._hits)
        self._guesses: list[list[int]] = []  # top tokens of each distance behind the last token, nearest first

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        """The likeliest paths through the guesses, and prompt tokens below the nodes where the pass may end."""
        draft, kinds = self._tree(most)
        self._watch.proposed(draft, kinds)
        self._carry(draft)
        return draft

    def _tree(self, most: int) -> tuple[Draft, list[Kind]]:
        draft, kinds = Draft(), []
        rates = [
            [self._hits.rate((depth, rank)) for rank in range(len(row))] for depth, row in enumerate(self._guesses)
        ]
        heap: list[tuple[float, int, int, int, int]] = []  # -weight, serial, parent, depth, rank
        serial = 0

        def push(parent: int, depth: int, rank: int) -> None:
            nonlocal serial
            if depth < len(rates) and rank < len(rates[depth]):
                weight = rates[depth][rank] * (draft.weights[parent] if parent >= 0 else 1.0)
                heappush(heap, (-weight, serial, parent, depth, rank))
                serial += 1

        push(-1, 0, 0)
        while heap and len(draft) < most:
            weight, _, parent, depth, rank = heappop(heap)
            node = draft.add(self._guesses[depth][rank], parent=parent, weight=-weight)
            kinds.append((depth, rank))
            push(parent, depth, rank + 1)
            push(node, depth + 1, 0)
        return draft, kinds

    def _carry(self, draft: Draft) -> None:
        """Hang prompt tokens below the root and every node, worth what they are expected to save."""
        gains, chance = [], 1.0
        for depth in range(len(self._rows)):  # a row at distance d saves a token if all nearer guesses are right too
            chance *= min(0.95, sum(self._hits.rate((depth, rank)) for rank in range(min(3, self._drafter.k))))
            gains.append(chance)
        below = [0.0] * (len(draft) + 1)
        for node, parent in enumerate(draft.parents):
            below[parent] += draft.weights[node]  # index -1 is the root
        for node in range(-1, len(draft)):
            here = draft.weights[node] if node >= 0 else 1.0
            ends = max(0.0, here - below[node])  # the chance that the pass ends at this node
            at = node
            for row, gain in zip(self._rows, gains, strict=True):
                at = draft.add_soft(row, parent=at, weight=ends * gain)

    def observe(self, verified: Verified) -> None:
        draft = verified.draft
        self._watch.written(verified.tokens)
        end = verified.accepted[-1] if verified.accepted else -1
        found: list[list[int]] = []
        at = end
        for node in range(max(0, end), len(draft)):
            if draft.tokens[node] == SOFT and draft.parents[node] == at:
                found.append([int(token) for token in top(verified.logits[node], self._drafter.k)])
                at = node
        # The model's own token is known by now, and forced ones behind it: guesses count from the last of them.
        self._guesses = found[max(0, len(verified.tokens) - len(verified.accepted) - 1) :]

    def finish(self, tokens: Sequence[int]) -> None:
        """Rows do not change."""


def _prior(kind: Kind) -> float:
    depth, rank = kind  # type: ignore[misc]
    return _RANKS[min(rank, len(_RANKS) - 1)] * 0.75**depth
