"""Run a random flow both ways and compare everything that could tell the two runs apart.

`compare(case)` loads the case's module, runs its flow eagerly and compiled, each from the same state, and gives a
`Verdict`. Compared are the result with its types and with which mutable objects are the same one, the exception, every
effect in order (tools, prints, helpers), the globals and arguments afterwards, and the journal as a set. `late` looks
again later: a compiled flow must leave nothing behind that still acts. `shrink` makes a failing case small.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import linecache
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import flow_maker

import thalweg as tw
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request
from thalweg.program.journal import Scope, inside
from thalweg.program.store import Store

MOST_CALLS = 150  # a case with more is left out


class Hung(BaseException):
    """A run that took too long."""


class Model(ScriptedModel):
    """The scripted model of a case, with random delays; knows whether anything it was asked is still under way."""

    def __init__(self, script: Callable[[Request], str], salt: int) -> None:
        super().__init__(self._slowly, identity="flow maker", max_concurrency=6)
        self.told = script
        self.salt = salt
        self.slow = False
        self.asked = 0
        self.active = self.most = 0
        self._out = 0
        self._idle = threading.Condition()

    def submit(self, request: Request) -> Future[Answer]:
        with self._idle:
            self._out += 1
            self.asked += 1
            self.most = max(self.most, self._out)
        made: Future[Answer] = Future()

        def done(inner: Future[Answer]) -> None:
            error = inner.exception()
            made.set_exception(error) if error is not None else made.set_result(inner.result())
            with self._idle:  # after what was to happen with the answer
                self._out -= 1
                self._idle.notify_all()

        super().submit(request).add_done_callback(done)
        return made

    def settle(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: self._out == 0, 10)

    def _slowly(self, request: Request) -> str:
        if self.slow:
            code = blake2b(f"{request.messages[-1].content}{self.salt}".encode(), digest_size=2).digest()
            said = request.messages[-1].content
            if "slow" in said:
                time.sleep(0.04 if "slower" in said else 0.01)
            elif code[0] % 3:
                time.sleep(code[1] / 256 * 0.002)
        if self.asked > MOST_CALLS:
            raise tw.errors.ModelError("too many calls.", "Ask less.")
        return self.told(request)


@dataclass
class Outcome:
    """What one run could be told by."""

    result: Any
    effects: list[Any]
    after: Any
    journal: list[tuple[Any, ...]]
    calls: int = 0
    most: int = 0
    hung: bool = False

    def differences(self, other: Outcome) -> list[str]:
        found = []
        if self.hung or other.hung:
            return ["one of the runs hung"] if self.hung != other.hung else []
        for name in ("result", "effects", "after", "journal"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine == its:
                continue
            if name == "journal":
                only, its_only = [x for x in mine if x not in its], [x for x in its if x not in mine]
                found.append(f"journal\n   eager only: {_short(only)}\n   compiled only: {_short(its_only)}")
            else:
                found.append(f"{name}\n   eager:    {_short(mine)}\n   compiled: {_short(its)}")
        return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else text[:1500] + "..."


@dataclass
class Verdict:
    case: flow_maker.Case
    eager: Outcome
    compiled: Outcome
    module: Any
    skipped: bool = False
    run: str = ""
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([f"FLOW_SEED={self.case.seed}", *self.differences, self.case.source])


class Runner:
    """Runs cases in one store; cases are files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.runs = 0
        world = folder / "flow_world.py"
        world.write_text(flow_maker.WORLD)
        self.world = compile(flow_maker.WORLD, str(world), "exec")

    def close(self) -> None:
        self.store.close()

    def load(self, case: flow_maker.Case, again: bool = False) -> Any:
        """The case as a module. `again`: as a new one of the same name, so that nothing is left of the last run."""
        self.runs += not again
        name = f"flow_case_{self.runs}"
        file = self.folder / f"{name}.py"
        file.write_text(case.source)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        exec(self.world, module.__dict__)
        exec(compile(case.source, str(file), "exec"), module.__dict__)
        return module

    def unload(self, module: Any) -> None:
        sys.modules.pop(module.__name__, None)
        linecache.cache.pop(module.__file__, None)
        Path(module.__file__).unlink(missing_ok=True)

    def outcome(self, module: Any, run: Callable[..., Any], model: Model, name: str, seconds: float) -> Outcome:
        module.reset()
        args, kwargs = module.arguments()
        model.asked = model.most = 0
        before = sys.stdout
        hung = False
        with inside(Scope(name)), tw.using(model=model, cache=False, store=self.store):
            sys.stdout = _Printed(module.LOG)  # type: ignore[assignment]
            try:
                with _limit(seconds):
                    try:
                        result: tuple[Any, ...] = ("value", run(*args, **kwargs))
                    except (Exception, SystemExit) as error:
                        result = ("error", error)
            except Hung:
                hung, result = True, ("hung",)
            finally:
                sys.stdout = before
        if not hung:
            model.settle()
        seen: dict[int, int] = {}
        made = canonical(result, seen)
        after = canonical((args, kwargs, module.SHELF, module.TABLE, module.KEPT, module.BOX, module.COUNT), seen)
        return Outcome(
            made, canonical(module.LOG, {})[1], after, [] if hung else self.journal(name), model.asked, model.most, hung
        )

    def journal(self, run: str) -> list[tuple[Any, ...]]:
        return sorted(
            [
                (c.path, c.kind, c.function, c.key, c.inputs, c.value, c.error, c.model, c.seed)
                for c in self.store.calls(run)
            ],
            key=str,
        )

    def compare(self, case: flow_maker.Case, salt: int = 0, seconds: float = 10.0) -> Verdict:
        module = self.load(case)
        model = Model(module.script, salt)
        names = f"{module.__name__}-eager", f"{module.__name__}-compiled"
        try:
            eager = self.outcome(module, module.case.eager, model, names[0], seconds)
            if eager.hung or eager.calls > MOST_CALLS:
                return Verdict(case, eager, eager, module, skipped=True, run=names[1])
            module = self.load(case, again=True)
            model.told, model.slow = module.script, True
            compiled = self.outcome(module, module.case, model, names[1], seconds)
        finally:
            model.close()
            self.store.forget(names[0])
        return Verdict(case, eager, compiled, module, run=names[1], differences=eager.differences(compiled))

    def late(self, verdict: Verdict) -> list[str]:
        """What happened after a run had ended. Forgets the run."""
        found = []
        if not verdict.skipped and not verdict.compiled.hung:
            if canonical(verdict.module.LOG, {})[1] != verdict.compiled.effects:
                found.append(f"effects after the end: {verdict.module.LOG[len(verdict.compiled.effects) :]}")
            if (now := self.journal(verdict.run)) != verdict.compiled.journal:
                found.append(f"journalled after the end: {[one for one in now if one not in verdict.compiled.journal]}")
        self.store.forget(verdict.run)
        self.unload(verdict.module)
        return found

    def fails(
        self, case: flow_maker.Case, tries: int = 3, seconds: float = 5.0, *, strict: bool = False
    ) -> Verdict | None:
        """A verdict with differences, if some schedule shows any. `strict`: a case that cannot be compared is one."""
        for salt in range(tries):
            try:
                verdict = self.compare(case, salt, seconds)
            except Exception:
                if strict:
                    raise
                return None  # not a module
            time.sleep(0.003)
            late = self.late(verdict)
            if not verdict.differences:
                verdict.differences = late
            if strict and verdict.skipped:
                verdict.differences = ["the eager run took too long or asked too much: nothing was compared"]
            if verdict.differences:
                return verdict
        return None


