"""`first >> second`: one optimizer after the other, each starting from the best that was found before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.optimizing.search import Search


class Composable:
    """Gives an optimizer the operator ``>>``."""

    def __rshift__(self, other: Any) -> Then:
        return Then((*_parts(self), *_parts(other)))


@dataclass(frozen=True)
class Then(Composable):
    """Optimizers one after the other; see the operator ``>>``."""

    parts: tuple[Any, ...]

    @property
    def name(self) -> str:
        return " >> ".join(one.name for one in self.parts)

    def run(self, search: Search) -> None:
        for one in self.parts:
            search.optimizer = one.name
            one.run(search)


def _parts(one: Any) -> tuple[Any, ...]:
    return one.parts if isinstance(one, Then) else (one,)
