"""Flows as text, written at random, and flows of the standard library: what the laws of the IR are checked on."""

from __future__ import annotations

import ast
import random
import re
import textwrap
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from thalweg.errors import FlowError
from thalweg.program.ir import FlowIR, read_source

LOCALS = ("mail", "rows", "left", "best")
ATOMS = (*LOCALS, *LOCALS, "1", "-2.5", "True", "None", r"'a\nb'", "b'x'", "...", "THRESHOLD", "1j", "u'ü'", "''")
EXPRESSIONS = (
    "judge(E, k=E)", "sort(E, k=E)", "tools.search(E)", "len(E)", "(E + E)", "(E - E)", "(E == E)", "(E < E < E)",
    "(E and E)", "(E or E)", "(E in E)", "(E is not E)", "(E @ E)", "(E ** E)", "[E for x in E if x]",
    "{y: E for x, *y in E for z in x}", "(lambda x, *y, z=E: E + x)", "(E if E else mail)", "E[E:]", "(not E)",
    "(E).strip(*rows, **best)", "(E, *rows)", "{'k': E, **best}", "f'{L!r:>{left}} {{ x'", "(left := E)",
    "(x for x in E)", "E[E, ::E]", "{E, L}",
)  # fmt: skip
TARGETS = ("mail", "rows", "left, best", "left, *rows", "best.x", "rows[0]", "(left, (mail, best))")
SIMPLE = (
    "T = E", "T = E", "rows = best = E", "left: list[int] = E", "left += E", "rows[0] @= E", "sort(E)", "return E",
    "assert E, 'never'", "raise ValueError(E) from left", "pass", "return", "import os as best", "del left",
    "best: int", "raise", "global THRESHOLD",
)  # fmt: skip
COMPOUND = (
    "if E:\n<>\nelse:\n<>", "if E:\n<>\nelif mail:\n    pass", "for T in E:\n<>\n    break\nelse:\n    pass",
    "while E:\n<>\n    continue", "with open(E) as best, mail:\n<>", "def inner(x=left):\n    '''A\n    text.'''\n<>",
    "match E:\n    case Ticket(label=left, kind='x') if E:\n    <>\n    case [mail, *rows]:\n        pass\n"
    "    case None | -1 | str():\n        pass\n    case {'k': mail, **rows}:\n        pass\n"
    "    case best:\n        pass",
    "try:\n<>\nexcept (ValueError, KeyError) as best:\n<>\nexcept Exception:\n    raise\nelse:\n    pass\n"
    "finally:\n    left = 1",
)  # fmt: skip
HEADS = [
    "def flow(mail, rows=(), *, left: int = 1, **best) -> 'Ticket | None':\n    '''Has \\\\ and \"\"\".'''",
    "async def flow(mail: str, /, rows: list[str], *left):",
    "def flow():\n    '''Two\n\n    lines.\t'''",
    "def flow(mail, *, rows, left=None, best='x'):",
]
PLAIN_HEAD = "def flow(mail, rows, left, best):"


def expression(rng: random.Random, depth: int) -> str:
    """An expression at random."""
    made = rng.choice(EXPRESSIONS if depth and rng.random() < 0.7 else ATOMS)
    return filled(made, rng, depth)


def filled(pattern: str, rng: random.Random, depth: int) -> str:
    """A pattern with its capitals replaced: E by expressions, T by targets, L by local names."""
    words = re.split(r"\b([ETL])\b", pattern)
    for index in range(1, len(words), 2):
        words[index] = {
            "E": lambda: expression(rng, depth - 1),
            "T": lambda: rng.choice(TARGETS),
            "L": lambda: rng.choice(LOCALS),
        }[words[index]]()
    return "".join(words)


def block(rng: random.Random, depth: int) -> str:
    """Statements at random."""
    lines = []
    for _ in range(rng.randint(1, 3)):
        one = filled(rng.choice(COMPOUND if depth and rng.random() < 0.6 else SIMPLE), rng, 2)
        while "<>" in one:
            at = one.index("<>")
            margin = at - one.rfind("\n", 0, at) - 1
            inner = textwrap.indent(block(rng, depth - 1), " " * (4 + margin)).lstrip(" ")
            one = f"{one[:at]}    {inner}{one[at + 2 :]}"
        lines.append(one)
    return "\n".join(lines)


def source(seed: int, head: str | None = None) -> str:
    """A flow at random that Python takes."""
    rng = random.Random(seed)
    while True:
        body = textwrap.indent(block(rng, rng.randint(0, 2)), "    ")
        text = f"{head or rng.choice(HEADS)}\n{body}\n"
        if _readable(text):
            return text


def _readable(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<flow>", "exec")
        ast.unparse(ast.parse(text))
        read_source(text)
    except (SyntaxError, ValueError, FlowError, RecursionError):
        return False
    return True


SEEDS = st.integers(0, 2**40)
SOURCES = SEEDS.map(source)
ALL_LOCAL = SEEDS.map(lambda seed: source(seed, PLAIN_HEAD))


@cache
def real_flows() -> tuple[FlowIR, ...]:
    """Every function of some modules of the standard library that is no generator."""
    import argparse
    import dataclasses
    import json.encoder
    import statistics

    found: list[FlowIR] = []
    modules: list[Any] = [argparse, dataclasses, json.encoder, statistics, textwrap]
    for module in modules:
        for one in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                one.decorator_list = []
                try:
                    found.append(read_source(ast.unparse(one)))
                except (FlowError, ValueError, SyntaxError):
                    continue
    return tuple(found)
