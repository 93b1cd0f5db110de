"""LabeledFewShot: labelled examples as demonstrations of a learned function, drawn at random.

Choose it as the first thing to try, and as the baseline of everything else. For programs of one learned function; for
the steps of a flow only where columns of the examples hold what is right for them (`columns`). Source: Khattab et al.
2023, "DSPy: Compiling Declarative Language Model Calls". Cost: one evaluation of the dev split a draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thalweg.errors import SearchError
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.example import Example
from thalweg.optimizing.optimizers.demonstrations import Demo, drawn, labelled
from thalweg.optimizing.optimizers.starting import best_with, check_counts
from thalweg.optimizing.search import Search
from thalweg.program import Learned


@dataclass(frozen=True)
class LabeledFewShot(Composable):
    """Draws of `k` labelled examples.

    Args:
        k: demonstrations; fewer where there are fewer examples. draws: how many sets are tried.
        balanced: every label about equally often (labels that are all different are drawn as they come).
        columns: for the steps of a flow: the column of the right output by the function's path
            (``{"triage.read": "kind"}``); the function's inputs must be columns too.

    Raises:
        SearchError: a flow without `columns`, or a path or column there is not.
    """

    k: int = 8
    draws: int = 5
    balanced: bool = True
    columns: Mapping[str, str] = field(default_factory=dict)
    name: str = "LabeledFewShot"

    def __post_init__(self) -> None:
        check_counts(self, "k", "draws")

    def run(self, search: Search) -> None:
        columns = self._columns(search)
        start = best_with(search, [f"{path}/demonstrations" for path in columns])
        for number in range(self.draws):
            chosen = drawn(search.rng(f"draw {number}"), search.train, self.k, balanced=self.balanced)
            values = {
                f"{path}/demonstrations": [labelled_step(search, path, column, one) for one in chosen]
                for path, column in columns.items()
            }
            search.try_(start.genome.replace(values), parent=start, note=f"{len(chosen)} labelled examples")

    def _columns(self, search: Search) -> dict[str, str | None]:
        if isinstance(search.program, Learned) and not self.columns:
            return {search.program.name: None}
        if not self.columns:
            raise SearchError(
                f"Of the steps of the flow `{search.space.name}` the right answers are not known.",
                "Use BootstrapFewShot, which takes them from runs that succeed, or name their columns: "
                f'LabeledFewShot(columns={{"{next(iter(search.functions), "flow.step")}": "column"}}).',
            )
        if unknown := [path for path in self.columns if path not in search.functions]:
            raise SearchError(
                f"{unknown[0]!r} is no learned function of `{search.space.name}`.",
                f"There are: {', '.join(search.functions)}.",
            )
        return dict(self.columns)


def labelled_step(search: Search, path: str, column: str | None, example: Example) -> Demo:
    """A labelled example as a demonstration of one function; `column`: of the right output (None: the label)."""
    given = search.functions[path].signature.parameters.parameters.values()
    names = [one.name for one in given if one.default is one.empty or one.name in example.row]
    if column is not None and column not in example.row:
        raise SearchError(
            f"Example {example.number} has no column {column!r} for `{path}`; it has: {', '.join(example.row)}.",
            "Name a column that every example has.",
        )
    return labelled(example, names, example.row[column] if column is not None else ...)
