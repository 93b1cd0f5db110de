"""The tests' side of a trial: split the tests, run each by itself against the other process, report each outcome.

Frames: `N` the names of the tests (JSON), `P` the tests do not parse, `S` a test starts (its index), `R` its outcome
(index, status, message), then `D` when all were run, or an end without it when the code's process ended.
"""

from __future__ import annotations

import ast
import builtins
import json
import sys
from collections.abc import Callable
from typing import Any

from thalweg.program.sandbox.child.channel import Channel
from thalweg.program.sandbox.child.program import confine
from thalweg.program.sandbox.child.remote import Remote, raised, reraise, serve_passed
from thalweg.program.sandbox.child.wire import Gone, Wire

Step = Callable[[dict], None]
LONGEST = 1500


def main(request: dict, descriptor: int) -> None:
    sys.set_int_max_str_digits(0)
    channel = Channel(descriptor, request["nonce"])
    confine(request, channel)
    sys.path.remove(request["jail"]["folder"])
    try:
        plan = _plan(request["tests"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        channel.send("P", where.encode())
        return
    channel.send("N", json.dumps([name for name, _ in plan if name]).encode())
    wire = Wire("tests", *request["wire"], remote=Remote, serve=serve_passed, raised=raised, reraise=reraise)
    wire.marker = Remote
    try:
        hello = wire.receive()
        if "failed" in hello:
            failed = str(hello["failed"]["traceback"] or hello["failed"]["kind"])
            names, problem = {}, f"the program did not load. {failed[-LONGEST:]}"
        else:
            names, problem = _namespace(wire, hello), ""
        _run_all(channel, plan, names, request["skip"], problem)
    except (Gone, KeyError, TypeError):
        return  # without D: whoever waits asks the code's process how it ended
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    channel.send("D", b"0")


def _run_all(channel: Channel, plan: list[tuple[str, Step]], names: dict, skip: int, problem: str) -> None:
    index = -1
    for name, step in plan:
        index += bool(name)
        if name and index < skip or problem and not name:
            continue
        if name:
            channel.send("S", b"%d" % index)
        status, message = ("error", problem) if problem else _outcome(step, names)
        if name:
            channel.send("R", json.dumps([index, status, message[:LONGEST]]).encode())
        elif status != "passed":
            problem = f"the tests' own set-up failed. {message}"


def _outcome(step: Step, names: dict) -> tuple[str, str]:
    try:
        step(names)
    except Gone:
        raise
    except AssertionError as error:
        return "failed", _text(error)
    except BaseException as error:
        where = error.__dict__.get("where", "")
        return "error", f"{type(error).__name__}: {_text(error)}" + (f" ({where})" if where else "")
    return "passed", ""


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Gone:
        raise
    except BaseException:
        return "it has no text"


def _namespace(wire: Wire, hello: dict) -> dict[str, Any]:
    """What the tests see: the code's names, its standard modules, and the code itself as the module `program`."""
    module = type(sys)("program")
    for name, value in hello["offered"].items():
        module.__dict__[str(name)] = wire.decode(value)
    names = {**module.__dict__, "__name__": "tests", "__builtins__": builtins}
    for name, target in hello["modules"].items():
        if target in sys.stdlib_module_names:
            names.setdefault(str(name), __import__(str(target)))
    tests = type(sys)("tests")
    tests.__dict__.update(names)
    tests.__dict__["@explain"] = _explain
    sys.modules.update(program=module, tests=tests)
    return tests.__dict__


def _plan(tests: str) -> list[tuple[str, Step]]:
    """Steps in order; those with a name are tests, the others prepare."""
    tree = ast.parse(tests)
    steps: list[tuple[str, Step]] = []
    late: list[tuple[str, Step]] = []
    for node in tree.body:
        name = ""
        if isinstance(node, ast.Assert):
            name = ast.unparse(node.test)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = ast.unparse(node)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            late.append((node.name, _calling(node.name)))
        elif isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or _is_test_case(node)):
            methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            late += [(f"{node.name}.{m}", _calling(node.name, m)) for m in methods if m.startswith("test")]
        steps.append((name[:300], _executing(node)))
    return steps + late


def _is_test_case(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).rpartition(".")[2] == "TestCase" for base in node.bases)


def _executing(node: ast.stmt) -> Step:
    made = _Explained().visit(node)
    module = ast.Module(made if isinstance(made, list) else [made], type_ignores=[])
    code = compile(ast.fix_missing_locations(module), "<tests>", "exec", dont_inherit=True)
    return lambda names: exec(code, names)


def _calling(name: str, method: str = "") -> Step:
    def step(names: dict) -> None:
        if not method:
            names[name]()
            return
        cls = names[name]
        case = cls(method) if hasattr(cls, "assertEqual") else cls()
        for moment in ("setUpClass", "setUp", "setup_method"):
            getattr(case, moment, lambda: None)()
        try:
            getattr(case, method)()
        finally:
            for moment in ("tearDown", "teardown_method", "tearDownClass"):
                getattr(case, moment, lambda: None)()

    return step


class _Explained(ast.NodeTransformer):
    """Asserts that say what both sides of a comparison were."""

    def visit_Assert(self, node: ast.Assert) -> Any:  # noqa: N802 - the name is ast's
        text, said = ast.Constant(ast.unparse(node.test)), node.msg or ast.Constant(None)
        if not (isinstance(node.test, ast.Compare) and len(node.test.ops) == 1):
            failure = _explaining(text, said)
            return ast.copy_location(ast.If(ast.UnaryOp(ast.Not(), node.test), [failure], []), node)
        sides = [("@left", node.test.left), ("@right", node.test.comparators[0])]
        sets = [ast.Assign([ast.Name(name, ast.Store())], value) for name, value in sides]
        left, right = (ast.Name(name, ast.Load()) for name, _ in sides)
        holds = ast.Compare(left, node.test.ops, [right])
        failure = _explaining(text, said, left, right)
        made = [*sets, ast.If(ast.UnaryOp(ast.Not(), holds), [failure], [])]
        return [ast.copy_location(statement, node) for statement in made]


def _explaining(*parts: ast.expr) -> ast.Raise:
    return ast.Raise(ast.Call(ast.Name("@explain", ast.Load()), list(parts), []), None)


def _explain(text: str, said: Any, *sides: Any) -> AssertionError:
    message = f"{text} does not hold" if said is None else f"{said}: {text} does not hold"
    if sides:
        left, right = (_short(side) for side in sides)
        message += f"; the left side is {left}, the right side is {right}"
    return AssertionError(message)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Gone:
        raise
    except BaseException:
        text = "without text"
    return text if len(text) <= 300 else text[:300] + "..."
