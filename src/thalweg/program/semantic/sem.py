"""`Sem`: any value, with Python's operators by meaning - exact where its type decides, learned where it does not.

Choose it to write conditions and small algebra of texts as they would be said; call the operators by name where their
parameters are to be part of a flow's state. ``.syn`` gives plain Python, ``.sem`` meaning again; methods are always by
meaning. Source: Dinu et al. 2024, "SymbolicAI: A framework for logic-based approaches combining generative models and
solvers". Cost: that of the operator called.
"""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from thalweg.program.semantic import collections, operators, rules

T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class Sem(Generic[T]):
    """A value with semantic operators. Comparisons give a bool, other operators another `Sem`.

    | written | by meaning |
    |---|---|
    | ``a == b``, ``b in a``, ``a < b`` | `same`, `contains`, `less` |
    | ``a & b``, ``a \\| b``, ``a ^ b``, ``~a`` | `conjunction`, `disjunction`, `exclusive`, `negation`; lists: sets |
    | ``a - b`` | `without`; of lists: `difference` |
    | ``a[key]`` | of a dict: the value of the key that means this |
    | ``a + b`` | Python's own |
    """

    value: T
    mode: Literal["semantic", "syntactic"] = "semantic"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _plain(self.value))

    @property
    def syn(self) -> Sem[T]:
        """The same value with Python's own operators."""
        return replace(self, mode="syntactic")

    @property
    def sem(self) -> Sem[T]:
        """The same value with operators by meaning."""
        return replace(self, mode="semantic")

    # -- conditions -----------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        other = _plain(other)
        return bool(self.value == other) if self._syntactic else operators.same(self.value, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.value)

    def __contains__(self, part: object) -> bool:
        part = _plain(part)
        whole: Any = self.value
        return part in whole if self._syntactic else operators.contains(whole, part)

    def __lt__(self, other: Any) -> bool:
        return self._compare(python.lt, other, lambda a, b: operators.less(a, b))

    def __gt__(self, other: Any) -> bool:
        return self._compare(python.gt, other, lambda a, b: operators.less(b, a))

    def __le__(self, other: Any) -> bool:
        return self._compare(python.le, other, lambda a, b: not operators.less(b, a))

    def __ge__(self, other: Any) -> bool:
        return self._compare(python.ge, other, lambda a, b: not operators.less(a, b))

    # -- algebra --------------------------------------------------------------------------------------------------

    def __and__(self, other: Any) -> Sem[Any]:
        return self._combine(self.value, other, python.and_, operators.conjunction, collections.intersection)

    def __rand__(self, other: Any) -> Sem[Any]:
        return self._combine(other, self.value, python.and_, operators.conjunction, collections.intersection)

    def __or__(self, other: Any) -> Sem[Any]:
        return self._combine(self.value, other, python.or_, operators.disjunction, collections.union)

    def __ror__(self, other: Any) -> Sem[Any]:
        return self._combine(other, self.value, python.or_, operators.disjunction, collections.union)

    def __xor__(self, other: Any) -> Sem[Any]:
        return self._combine(self.value, other, python.xor, operators.exclusive, _either_side)

    def __rxor__(self, other: Any) -> Sem[Any]:
        return self._combine(other, self.value, python.xor, operators.exclusive, _either_side)

    def __sub__(self, other: Any) -> Sem[Any]:
        return self._combine(self.value, other, python.sub, operators.without, collections.difference)

    def __rsub__(self, other: Any) -> Sem[Any]:
        return self._combine(other, self.value, python.sub, operators.without, collections.difference)

    def __add__(self, other: Any) -> Sem[Any]:
        return self._like(python.add(self.value, _plain(other)))

    def __radd__(self, other: Any) -> Sem[Any]:
        return self._like(python.add(other, self.value))

    def __invert__(self) -> Sem[Any]:
        value: Any = self.value
        return self._like(~value if self._syntactic else operators.negation(value))

    def __getitem__(self, key: Any) -> Sem[Any]:
        value: Any = self.value
        key = _plain(key)
        if self._syntactic or not isinstance(value, Mapping) or key in value or not value:
            return self._like(value[key])
        return self._like(value[collections.choose(key, list(value))])

    # -- methods, by meaning --------------------------------------------------------------------------------------

    def holds(self, statement: str) -> bool:
        """Whether the statement is true of it."""
        return operators.holds(statement, self.value)

    def to(self, annotation: Any, hint: str = "") -> Any:
        """The value as a type (`cast`)."""
        return collections.cast(self.value, annotation, hint)

    def choose(self, options: Sequence[Any], question: str = "") -> Any:
        """The option that fits best."""
        return collections.choose(self.value, options, question)

    def query(self, question: str, annotation: Any = str) -> Any:
        """An answer of a type, from the text."""
        return operators.query.to(annotation)(self.value, question)

    def extract(self, what: str) -> Sem[list[str]]:
        """A list of what is asked for."""
        return self._like(operators.extract(self.value, what))

    def summarise(self) -> Sem[str]:
        return self._like(operators.summarise(self.value))

    def modify(self, instruction: str) -> Sem[str]:
        """The text changed as the instruction says."""
        return self._like(operators.modify(self.value, instruction))

    def map(self, step: collections.Step) -> Sem[list[Any]]:
        """A step applied to every item (`foreach`)."""
        return self._like(collections.foreach(self._items, step))

    def filter(self, statement: str) -> Sem[list[Any]]:
        """The items of which the statement is true."""
        return self._like(collections.select(self._items, statement))

    def rank(self, by: str = "") -> Sem[list[Any]]:
        """The items in ascending order."""
        return self._like(collections.rank(self._items, by))

    def unique(self) -> Sem[list[Any]]:
        """The items without those that mean the same as an earlier one."""
        return self._like(collections.unique(self._items))

    # -- what the value is ----------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        value: Any = self.value
        return len(value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"Sem({self.value!r})" + (".syn" if self._syntactic else "")

    # -- helpers --------------------------------------------------------------------------------------------------

    @property
    def _syntactic(self) -> bool:
        return self.mode == "syntactic"

    @property
    def _items(self) -> Any:
        return self.value

    def _like(self, value: Any) -> Sem[Any]:
        return Sem(value, self.mode)

    def _compare(self, own: Callable[[Any, Any], Any], other: Any, ask: Callable[[Any, Any], bool]) -> bool:
        other = _plain(other)
        if self._syntactic:
            return own(self.value, other)
        decided = rules.compared(own, self.value, other)
        return ask(self.value, other) if decided is rules.UNDECIDED else decided

    def _combine(
        self,
        a: Any,
        b: Any,
        own: Callable[[Any, Any], Any],
        ask: Callable[[Any, Any], str],
        of_lists: Callable[[Any, Any], list[Any]],
    ) -> Sem[Any]:
        a, b = _plain(a), _plain(b)
        if self._syntactic:
            return self._like(own(a, b))
        if isinstance(a, list | tuple) and isinstance(b, list | tuple):
            return self._like(of_lists(a, b))
        return self._like(ask(a, b))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Sem) else value


def _either_side(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    return collections.difference(a, b) + collections.difference(b, a)