class _Printed:
    """In the place of standard output: what is printed is an effect among the others."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def write(self, text: str) -> int:
        self.log.append(("print", text))
        return len(text)

    def flush(self) -> None:
        pass


def canonical(value: Any, seen: dict[int, int]) -> Any:
    """A value as plain comparable data: types, contents, and which mutable objects are one and the same."""
    kind = type(value)
    if kind is str:  # addresses differ from run to run
        return ("str", re.sub(r"0x[0-9a-f]+", "0x", value) if "0x" in value else value)
    if value is None or kind in (int, bool, float, bytes):
        return (kind.__name__, value)
    fields = hasattr(kind, "__dataclass_fields__")
    mutable = kind in (list, dict, set) or fields
    if mutable:
        if id(value) in seen:
            return ("again", seen[id(value)])
        seen[id(value)] = len(seen)
    if kind is dict:
        return ("dict", [(canonical(key, seen), canonical(one, seen)) for key, one in value.items()])
    if kind in (list, tuple) or isinstance(value, tuple):
        return (kind.__name__, [canonical(one, seen) for one in value])
    if kind in (set, frozenset):
        return (kind.__name__, sorted([canonical(one, {}) for one in value], key=repr))
    if isinstance(value, BaseException):
        notes = list(getattr(value, "__notes__", ()))
        return (kind.__name__, str(value), canonical(value.args, seen), notes, canonical(value.__cause__, seen))
    if fields and kind.__module__.startswith("flow_case"):
        return (
            kind.__name__,
            [canonical(getattr(value, one.name, "unset"), seen) for one in dataclasses.fields(value)],
        )
    return ("object", kind.__module__, kind.__qualname__, getattr(value, "__qualname__", ""))


# -- limits of time ---------------------------------------------------------------------------------------------------

_deadline: list[float | None] = [None]
_watching = threading.Event()


def _raise_hung(*_: Any) -> None:
    if _deadline[0] is not None and time.monotonic() > _deadline[0]:
        raise Hung


def _watch() -> None:
    while True:
        time.sleep(0.2)
        until = _deadline[0]
        if until is not None and time.monotonic() > until:
            signal.raise_signal(signal.SIGUSR1)


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise `Hung` in the main thread after so many seconds, again and again until it gets out."""
    if not _watching.is_set():
        _watching.set()
        signal.signal(signal.SIGUSR1, _raise_hung)
        threading.Thread(target=_watch, daemon=True).start()
    _deadline[0] = time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline[0] = None


