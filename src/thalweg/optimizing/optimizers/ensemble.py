"""Ensemble: the best programs of a search as one program, which takes what most of them say.

Programs that were chosen on the same examples err differently; their majority usually beats the best of them by a
little. Answers of finite types are joined by their mean probabilities where the model gives them. Choose it last, and
where a call may cost `top` times as much. Source: Khattab et al. 2023, "DSPy" (Ensemble); Breiman 1996, "Bagging
Predictors". Cost: one evaluation of the dev split, with `top` questions a row.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.errors import SearchError, StateMismatch, TypeNotSupported, UnsupportedByBackend
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.chosen_strategy import with_strategy
from thalweg.optimizing.optimizers.starting import check_counts
from thalweg.optimizing.optimizers.teachers import Programs
from thalweg.optimizing.search import Search
from thalweg.program import Flow, Learned
from thalweg.program.choice_kinds import Text
from thalweg.program.procedure import Solved, derived
from thalweg.program.spaces import Dimension
from thalweg.program.strategy import Parameters
from thalweg.program.types import jsonable


@dataclass(frozen=True)
class Ensemble(Composable):
    """The `top` best trials of different programs as one program.

    Args:
        top: how many, at least 2.

    Raises:
        SearchError: fewer than two programs were tried.
    """

    top: int = 3
    name: str = "Ensemble"

    def __post_init__(self) -> None:
        check_counts(self, "top", least=2)

    def run(self, search: Search) -> None:
        path = f"{search.space.name}/members"
        ranked = sorted(search.trials, key=lambda trial: (-trial.score, trial.number))
        single = [one for one in ranked if one.same_as is None and one.by != self.name]
        members = single[: self.top]
        if len(members) < 2:
            raise SearchError("There is one program only, which makes no ensemble.", "Run another optimizer before it.")
        digests = tuple(one.genome.digest for one in members)
        numbers = ", ".join(str(one.number) for one in members)
        note = f"majority of trials {numbers}"
        programs = [search.bound(one.genome) for one in members]
        if isinstance(search.program, Learned):
            asked = tuple(Member(one.parameters, one.own.strategy) for one in programs)
            genome = with_strategy(search.space.default(), search.program.name, MajorityOfPrograms(digests, asked))
        else:
            made = Programs(
                search.space.name, {path: Dimension(path, Text(""), where="Ensemble")}, {},
                lambda genome: _flow_of(search, programs),
            )  # fmt: skip
            genome = made.genome({path: " ".join(digests)})
        search.try_(genome, parent=members[0], note=note)


@dataclass(frozen=True)
class Member:
    """A program of an ensemble: parameters of its function, and its strategy."""

    parameters: Parameters
    strategy: Any = None


@dataclass(frozen=True)
class MajorityOfPrograms:
    """A strategy: the question is asked as by each of some programs, and the answer that most give is taken.

    Of finite types the mean of the distributions decides where the model has one; otherwise votes, of equal ones the
    first (members come best first).

    Args:
        digests: of the members' genomes; names the ensemble. members: parameters and strategies.
    """

    digests: Sequence[str]
    members: Sequence[Member] = field(repr=False)
    inner: Any = None
    name: str = "majority-of-programs"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        try:
            found = self.distribution(ask, inputs).value
        except (TypeNotSupported, UnsupportedByBackend):
            values = [one.submit(**inputs) for one in self._questions(ask)]
            winner, votes = majority([one.result() for one in values])
            return Solved(winner, {"votes": votes})
        best = max(found, key=lambda value: found[value])
        return Solved(best, {"probability": found[best]})

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """The mean of the distributions."""
        tables = [one.submit_distribution(**inputs) for one in self._questions(ask)]
        mean: dict[Any, float] = {}
        for table in tables:
            for value, probability in table.result().items():
                mean[value] = mean.get(value, 0.0) + probability / len(tables)
        return Solved(mean)

    def _questions(self, ask: Learned[..., Any]) -> list[Learned[..., Any]]:
        made = []
        for one in self.members:
            parameters = one.parameters
            question = derived(ask, instruction=parameters.instruction, demonstrations=parameters.demonstrations)
            made.append(question.using(strategy=one.strategy) if one.strategy is not None else question)
        return made


def majority(values: Sequence[Any]) -> tuple[Any, int]:
    """The value that is there most often, the first of equals, and how often."""
    keys = [json.dumps(jsonable(one), sort_keys=True, default=repr) for one in values]
    best = max(keys, key=lambda key: (keys.count(key), -keys.index(key)))
    return values[keys.index(best)], keys.count(best)


def _flow_of(search: Search, programs: Sequence[Any]) -> Flow[..., Any]:
    def ensemble(**inputs: Any) -> Any:
        values = [one.submit(**inputs) for one in programs]
        return majority([one.result() for one in values])[0]

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in search.names]
    ensemble.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    made: Flow[..., Any] = _InMemory(ensemble)
    _ = made.compiled  # now, not in every row's thread at once
    return made


class _InMemory(Flow[..., Any]):
    """A flow over several copies of one program, which a file of parameters cannot hold."""

    def save(self, path: Any) -> None:
        raise StateMismatch(
            "An ensemble of flows is more than the parameters of one flow, and cannot be saved as such.",
            "Save its members (`study.trials`), or use Ensemble with a learned function.",
        )
