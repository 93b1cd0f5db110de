"""The nouns of proposing: `Proposer` gives scored `Candidate`s for a `State`.

What decides between options or makes something up (a model, a vote, a script, plain order) keeps this one verb, so that
whatever checks, ranks or executes candidates does not know who proposed them. Scores are comparable within one call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from thalweg.program.types import jsonable

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """Something proposed.

    Args:
        score: how much the proposer favours it; what kind of number it is, the proposer says.
        source: name of the proposer.
    """

    value: T
    score: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class State:
    """What a search knows when it asks for candidates.

    Args:
        task: what was asked for.
        counterexamples: witnesses against earlier candidates, oldest first.
        tried: values of earlier candidates, oldest first; a proposer leaves them out where it can.
        round: number of earlier rounds. proposed: number of candidates they brought, repeated ones included.
    """

    task: Any
    counterexamples: tuple[Any, ...] = ()
    tried: tuple[Any, ...] = ()
    round: int = 0
    proposed: int = 0


@runtime_checkable
class Proposer(Protocol):
    """Gives candidates.

    Attributes:
        name: of kind and settings, for journals and reports.
    """

    @property
    def name(self) -> str: ...

    def propose(self, state: Any, options: Sequence[Any] | None, k: int) -> list[Candidate[Any]]:
        """At most `k` candidates, best first; none when there is nothing (new) to propose.

        Equal arguments give equal candidates. At most `k` calls of a model, which are submitted together if possible.

        Args:
            state: what they are for: a `State` within a search, or any object.
            options: what may be chosen; None where the proposer itself knows, or nothing limits it.
        """
        ...


def key_of(value: Any) -> Any:
    """What equal candidates have in common: type, JSON form and, for hashable values, equality."""
    text = json.dumps(jsonable(value), sort_keys=True)
    try:
        hash(value)
    except TypeError:
        return type(value), text
    return type(value), text, value  # the JSON form alone takes two functions of one name for one


def untried(values: Sequence[T], state: Any) -> list[int]:
    """Indexes of the values that `state` has not tried."""
    tried = {key_of(value) for value in state.tried} if isinstance(state, State) else set()
    return [index for index, value in enumerate(values) if key_of(value) not in tried]


def task_of(state: Any) -> Any:
    """The task of a `State`; any other state is the task itself."""
    return state.task if isinstance(state, State) else state


def inputs_of(names: Sequence[str], state: Any, options: Sequence[Any] | None) -> dict[str, Any]:
    """Inputs of a learned function for a state.

    The task is a mapping with inputs by name, else it is the first input; `counterexamples`, `tried` and `options` are
    given to a function that has inputs of these names.
    """
    known: dict[str, Any] = {} if options is None else {"options": list(options)}
    if isinstance(state, State):
        known |= {"counterexamples": list(state.counterexamples), "tried": list(state.tried)}
    task = task_of(state)
    own = [name for name in names if name not in known]
    if isinstance(task, Mapping) and any(name in task for name in own):
        known |= task
    elif own:
        known[own[0]] = task
    return {name: known[name] for name in names if name in known}
