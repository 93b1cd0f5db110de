"""Small code-writing tasks with tests: functions on lists, written as one or two steps of a fixed vocabulary.

A program is typed, so that a small model always writes one that runs; whether it is right, only the tests say.
`public` tests may be shown to the coder, `hidden` ones decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Step = Literal[
    "sort", "reverse", "double", "square", "negate", "add one", "keep even", "keep positive", "drop duplicates",
    "first three", "last three", "drop first",
]  # fmt: skip

CODE: dict[str, str] = {
    "sort": "sorted(xs)",
    "reverse": "xs[::-1]",
    "double": "[2 * x for x in xs]",
    "square": "[x * x for x in xs]",
    "negate": "[-x for x in xs]",
    "add one": "[x + 1 for x in xs]",
    "keep even": "[x for x in xs if x % 2 == 0]",
    "keep positive": "[x for x in xs if x > 0]",
    "drop duplicates": "list(dict.fromkeys(xs))",
    "first three": "xs[:3]",
    "last three": "xs[-3:]",
    "drop first": "xs[1:]",
    "nothing": "xs",
}


@dataclass(frozen=True)
class Program:
    first: Step
    then: Step | Literal["nothing"]

    def source(self) -> str:
        """The program as Python."""
        lines = [f"    xs = {CODE[step]}" for step in (self.first, self.then)]
        return "\n".join(["def solve(xs):", *lines, "    return xs", ""])


@dataclass(frozen=True)
class Task:
    name: str
    text: str
    public: str
    hidden: str


def _task(name: str, text: str, steps: tuple[str, str], public: list[list[int]], hidden: list[list[int]]) -> Task:
    solved: dict[str, object] = {}
    exec(Program(*steps).source(), solved)  # the expected values, worked out by our own reference
    solve = solved["solve"]

    def tests(inputs: list[list[int]]) -> str:
        return "\n".join(f"assert solve({xs}) == {solve(list(xs))}, solve({xs})" for xs in inputs)  # type: ignore[operator]

    return Task(name, text, tests(public), tests(hidden))


_SHOWN = [[3, -1, 2, 2], [5, 4, -6, 0, 8, 5]]
_HIDDEN = [[], [7], [9, 9, -2, 4, -4, 1], [10, -3, 6, 6, 0, 2, -8]]
TASKS = [
    _task("sorted", "Sort the numbers.", ("sort", "nothing"), _SHOWN, _HIDDEN),
    _task("doubled", "Double every number.", ("double", "nothing"), _SHOWN, _HIDDEN),
    _task("descending", "Sort the numbers, largest first.", ("sort", "reverse"), _SHOWN, _HIDDEN),
    _task("positive squares", "Keep the positive numbers and square them.",
          ("keep positive", "square"), _SHOWN, _HIDDEN),
    _task("smallest three", "Give the three smallest numbers, in order.", ("sort", "first three"), _SHOWN, _HIDDEN),
    _task("even, once", "Keep the even numbers, each of them once.", ("keep even", "drop duplicates"), _SHOWN, _HIDDEN),
]  # fmt: skip
