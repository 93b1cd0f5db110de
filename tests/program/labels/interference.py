"""Random flows with secret inputs: do two runs that differ only in a secret look the same at public sinks?

`probed` puts calls of a public sink into a random flow of `flow_maker`; `Trial` runs it with one argument secret, for
several values of it. `Dense` does so with a flow of `dense_flows`. `told_apart` says what a public observer could tell
apart: the calls that the sink accepted (one run may stop earlier: a violation or an error ends it), and the result
where its label is bottom.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "compile")]

import dense_flows  # noqa: E402
import flow_maker  # noqa: E402
from flow_runner import MOST_CALLS, Hung, Model, Runner, _limit, canonical  # noqa: E402

import thalweg as tw  # noqa: E402
from thalweg.errors import FlowViolation  # noqa: E402
from thalweg.program.interpret import collecting  # noqa: E402
from thalweg.program.journal import Scope, inside  # noqa: E402
from thalweg.program.labels import labelled  # noqa: E402

_SINK = """
from thalweg.errors import FlowViolation
from thalweg.program.labels import Label
PUBLIC = []


@tw.tool(effect="write", accepts=Label())
def probe(*values):
    PUBLIC.append(shown(values))


def show(*values):
    probe(*values)
"""


def probed(seed: int) -> flow_maker.Case:
    """The flow of a seed, with calls of the sink at random places."""
    chance = random.Random(seed)
    tree = ast.parse(flow_maker.make(seed).source)
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef) or function.name == "arguments":
            continue
        if not function.decorator_list:
            function = next((one for one in function.body if isinstance(one, ast.FunctionDef)), function)
        names = [one.arg for one in function.args.args]
        names += [one.id for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        for node in list(ast.walk(function)):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(node, field, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    for at in range(len(block), -1, -1):
                        if (
                            names
                            and chance.random() < 0.35
                            and not (at == 0 and isinstance(block[0], ast.Global | ast.Nonlocal))
                        ):
                            block.insert(at, _probe(chance, names))
    return flow_maker.Case(seed, _SINK + ast.unparse(ast.fix_missing_locations(tree)) + "\n")


def _probe(chance: random.Random, names: list[str]) -> ast.stmt:
    said = ", ".join(
        repr(chance.choice("abc")) if chance.random() < 0.3 else chance.choice(names)
        for _ in range(chance.randint(0, 2))
    )
    sink = chance.choice(["probe", "probe", "probe", "show"])
    caught = chance.choice(["(NameError, FlowViolation)", "NameError", "NameError", ""])
    text = f"{sink}({said})"
    return ast.parse(f"try:\n    {text}\nexcept {caught}:\n    pass" if caught else text).body[0]


_OTHERS: dict[type, list[Any]] = {
    str: ["a", "hello", "bb", "", "cab"], int: [0, 1, 3, 7, 2], list: [["a", "b", "c"], [], ["bb"], ["x", "old"]],
    dict: [{"a": 1, "b": 2}, {}, {"bb": 0, "old": 3}], type(None): [None, "m", "a"],
}  # fmt: skip


@dataclass
class Seen:
    """What a public observer sees of one run."""

    sent: list[Any]
    ended: str  # "value", "violation", or an error's name
    low: bool = False
    result: Any = None


def told_apart(runs: list[tuple[Any, Seen]]) -> list[str]:
    """How a public observer could tell two of the runs apart."""
    found = []
    for i, (value, one) in enumerate(runs):
        for other_value, other in runs[:i]:
            short, long = sorted((one, other), key=lambda seen: len(seen.sent))
            names = f"{value!r} / {other_value!r}"
            if long.sent[: len(short.sent)] != short.sent:
                found.append(f"{names}: the sink accepted {one.sent} / {other.sent}")
            elif len(short.sent) < len(long.sent) and short.ended == "value":
                found.append(f"{names}: one went on: {one} / {other}")
            if one.ended == other.ended == "value" and (one.low, one.result) != (other.low, other.result):
                found.append(f"{names}: results {one} / {other}")
    return found


class Trial:
    """Runs one random flow for several values of one secret argument."""

    def __init__(self, runner: Runner, seed: int) -> None:
        self.runner = runner
        self.case = probed(seed)
        self.module = runner.load(self.case)
        self.module.shown = lambda values: canonical(values, {})
        args, _ = self.module.arguments()
        shared = any(a is b for i, a in enumerate(args) for b in args[:i] if type(a) is list)
        self.index = random.Random(seed).randrange(len(args))
        self.values = self._values(args[self.index]) if not shared else []

    def _values(self, value: Any) -> list[Any]:
        module = self.module
        if type(value) in _OTHERS:
            return _OTHERS[type(value)]
        if isinstance(value, module.Point):
            return [module.Point("p", 1), module.Point("q", 0), module.Point("", 5)]
        return [module.Circle(2), module.Crate(1, ["t"]), module.Circle(0), module.Crate(4, [])]

    def run(self, value: Any) -> Seen | None:
        module = self.module
        module.reset()
        module.PUBLIC.clear()
        args, kwargs = module.arguments()
        args = list(args)
        args[self.index] = labelled(value, "s")
        model = Model(module.script, 0)
        before, sys.stdout = sys.stdout, _Quiet()  # type: ignore[assignment]
        seen = Seen([], "")
        try:
            with (
                inside(Scope(module.__name__)),
                tw.using(model=model, cache=False, journal=False),
                collecting() as label,
            ):
                try:
                    with _limit(3):
                        result = module.case(*args, **kwargs)
                    low = not label or not label[0]
                    seen = Seen([], "value", low, canonical(result, {}) if low else None)
                except FlowViolation:
                    seen = Seen([], "violation")
                except Exception as error:
                    seen = Seen([], type(error).__name__)
        except Hung:
            return None
        finally:
            sys.stdout = before
            model.close()
        if model.asked > MOST_CALLS:
            return None
        seen.sent = list(module.PUBLIC)
        return seen

    def differences(self) -> tuple[list[str], list[Seen]]:
        runs = [(value, seen) for value in self.values if (seen := self.run(value)) is not None]
        return told_apart(runs), [seen for _, seen in runs]

    def close(self) -> None:
        self.runner.unload(self.module)


class Dense:
    """Runs one flow of `dense_flows` for several values of its secret."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.source = dense_flows.source(seed)
        file = folder / f"dense_{seed}.py"
        file.write_text(self.source)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        self.module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.module.shown = lambda value: canonical(value, {})

    def run(self, secret: int) -> Seen:
        module = self.module
        module.reset()
        with tw.using(journal=False, cache=False), collecting() as label:
            try:
                result = module.case(labelled(secret, "s"))
                low = not label or not label[0]
                seen = Seen([], "value", low, canonical(result, {}) if low else None)
            except FlowViolation:
                seen = Seen([], "violation")
            except Exception as error:
                seen = Seen([], type(error).__name__)
        seen.sent = list(module.PUBLIC)
        return seen

    def differences(self) -> tuple[list[str], list[Seen]]:
        runs = [(value, self.run(value)) for value in (0, 1, 2, 3, 5)]
        return told_apart(runs), [seen for _, seen in runs]


class _Quiet:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass
