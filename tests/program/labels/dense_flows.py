"""Random small flows in which nearly everything may depend on a secret, and nearly every statement may show it.

Three numbers, three lists that alias each other, helpers that keep and hand out, inner functions that assign; every
other statement is a branch, a loop, a `try` or a call of the public sink. `source(seed)` is a module with a flow `case`
of one argument. Choose it over `flow_maker` to find leaks; that one finds differences of meaning.
"""

from __future__ import annotations

import random

HEAD = """
import thalweg as tw
from thalweg.errors import FlowViolation
from thalweg.program.labels import Label

PUBLIC = []
SHELF = []
LAST = 0


def reset():
    global LAST
    PUBLIC.clear()
    SHELF.clear()
    LAST = 0


@tw.tool(effect="write", accepts=Label())
def probe(value):
    PUBLIC.append(shown(value))


@tw.tool(effect="write")
def write(value):
    SHELF.append(value)


@tw.tool(effect="read")
def count():
    return len(SHELF) + LAST


@tw.tool(effect="read", label=Label())
def public():
    return 1


class Box:
    def __init__(self, value):
        self.value = value

    def add(self, n):
        self.value += n
        return self


def keep(n):
    global LAST
    LAST = n
    return n


def last():
    return LAST


def put(items, n):
    items.append(n)


def fussy(n):
    if n % 3 == 1:
        raise ValueError(n)
    return n


def show(value):
    probe(value)


def twice(n):
    return 2 * n


def each(items):
    for one in items:
        yield one


def run(function, *args):
    return function(*args)
"""


