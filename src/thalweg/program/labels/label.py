"""`Label`: where a value's information came from - an immutable set of sources, ordered by inclusion.

No source is bottom (anybody may know); joining two values joins their sources. A `Label` is a `frozenset` of texts, so
it stands wherever one is expected. Source: Denning 1976, "A lattice model of secure information flow"; Myers and
Liskov 1997, "A decentralized model for information flow control". Cost: that of a small set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from thalweg.errors import LabelError


class Label(frozenset[str]):
    """A set of sources: ``Label("hr", "wiki")``; ``Label()`` is bottom.

    ``a | b`` (or `join`) is the least label above both, ``a & b`` (or `meet`) the greatest below both, ``a <= b`` says
    that what carries `a` may go where `b` is accepted.

    Raises:
        LabelError: a source is no text, or an empty one.
    """

    __slots__ = ()

    def __new__(cls, *sources: str) -> Label:
        for source in sources:
            if not isinstance(source, str) or not source:
                what = f"{source!r} is no source of a label."
                raise LabelError(what, 'Name sources by texts: Label("hr", "wiki"); for a set of them, Label.of(them).')
        return super().__new__(cls, sources)

    @classmethod
    def of(cls, sources: str | Iterable[str]) -> Label:
        """A label of one source, or of a collection of sources."""
        if isinstance(sources, Label):
            return sources
        return cls(sources) if isinstance(sources, str) else cls(*sources)

    def join(self, *others: Iterable[str]) -> Label:
        """The least label above this one and the others."""
        return Label(*frozenset(self).union(*others))

    def meet(self, *others: Iterable[str]) -> Label:
        """The greatest label below this one and the others."""
        return Label(*frozenset(self).intersection(*others))

    def to_json(self) -> list[str]:
        """Its sources in alphabetical order."""
        return sorted(self)

    @classmethod
    def from_json(cls, data: Iterable[str]) -> Label:
        return cls(*data)

    def __or__(self, other: Any) -> Label:
        return self.join(other) if isinstance(other, frozenset | set) else NotImplemented

    def __and__(self, other: Any) -> Label:
        return self.meet(other) if isinstance(other, frozenset | set) else NotImplemented

    def __sub__(self, other: Any) -> Label:
        return Label(*super().__sub__(other)) if isinstance(other, frozenset | set) else NotImplemented

    __ror__ = __or__
    __rand__ = __and__

    def __reduce__(self) -> tuple[Any, ...]:
        return Label, tuple(sorted(self))

    def __copy__(self) -> Label:
        return self

    def __deepcopy__(self, memo: Any) -> Label:
        return self

    def __repr__(self) -> str:
        return f"Label({', '.join(map(repr, sorted(self)))})"

    def __str__(self) -> str:
        return f"{{{', '.join(sorted(self))}}}"


BOTTOM = Label()
