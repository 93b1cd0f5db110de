"""`labelled(value, "hr")`: how a value with a label is handed to a learned function or a flow. `unlabel` undoes it.

Choose one label for a whole input, or one for every element of a list or every value of a dict: what is labelled apart
can be left out apart. The label of something inside an element counts for the whole element. Cost: one walk through
the containers of the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from thalweg.program.labels.label import BOTTOM, Label

T = TypeVar("T")

Labels: TypeAlias = Label | Sequence[Label] | Mapping[Any, Label]
"""Label of one input: of the whole, of each element of a list or tuple, or of each value of a dict."""


@dataclass(frozen=True)
class Labelled(Generic[T]):
    """A value and where it came from."""

    value: T
    label: Label

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", Label.of(self.label))


def labelled(value: T, *sources: str | Iterable[str]) -> Labelled[T]:
    """`value` with a label: ``labelled(text, "hr")``, ``labelled(text, "hr", "wiki")`` or ``labelled(text, label)``.

    Raises:
        LabelError: a source is no text.
    """
    label = BOTTOM.join(*(Label.of(source) for source in sources))
    if isinstance(value, Labelled):
        return Labelled(value.value, value.label | label)
    return Labelled(value, label)


_BARE = frozenset({str, int, float, bool, bytes, type(None)})


def has_labelled(value: Any) -> bool:
    """Whether a `Labelled` value is here, in lists, tuples and dicts too."""
    kind = type(value)
    if kind is Labelled:
        return True
    if kind is list or kind is tuple:
        return any(type(one) not in _BARE and has_labelled(one) for one in value)
    if kind is dict:
        return any(type(one) not in _BARE and has_labelled(one) for one in value.values())
    return False


def unlabel(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Labels]]:
    """Bare inputs of a call, and their labels by name; unlabelled inputs have bottom.

    The label of a list whose elements carry labels is a tuple of labels, that of such a dict a dict of labels; a label
    of the container counts for each of its elements.
    """
    bare: dict[str, Any] = {}
    labels: dict[str, Labels] = {}
    for name, value in inputs.items():
        bare[name], labels[name] = _input(value)
    return bare, labels


def _input(value: Any) -> tuple[Any, Labels]:
    outer = BOTTOM
    while isinstance(value, Labelled):
        value, outer = value.value, outer | value.label
    if type(value) in (list, tuple):
        pairs = [_strip(one) for one in value]
        bare = type(value)(one for one, _ in pairs)
        return (bare, tuple(outer | label for _, label in pairs)) if any(label for _, label in pairs) else (bare, outer)
    if type(value) is dict:
        found = {key: _strip(one) for key, one in value.items()}
        bare = {key: one for key, (one, _) in found.items()}
        if any(label for _, label in found.values()):
            return bare, {key: outer | label for key, (_, label) in found.items()}
        return bare, outer
    return value, outer


def _strip(value: Any) -> tuple[Any, Label]:
    """A value without labels inside, and their join."""
    label = BOTTOM
    while isinstance(value, Labelled):
        value, label = value.value, label | value.label
    if type(value) in (list, tuple):
        pairs = [_strip(one) for one in value]
        return type(value)(one for one, _ in pairs), label.join(*(inner for _, inner in pairs))
    if type(value) is dict:
        found = {key: _strip(one) for key, one in value.items()}
        return {key: one for key, (one, _) in found.items()}, label.join(*(inner for _, inner in found.values()))
    return value, label
