"""Six small Python packages with invented names, written by a seeded generator, so that no model has seen them.

Each has classes in `parts.py`, what makes them in `supply.py`, and work done with them in `work_*.py`: what the work
dereferences is defined two files away. `points` gives every place behind a dereference there, with the name that
stands there and all names that could. The packages run and type-check.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("zorple", "quibnar", "fendrix", "mubbly", "traskel", "ovinct")
WORKS = 2  # files of work in each
TASKS = 10  # functions with a point in each file
LEAD = 8  # functions in front of them, so that every point has a text behind it

_STEMS = """
frob quux wib plim gorn vex drub klim thrum brax snor yab twil glim morv dax pell hurk juv lorn nib ost prag rilk
skev tov ulm varn wend xim yost zeb blor crin dorv ebb fosk grel hask ilm
""".split()
_ENDS = "le ish ant or ic al en ax um et on ar".split()
_THINGS = """
ledger queue valve beacon crate sensor roster lattice funnel anchor parcel module
""".split()
_AMOUNTS = """
tally rate depth weight limit score offset width age level margin quota
""".split()
_TEXTS = "label title owner region colour remark".split()
_COMMON = {*dir(object), "__annotations__", "__dict__", "__module__", "__weakref__"}  # members of all instances
_ACTS = "raise lower flush refill shift merge rotate settle trim extend".split()


@dataclass(frozen=True)
class Point:
    """A place behind a dereference: `text` in front of it, the `truth` that stands there, the `members` that could."""

    package: str
    path: str  # from the folder the packages are in
    text: str
    truth: str
    members: frozenset[str]
    ends: str  # the rest of the line


@dataclass(frozen=True)
class _Class:
    name: str
    thing: str
    amounts: dict[str, str]  # noun: attribute
    texts: dict[str, str]
    acts: dict[str, str]  # verb: method that takes an amount and gives one
    inner: tuple[str, str] | None  # name of the class its `open_...` method gives, the method

    @property
    def members(self) -> frozenset[str]:
        inner = {self.inner[1]} if self.inner else set()
        return frozenset({*self.amounts.values(), *self.texts.values(), *self.acts.values(), *inner} | _COMMON)


def write_packages(folder: Path, packages: Sequence[str] = PACKAGES) -> list[Point]:
    """Write the packages into `folder`, always the same; their points, 20 a package."""
    points: list[Point] = []
    for package in packages:
        draw = random.Random(package)
        classes = _classes(draw)
        target = folder / package
        target.mkdir(parents=True)
        (target / "__init__.py").write_text(f'"""Package {package}."""\n')
        (target / "parts.py").write_text(_parts(classes))
        (target / "supply.py").write_text(_supply(classes))
        for number in range(WORKS):
            path = f"{package}/work_{number}.py"
            text, marks = _work(draw, classes, number)
            (folder / path).write_text(text)
            for offset, truth, members in marks:
                line = text[offset + len(truth) :].partition("\n")[0]
                points.append(Point(package, path, text[:offset], truth, members, line))
    return points


def _classes(draw: random.Random) -> list[_Class]:
    words = draw.sample([stem + end for stem in _STEMS for end in _ENDS], 80)
    things = draw.sample(_THINGS, 6)
    classes: list[_Class] = []
    for thing in things:
        amounts = {noun: f"{words.pop()}_{noun}" for noun in draw.sample(_AMOUNTS, 5)}
        texts = {noun: f"{words.pop()}_{noun}" for noun in draw.sample(_TEXTS, 2)}
        acts = {verb: f"{verb}_{words.pop()}" for verb in draw.sample(_ACTS, 4)}
        name = words.pop().capitalize() + thing.capitalize()
        inner = (classes[-1].name, f"open_{classes[-1].thing}") if classes else None
        classes.append(_Class(name, thing, amounts, texts, acts, inner))
    return classes


def _parts(classes: Sequence[_Class]) -> str:
    blocks = ['"""The parts of the works."""']
    for one in classes:
        lines = [f"class {one.name}:", f'    """A {one.thing}."""', "", "    def __init__(self) -> None:"]
        lines += [f"        self.{name} = {3 + place}" for place, name in enumerate(one.amounts.values())]
        lines += [f'        self.{name} = "{noun}"' for noun, name in one.texts.items()]
        first = next(iter(one.amounts.values()))
        for name in one.acts.values():
            lines += [
                "",
                f"    def {name}(self, amount: int) -> int:",
                f"        self.{first} += amount",
                f"        return self.{first}",
            ]
        if one.inner:
            lines += ["", f"    def {one.inner[1]}(self) -> {one.inner[0]}:", f"        return {one.inner[0]}()"]
        blocks.append("\n".join(lines))
    return "\n\n\n".join(blocks) + "\n"


def _supply(classes: Sequence[_Class]) -> str:
    """Half of the functions say what they give, half leave it to be inferred."""
    blocks = ['"""Where parts come from."""', f"from .parts import {', '.join(one.name for one in classes)}"]
    for place, one in enumerate(classes):
        says = (f" -> {one.name}", f" -> list[{one.name}]") if place % 2 else ("", "")
        blocks.append(
            f"\ndef new_{one.thing}(){says[0]}:\n    return {one.name}()\n\n\n"
            f"def all_{one.thing}s(){says[1]}:\n    return [{one.name}(), {one.name}()]"
        )
    return "\n\n".join(blocks) + "\n"


def _work(
    draw: random.Random, classes: Sequence[_Class], number: int
) -> tuple[str, list[tuple[int, str, frozenset[str]]]]:
    made = [
        _task(draw, draw.choice(classes[1:]), classes, f"{number}_{task}", task % 5) for task in range(LEAD + TASKS)
    ]
    imports = sorted({name for _, _, _, names in made for name in names})
    text = f'"""Work, part {number}."""\n\nfrom .supply import {", ".join(imports)}\n'
    marks: list[tuple[int, str, frozenset[str]]] = []
    for place, (body, truth, members, _) in enumerate(made):
        before, _, after = body.partition("@")
        text += "\n\n" + before
        if place >= LEAD:
            marks.append((len(text), truth, members))
        text += truth + after
    return text, marks


def _task(
    draw: random.Random, one: _Class, classes: Sequence[_Class], key: str, kind: int
) -> tuple[str, str, frozenset[str], set[str]]:
    """A function with "@" where its point is: its text, the truth, the members, what it imports."""
    thing, new, every = one.thing, f"new_{one.thing}", f"all_{one.thing}s"
    noun, amount = draw.choice(list(one.amounts.items()))
    verb, act = draw.choice(list(one.acts.items()))
    if kind == 0:
        body = f"def {noun}_{key}() -> int:\n    {thing} = {new}()\n    {noun} = {thing}.@\n    return {noun}\n"
        return body, amount, one.members, {new}
    if kind == 1:
        body = f'def {verb}_{key}(amount: int) -> int:\n    """{verb.capitalize()} a {thing}."""\n'
        body += f"    {thing} = {new}()\n    return {thing}.@(amount)\n"
        return body, act, one.members, {new}
    if kind == 2:
        word, text = draw.choice(list(one.texts.items()))
        body = f"def {word}_{key}() -> str:\n    {thing} = {new}()\n"
        return body + f'    return f"the {word} is {{{thing}.@}}"\n', text, one.members, {new}
    if kind == 3:
        body = f"def total_{noun}_{key}() -> int:\n    total = 0\n    for {thing} in {every}():\n"
        return body + f"        total += {thing}.@\n    return total\n", amount, one.members, {every}
    inner = next(other for other in classes if one.inner and other.name == one.inner[0])
    noun, amount = draw.choice(list(inner.amounts.items()))
    body = f"def inner_{noun}_{key}() -> int:\n    {thing} = {new}()\n"
    body += f"    {inner.thing} = {thing}.open_{inner.thing}()\n    {noun} = {inner.thing}.@\n    return {noun}\n"
    return body, amount, inner.members, {new}