class Maker:
    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.lines: list[str] = []
        self.loops = 0
        self.depth = 0
        self.inner = False
        self.flows: list[str] = []

    def source(self) -> str:
        for name in self.r.sample(["sub_a", "sub_b"], self.r.randint(0, 2)):
            self.flow(name, "a, xs", 3)
            self.flows.append(name)
        self.flow("case", "s", self.r.randint(4, 9))
        return HEAD + "\n".join(self.lines) + "\n"

    def flow(self, name: str, head: str, size: int) -> None:
        self.lines += ["", "", "@tw.flow", f"def {name}({head}):"]
        first = ["b, c = 1, 2", "ys = [3]", "zs = [xs, ys]", "box = Box(a)"]
        if name == "case":
            first = ["a, b, c = 0, 1, 2", "xs, ys = [1], [2]", "zs = [xs, ys]", "box = Box(0)"]
        self.secret = name == "case"
        for one in first:
            self.emit(one, 1)
        self.block(size, 1)
        self.emit(self.r.choice(["return a", "return xs", "return b + c", "return [a, ys]", "pass"]), 1)

    def emit(self, text: str, indent: int) -> None:
        self.lines.append("    " * indent + text)

    def block(self, size: int, indent: int) -> None:
        for _ in range(max(1, size)):
            self.statement(indent)

    def number(self, deep: int = 2) -> str:
        r = self.r
        names = ["a", "b", "c"] + (["s"] * 3 if self.secret else [])
        if deep == 0 or r.random() < 0.45:
            return r.choice([*names, *names, str(r.randint(0, 3))])
        n, m, x = self.number(deep - 1), self.number(deep - 1), self.items(deep - 1)
        return r.choice([
            f"{n} + {m}", f"{n} * 2", f"{n} % 3", f"len({x})", f"sum({x})", f"({n} if {self.test(deep - 1)} else {m})",
            f"{x}[0]", f"{x}[{n} % 2]", f"last() + {n}", f"twice({n})", f"(lambda q: q + {m})({n})", "count()", "public()",  # noqa: E501
            f"keep({n})", f"sum(q + {m} for q in {x})", f"({n} or {m})", "box.value", f"box.add({n}).value", f"run(twice, {n})",  # noqa: E501
            f"max({x}, default={n})", f"({self.r.choice('abc')} := {n})", f"int({self.test(deep - 1)})", f"[{n}, {m}][{self.r.choice('abc')} % 2]",  # noqa: E501
        ])  # fmt: skip

    def test(self, deep: int = 1) -> str:
        n, m = self.number(deep), self.number(deep)
        return self.r.choice([f"{n} > {m}", f"{n} % 2", f"{n} == {m}", f"{n} > 0 and {m} > 0", f"not {n}", f"{n} in {self.items(deep)}",  # noqa: E501
                              f"{self.items(0)} is {self.items(0)}", f"0 <= {n} < {m}"])  # fmt: skip

    def items(self, deep: int = 1) -> str:
        r = self.r
        if deep == 0 or r.random() < 0.6:
            return r.choice(["xs", "ys", "zs[0]", "zs[1]"])
        n = self.number(deep - 1)
        return r.choice([f"[{n}]", f"[{n}, {self.number(deep - 1)}]", f"{self.items(0)} + [{n}]", f"[q + {n} for q in {self.items(0)}]",  # noqa: E501
                         f"[q for q in {self.items(0)} if q > {n}]", f"({self.items(0)} if {self.test(0)} else {self.items(0)})",  # noqa: E501
                         f"zs[{n} % 2]", f"sorted({self.items(0)}, key=lambda q: q * {n})", f"list(each({self.items(0)}))",  # noqa: E501
                         f"{self.items(0)}[:{n}]", f"list(range({n} % 4))"])  # fmt: skip

    def statement(self, indent: int) -> None:
        r = self.r
        kind = r.choices(
            ["simple", "probe", "if", "while", "for", "try", "def", "match", "with", "leave"],
            [10, 9, 8 if indent < 4 else 0, 2 if indent < 3 else 0, 3 if indent < 3 else 0, 3 if indent < 4 else 0,
             1.5 if indent < 3 and not self.inner else 0, 1.5 if indent < 4 else 0, 1 if indent < 4 else 0, 1.5 if indent > 1 else 0],  # noqa: E501
        )[0]  # fmt: skip
        getattr(self, f"do_{kind}")(indent)

    def do_simple(self, indent: int) -> None:
        r = self.r
        name, other = r.choice("abc"), r.choice(["xs", "ys"])
        self.emit(r.choice([
            f"{name} = {self.number()}", f"{name} += {self.number(1)}", f"{other} = {self.items()}", f"{other}.append({self.number()})",  # noqa: E501
            f"{other} += [{self.number(1)}]", f"{other}[0:] = {self.items(1)}", f"zs[{self.number(1)} % 2] = {self.items(0)}",  # noqa: E501
            f"zs[0], zs[1] = {self.items(0)}, {self.items(0)}", f"zs = [{self.items(0)}, {self.items(0)}]", f"put({self.items(1)}, {self.number(1)})",  # noqa: E501
            f"keep({self.number(1)})", f"write({self.number(1)})", f"fussy({self.number(1)})", f"{self.items(0)}.append({self.number(1)})",  # noqa: E501
            f"{name} = fussy({self.number(1)})", f"box = {r.choice(['box', 'Box(a)', 'Box(len(xs))'])}", f"box.value = {self.number(1)}",  # noqa: E501
            f"box.add({self.number(1)})", f"{self.items(0)}.pop()", f"{name}, *{other} = [{self.number(1)}, *{self.items(0)}]",  # noqa: E501
            f"{self.test(1)} and {self.items(0)}.append({self.number(0)})", f"SHELF.append({self.number(1)})", f"del {self.items(0)}[0]",  # noqa: E501
            f"({r.choice(['twice', 'keep', 'fussy'])} if {self.test(0)} else {r.choice(['twice', 'keep'])})({self.number(0)})",  # noqa: E501
            *[f"{name} = {one}({self.number(1)}, {self.items(0)}) or 0" for one in self.flows[:1]],
            *[f"{other} = [{one}({self.number(1)}, {self.items(0)})] and {self.items(0)}" for one in self.flows],
        ]), indent)  # fmt: skip

    def do_probe(self, indent: int) -> None:
        r = self.r
        what = r.choice(
            [
                "a",
                "b",
                "c",
                "xs",
                "ys",
                "zs",
                "box.value",
                "1",
                "len(xs)",
                "last()",
                "count()",
                "LAST",
                "SHELF",
                "a + b",
                "xs[0]",
            ]
        )
        text = f"{r.choice(['probe', 'probe', 'probe', 'show'])}({what})"
        if r.random() < 0.6:
            self.emit("try:", indent)
            self.emit(text, indent + 1)
            self.emit("except FlowViolation:", indent)
            self.emit("pass", indent + 1)
        else:
            self.emit(text, indent)

    def do_if(self, indent: int) -> None:
        self.emit(f"if {self.test()}:", indent)
        self.block(self.r.randint(1, 2), indent + 1)
        if self.r.random() < 0.5:
            self.emit("else:", indent)
            self.block(self.r.randint(1, 2), indent + 1)

    def do_while(self, indent: int) -> None:
        self.loops += 1
        name = f"n{self.loops}"
        self.emit(f"{name} = 0", indent)
        self.emit(f"while {name} < {self.number(1)} and {name} < 4:", indent)
        self.emit(f"{name} += 1", indent + 1)
        self.loop(indent)

    def do_for(self, indent: int) -> None:
        self.emit(f"for {self.r.choice('abc')} in {self.items(2)}[:4]:", indent)
        self.loop(indent)

    def loop(self, indent: int) -> None:
        self.depth += 1
        self.block(self.r.randint(1, 3), indent + 1)
        self.depth -= 1
        if self.r.random() < 0.25:
            self.emit("else:", indent)
            self.block(1, indent + 1)

    def do_try(self, indent: int) -> None:
        self.emit("try:", indent)
        self.block(self.r.randint(1, 3), indent + 1)
        self.emit(
            f"except {self.r.choice(['ValueError', '(ValueError, IndexError)', 'Exception'])} as problem:", indent
        )
        self.emit(
            self.r.choice(["pass", "a = len(problem.args)", "xs.append(1)", "b = str(problem)[:1] and 1"]), indent + 1
        )
        self.block(1, indent + 1)
        if self.r.random() < 0.25:
            self.emit("else:", indent)
            self.block(1, indent + 1)
        if self.r.random() < 0.25:
            self.emit("finally:", indent)
            self.block(1, indent + 1)

    def do_with(self, indent: int) -> None:
        self.emit("with __import__('contextlib').suppress(ValueError, IndexError):", indent)
        self.block(self.r.randint(1, 2), indent + 1)

    def do_match(self, indent: int) -> None:
        self.emit(f"match [{self.number(1)}, {self.number(1)}, {self.items(0)}]:", indent)
        for case in self.r.sample(["[0, b, _]", "[a, 1, [_, *_]]", "[_, _, []]", f"[c, _, ys] if {self.test(0)}"], 2):
            self.emit(f"case {case}:", indent + 1)
            self.block(1, indent + 2)

    def do_def(self, indent: int) -> None:
        self.loops += 1
        name = f"inner{self.loops}"
        self.emit(f"def {name}(q={self.number(0)}):", indent)
        self.emit(self.r.choice([f"nonlocal {self.r.choice('abc')}", "pass"]), indent + 1)
        assigned = self.lines[-1].split()[-1]
        body = f"{assigned} = {self.number(1)}" if assigned != "pass" else f"{self.items(0)}.append({self.number(0)})"
        if assigned != "pass" and f"{assigned} :=" in body:
            body = f"{assigned} = q"
        if ":=" in body:
            body = "xs.append(q)" if assigned == "pass" else f"{assigned} = q + 1"
        self.emit(body, indent + 1)
        self.emit("return q", indent + 1)
        self.block(1, indent)
        if self.r.random() < 0.5:
            self.emit(f"if {self.test()}:", indent)
            self.emit(f"{name}({self.number(0)})", indent + 1)
        else:
            self.emit(f"{self.r.choice('abc')} = {name}()", indent)

    def do_leave(self, indent: int) -> None:
        options = ["return a", "return", "raise ValueError(a)"] + (["break", "continue"] * 2 if self.depth else [])
        self.emit(f"if {self.test()}:", indent)
        self.emit(self.r.choice(options), indent + 1)


def source(seed: int) -> str:
    """The module of a seed."""
    return Maker(seed).source()
