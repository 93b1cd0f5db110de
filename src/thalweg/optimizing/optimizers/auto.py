"""Auto: demonstrations by a screened random search, then instructions, each sized by what the budget allows.

Choose it where you have no reason to choose. About two thirds of the evaluations go to demonstrations, as they move
small models most; instructions are reworded from the types and the data, so nothing but the program is asked.
Cost: the budget, or about 16 evaluations of the dev split where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.ape import APE
from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
from thalweg.optimizing.optimizers.screening import most
from thalweg.optimizing.optimizers.starting import affordable
from thalweg.optimizing.proposers.edits import Edits
from thalweg.optimizing.search import Search

_UNLIMITED = 16  # evaluations of the dev split where the budget sets no end
_SHARE = 0.65  # of the evaluations for demonstrations, where instructions are open too
_ALWAYS = 3  # sets that random search tries besides those it draws


@dataclass(frozen=True)
class Auto(Composable):
    """A sensible search of a program of any form.

    Args:
        demos: demonstrations of a function at most. balanced: every label about equally often among them.
    """

    demos: int = 8
    balanced: bool = True
    name: str = "Auto"

    def run(self, search: Search) -> None:
        size, began = len(search.dev), search.spent.evaluations
        left = min(affordable(search), _UNLIMITED * size + len(search.train))
        demonstrations, instructions = (self._open(search, kind) for kind in ("demonstrations", "instruction"))
        if demonstrations:
            search.optimizer = f"{self.name}.demonstrations"
            self._demonstrations(search, (_SHARE if instructions else 1.0) * left - len(search.train))
        if instructions:
            search.optimizer = f"{self.name}.instructions"
            rest = min(affordable(search), left - (search.spent.evaluations - began))
            self._instructions(search, rest / len(search.functions))

    def _demonstrations(self, search: Search, evaluations: float) -> None:
        candidates = most(len(search.dev), evaluations, 99) - _ALWAYS
        if candidates > 0:
            how = BootstrapFewShotWithRandomSearch(
                candidates, self.demos, self.demos, balanced=self.balanced, screening=True
            )
            how.run(search)

    def _instructions(self, search: Search, evaluations: float) -> None:
        n = most(len(search.dev), evaluations, 24)
        if n:
            APE(Edits(), n).run(search)

    @staticmethod
    def _open(search: Search, kind: str) -> bool:
        return any(f"{path}/{kind}" in search.space for path in search.functions)
