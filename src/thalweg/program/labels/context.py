"""`Context`: what one call reads, piece by piece with labels, and what is left of it under a lower label.

A piece is a whole input, an element of a list, or a value of a dict. Under a label, pieces whose label does not lie
below it are gone: elements and values are removed, a whole input is replaced by a blank. What is left is a function
of the pieces at or below the label alone, on which the safety of a propagator rests. Cost: copies of containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.errors import LabelError
from thalweg.program.labels.label import BOTTOM, Label
from thalweg.program.labels.labelled import Labels
from thalweg.program.labels.lattice import Lattice

BLANK = "(not available)"  # what a model sees in place of a withheld text


@dataclass(frozen=True)
class Piece:
    """A part of the inputs that can be withheld on its own; `key` is None for a whole input."""

    input: str
    key: Any
    label: Label
    value: Any

    @property
    def name(self) -> str:
        return self.input if self.key is None else f"{self.input}[{self.key!r}]"


@dataclass(frozen=True)
class Context:
    """Inputs of a call, in pieces.

    Args:
        inputs: bare values by name. pieces: the labelled parts of them. lattice: what the labels belong to.
    """

    inputs: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    lattice: Lattice

    @classmethod
    def of(cls, inputs: Mapping[str, Any], labels: Mapping[str, Labels], lattice: Lattice | None = None) -> Context:
        """Cut inputs along their labels; without a lattice, the powerset of the sources that occur.

        Raises:
            LabelError: labels for an input that is not there, or as many labels as the input has no parts for, or a
                source that the lattice lacks.
        """
        raw = [piece for name, label in labels.items() for piece in _pieces(inputs, name, label)]
        if lattice is None:
            lattice = Lattice.powerset(*dict.fromkeys(source for piece in raw for source in piece.label.to_json()))
        pieces = [Piece(one.input, one.key, lattice.closed(one.label), one.value) for one in raw]
        return cls(inputs, tuple(piece for piece in pieces if piece.label), lattice)

    @property
    def whole(self) -> Label:
        """The join of all labels: what an output carries that may depend on everything."""
        return BOTTOM.join(*(piece.label for piece in self.pieces))

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that occur, in the lattice's order."""
        return tuple(source for source in self.lattice.sources if source in self.whole)

    def kept(self, label: Label) -> tuple[bool, ...]:
        """For each piece, whether it lies at or below `label`."""
        return tuple(piece.label <= label for piece in self.pieces)

    def tight(self, label: Label) -> Label:
        """The least label under which the same pieces are left."""
        return BOTTOM.join(*(piece.label for piece in self.pieces if piece.label <= label))

    def family(self, most: int) -> list[Label] | None:
        """The tight labels, one for each set of pieces that can be left, larger ones first; None if over `most`."""
        found = {BOTTOM}
        for label in dict.fromkeys(piece.label for piece in self.pieces):
            found |= {label | one for one in found}
            if len(found) > most:
                return None
        return sorted(found, key=lambda one: (-len(one), self.order(one)))

    def order(self, label: Label) -> tuple[int, ...]:
        """Labels of one size are tried in this order."""
        return tuple(i for i, source in enumerate(self.lattice.sources) if source in label)

    def under(self, label: Label) -> dict[str, Any]:
        """The inputs with all that does not lie at or below `label` withheld."""
        gone: dict[str, set[Any]] = {}
        for piece in self.pieces:
            if not piece.label <= label:
                gone.setdefault(piece.input, set()).add(piece.key)
        return {name: _withhold(value, gone.get(name)) for name, value in self.inputs.items()}

    def withheld(self, label: Label) -> tuple[str, ...]:
        """Names of the pieces that `under` leaves out."""
        return tuple(piece.name for piece in self.pieces if not piece.label <= label)


def _pieces(inputs: Mapping[str, Any], name: str, labels: Labels) -> list[Piece]:
    if name not in inputs:
        raise LabelError(
            f"There are labels for {name!r}, which is no input of the call.", "Label the inputs there are."
        )
    value = inputs[name]
    if isinstance(labels, frozenset):
        return [Piece(name, None, Label.of(labels), value)]
    if isinstance(labels, Mapping):
        if not isinstance(value, dict) or set(labels) != set(value):
            what = f"The labels of the input {name!r} are a dict that has not the keys of its value."
            raise LabelError(what, "Give a label for every key of a dict, or one for the whole.")
        return [Piece(name, key, Label.of(labels[key]), value[key]) for key in value]
    if not isinstance(value, list | tuple) or len(labels) != len(value):
        what = f"The labels of the input {name!r} are {len(labels)}, which fits no list of its value."
        raise LabelError(what, "Give a label for every element of a list or tuple, or one for the whole.")
    return [Piece(name, i, Label.of(label), one) for i, (label, one) in enumerate(zip(labels, value, strict=True))]


def _withhold(value: Any, keys: set[Any] | None) -> Any:
    if not keys:
        return value
    if None in keys:
        return type(value)() if type(value) in (list, tuple, dict) else BLANK
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if key not in keys}
    return type(value)(one for i, one in enumerate(value) if i not in keys)
