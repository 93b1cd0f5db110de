"""Auto: near examples, demonstrations by a screened random search, instructions, weights, as the budget allows.

Choose it where you have no reason to choose. About two thirds of the evaluations go to demonstrations, as they move
small models most; instructions are reworded from the types and the data, so nothing but the program is asked. Of one
learned function the examples nearest to each case are tried first (where an embedder is installed), and for a finite
type the labels are weighed last (`Calibrate`). Cost: the budget, or about 16 evaluations of the dev split where there
is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.ape import APE
from thalweg.optimizing.optimizers.calibrate import Calibrate, calibratable
from thalweg.optimizing.optimizers.knn_few_shot import KNNFewShot
from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
from thalweg.optimizing.optimizers.screening import most
from thalweg.optimizing.optimizers.starting import affordable
from thalweg.optimizing.proposers.edits import Edits
from thalweg.optimizing.search import Search
from thalweg.program import Learned

_UNLIMITED = 16  # evaluations of the dev split where the budget sets no end
_SHARE = 0.65  # of the evaluations for demonstrations, where instructions are open too
_LEAST = 4  # evaluations of the dev split, from which on parts of the search are worth it
_WEIGHED = 3  # best trials that get weights
_ALWAYS = 3  # sets that random search tries besides those it draws


@dataclass(frozen=True)
class Auto(Composable):
    """A sensible search of a program of any form.

    Args:
        demos: demonstrations of a function at most. balanced: every label about equally often among them.
        nearest: try the nearest examples for each case. weights: weigh the labels of a finite type.
    """

    demos: int = 8
    balanced: bool = True
    nearest: bool = True
    weights: bool = True
    name: str = "Auto"

    def run(self, search: Search) -> None:
        size, began = len(search.dev), search.spent.evaluations
        left = min(affordable(search), _UNLIMITED * size + len(search.train))
        if self.nearest and left >= _LEAST * size and _may_show_near(search):
            KNNFewShot(ks=(4, 8) if len(search.train) > 4 else (len(search.train),)).run(search)
            used = search.spent.evaluations - began
            left, began = left - used, began + used
        last = 0
        if self.weights and calibratable(search.program) and left >= _LEAST * size:
            last = _WEIGHED * size
            left -= last
        demonstrations, instructions = (self._open(search, kind) for kind in ("demonstrations", "instruction"))
        if demonstrations:
            search.optimizer = f"{self.name}.demonstrations"
            self._demonstrations(search, (_SHARE if instructions else 1.0) * left - len(search.train))
        if instructions:
            search.optimizer = f"{self.name}.instructions"
            rest = min(affordable(search) - last, left - (search.spent.evaluations - began))
            self._instructions(search, rest / len(search.functions))
        if last:
            search.optimizer = f"{self.name}.weights"
            Calibrate(_WEIGHED).run(search)

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


def _may_show_near(search: Search) -> bool:
    """Whether near examples can be shown: one function, whose labels are outputs, and an embedder."""
    from thalweg.prompting.demonstrations import embedder_of

    if not isinstance(search.program, Learned) or search.program.own.strategy is not None or len(search.train) < 4:
        return False
    if f"{search.program.name}/strategy" not in search.space.inactive:
        return False
    try:
        embedder_of("minilm")
        for one in search.train:
            search.program.signature.output.encode(one.label)
    except Exception:  # no embedder here, or labels that are no outputs
        return False
    return True