# -- making failures small --------------------------------------------------------------------------------------------


def shrink(runner: Runner, case: flow_maker.Case, seconds: float = 60.0, tries: int = 4) -> Verdict | None:
    """The smallest case found that still fails; None where the failure does not show again."""
    best = runner.fails(case, 8)
    if best is None:
        return None
    kind = _kind(best)
    until = time.monotonic() + seconds
    changed = True
    while changed:
        changed = False
        for way in ("statements", "hoist", "expressions"):
            index = 0
            while index < sum(1 for _ in ast.walk(ast.parse(best.case.source))):
                found = None
                for text in _smaller(best.case.source, index, way):
                    if time.monotonic() > until:
                        return best
                    found = runner.fails(flow_maker.Case(case.seed, text), tries, 2.0)
                    if found is not None and _kind(found) == kind:
                        best, changed = found, True
                        break
                    found = None
                if found is None:
                    index += 1
    return best


def _kind(verdict: Verdict) -> tuple[Any, ...]:
    """What goes wrong, so that making a case small does not end at another failure."""
    names = {one.split("\n")[0].split(" ")[0] for one in verdict.differences}
    first = next((one for one in ("result", "effects", "after", "journal") if one in names), "other")
    ends = [_error(one) for one in (verdict.eager, verdict.compiled)]
    return first, *(ends if first == "result" else [])


def _error(outcome: Outcome) -> str:
    if outcome.hung:
        return "hung"
    return outcome.result[1][1][0] if outcome.result[1][0][1] == "error" else ""


def _smaller(source: str, index: int, way: str) -> Iterator[str]:
    """Sources with something at one node left out, the boldest cuts first."""
    tree = ast.parse(source)
    shortest = len(ast.unparse(tree))
    node = next(one for number, one in enumerate(ast.walk(tree)) if number == index)
    if any(one is node for part in tree.body if getattr(part, "name", "") == "arguments" for one in ast.walk(part)):
        return
    for made in _cuts(tree, node, way):
        try:
            text = ast.unparse(ast.fix_missing_locations(made))
            compile(text, "smaller", "exec")
        except Exception:
            continue
        if len(text) < shortest:
            yield text + "\n"


def _cuts(tree: ast.Module, node: ast.AST, way: str) -> Iterator[ast.Module]:
    lists = [(name, value) for name, value in ast.iter_fields(node) if isinstance(value, list) and value]
    if way == "statements":
        for _, value in lists:
            if isinstance(value[0], ast.stmt | ast.ExceptHandler | ast.match_case):
                kept = list(value)
                for size in (len(kept) // 2, 1):
                    for start in range(0, len(kept), max(1, size)):
                        if size:
                            value[:] = kept[:start] + kept[start + size :] or [ast.Pass()]
                            yield tree
                value[:] = kept
    elif way == "hoist":
        for _, value in lists:
            kept = list(value)
            for at, one in enumerate(kept):
                if isinstance(one, ast.stmt) and not isinstance(one, ast.FunctionDef):
                    for name in ("body", "orelse", "finalbody"):
                        inner = getattr(one, name, None)
                        if isinstance(inner, list) and inner:
                            value[:] = kept[:at] + inner + kept[at + 1 :]
                            yield tree
                    value[:] = kept
    elif isinstance(node, ast.expr | ast.stmt | ast.keyword | ast.comprehension | ast.match_case):
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr) and not isinstance(getattr(value, "ctx", None), ast.Store):
                for other in [
                    *[one for one in ast.iter_child_nodes(value) if isinstance(one, ast.expr)],
                    ast.Constant("a"),
                    ast.Constant(1),
                ]:
                    if not isinstance(value, ast.Constant):
                        setattr(node, name, other)
                        yield tree
                setattr(node, name, value)
            elif isinstance(value, list) and value and isinstance(value[0], ast.expr | ast.keyword | ast.withitem):
                kept = list(value)
                for at, one in enumerate(kept):
                    value[:] = kept[:at] + kept[at + 1 :]
                    yield tree
                    if isinstance(one, ast.expr):
                        for other in ast.iter_child_nodes(one):
                            if isinstance(other, ast.expr):
                                value[:] = [*kept[:at], other, *kept[at + 1 :]]
                                yield tree
                value[:] = kept
