"""Listed: the instructions that the user wrote. Choose it for what experts or earlier studies have found.

`Combined` takes from several proposers in turn. Cost: nothing is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.proposers.proposer import cleaned, in_force
from thalweg.optimizing.search import Search


@dataclass(frozen=True, repr=False)
class Listed(Described):
    """Instructions as they were written: a list for the only function, or lists by the functions' paths.

    Raises:
        SearchError: a path there is not, or one list for a program of several functions.
    """

    instructions: Sequence[str] | Mapping[str, Sequence[str]]
    name: str = "Listed"

    def propose(self, search: Search, path: str, n: int) -> list[str]:
        texts = self.instructions
        if isinstance(texts, Mapping):
            if unknown := [one for one in texts if one not in search.functions]:
                raise SearchError(
                    f"{unknown[0]!r} is no learned function of `{search.space.name}`.",
                    f"There are: {', '.join(search.functions)}.",
                )
            texts = texts.get(path, ())
        elif isinstance(texts, str) or len(search.functions) > 1:
            raise SearchError(
                f"It is not said which of the {len(search.functions)} functions the instructions are for.",
                'Give lists by path: Listed({"flow.step": ["..."]}).',
            )
        return cleaned(texts, known=[in_force(search, path)])[:n]


@dataclass(frozen=True, repr=False)
class Combined(Described):
    """Several proposers: one instruction of each in turn, until there are enough."""

    proposers: Sequence[Any]
    name: str = "Combined"

    def propose(self, search: Search, path: str, n: int) -> list[str]:
        lists = [one.propose(search, path, n) for one in self.proposers]
        longest = max(map(len, lists), default=0)
        texts = [texts[at] for at in range(longest) for texts in lists if at < len(texts)]
        return cleaned(texts, known=[in_force(search, path)])[:n]
