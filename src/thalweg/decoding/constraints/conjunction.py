"""`AllOf`: all of several constraints at once, token by token: the AND of their masks.

Choose it to add a monitor or a second grammar to a type's own constraint. A token is allowed where every member allows
it, so no continuation that all of them accept is lost; but each member looks at its own texts alone, and where they
share none the conjunction ends in a `DeadEnd`, never in a token that a member refuses. Cost: the members' masks, one
AND, and a copy of every state a step (some 10 microseconds each).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints.constraint import Constraint, State
from thalweg.errors import DeadEnd, UnsatisfiableConstraint
from thalweg.models.scorer import Logits

Allowed = NDArray[np.int64] | NDArray[np.bool_]


class AllOf:
    """Constraint to the texts that all of `members` accept.

    Args:
        members: one or more constraints over the same vocabulary.
        end: the token that ends an answer.
    """

    def __init__(self, *members: Constraint, end: int) -> None:
        if not members:
            raise UnsatisfiableConstraint("There is no constraint to conjoin.", "Give at least one.")
        self.members = members
        self.end = end
        self.uniform = any(member.uniform for member in members)

    def start(self) -> AllOfState:
        return AllOfState([member.start() for member in self.members], self.end)


class AllOfState:
    """Complete (`done`) as soon as a member is, provided that the others may end here; ended by the end token, which
    all must allow, otherwise."""

    def __init__(self, states: list[State], end: int, written: list[int] | None = None) -> None:
        self._states = states
        self._end = end
        self._written = written or []

    @property
    def done(self) -> bool:
        complete = [state.done for state in self._states]
        if not any(complete):
            return False
        if all(one or _allows(state.allowed(), self._end) for one, state in zip(complete, self._states, strict=True)):
            return True
        raise self._dead_end("one of the constraints is complete here and another is not")

    def forced(self) -> list[int]:
        """What a member forces, as far as all the others accept it."""
        tokens: list[int] = []
        while not any(state.done for state in self._states):
            step = self._agreed()
            if not step:
                break
            tokens += step
        return tokens

    def _agreed(self) -> list[int]:
        for index, state in enumerate(self._states):
            ahead = state.fork()
            proposed = ahead.forced()
            if not proposed:
                continue
            others = [other.fork() for place, other in enumerate(self._states) if place != index]
            taken: list[int] = []
            for token in proposed:
                if any(other.done or not _allows(other.allowed(), token) for other in others):
                    break
                for other in others:
                    other.advance(token)
                taken.append(token)
            if taken == proposed:
                self._states = [*others[:index], ahead, *others[index:]]
                self._written += taken
                return taken
            if taken:
                for token in taken:
                    self.advance(token)
                return taken
        return []

    def allowed(self) -> Allowed:
        masks = [state.allowed() for state in self._states if not state.done]
        ids = next((mask for mask in masks if mask.dtype != np.bool_), None)
        if ids is not None:
            for mask in masks:
                if mask is not ids:
                    ids = ids[mask[ids]] if mask.dtype == np.bool_ else ids[np.isin(ids, mask)]
            if not len(ids):
                raise self._dead_end("no token is allowed by all of the constraints")
            return ids
        both = masks[0]
        for mask in masks[1:]:
            both = both & mask
        if not both.any():
            raise self._dead_end("no token is allowed by all of the constraints")
        return both

    def advance(self, token: int) -> None:
        for state in self._states:
            if not state.done:
                state.advance(token)
        self._written.append(token)

    def shortest(self, allowed: Allowed, logits: Logits) -> int:
        """The first member's choice that all allow, else the most likely token."""
        for state in self._states:
            token = state.shortest(state.allowed(), logits)
            if _allows(allowed, token):
                return token
        if allowed.dtype == np.bool_:
            return int(np.where(allowed, logits, -np.inf).argmax())
        return int(allowed[logits[allowed].argmax()])

    def fork(self) -> AllOfState:
        return AllOfState([state.fork() for state in self._states], self._end, list(self._written))

    def _dead_end(self, why: str) -> DeadEnd:
        return DeadEnd(
            f"After {len(self._written)} tokens {why}.",
            "Loosen one of the constraints, or declare them as one grammar, which looks ahead.",
            tokens=tuple(self._written),
        )


def _allows(allowed: Any, token: int) -> bool:
    return bool(allowed[token]) if allowed.dtype == np.bool_ else bool((allowed == token).any())
