"""The calls a flow can make, worked out of its text: where, of what, how often, at what cost, and how many in a row.

Choose it before a flow runs: `total` bounds the number of calls, `critical` the longest chain of calls that wait for
each other, and their ratio is how much overlapping can help at best. Flows and plain functions of the same module are
looked into. Bounds hold when no call raises, and are polynomials in the lengths of loops. Cost: milliseconds.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.ir.callees import STEPS, Callee, Kind, resolver
from thalweg.program.ir.counts import Bounds, Count
from thalweg.program.ir.critical import critical_path
from thalweg.program.ir.dataflow import Dataflow, Step, dataflow
from thalweg.program.ir.nodes import FlowIR
from thalweg.program.ir.source import with_trees
from thalweg.program.ir.totals import total
from thalweg.program.ir.trips import Loop

_ONE = Bounds.of(1)
_BATCHED = ("map", "sample")


@dataclass(frozen=True)
class CallSite:
    """One place where a call is made.

    Args:
        path: of what is called, ``triage/handle/summarize``. kind: of it. verb: how (empty for a plain call).
        site, line: of the statement in the flow that makes it. depth: loops around. conditional: it may be skipped.
        calls: how often, for one run of the whole flow. tokens: of the fixed part of its prompt, None if unknown.
    """

    path: str
    kind: Kind
    verb: str
    site: str
    line: int
    depth: int
    conditional: bool
    calls: Bounds
    tokens: int | None = None


@dataclass(frozen=True)
class CallGraph:
    """Where a flow calls what.

    Args:
        sites: in program order, those of inner flows after the call that leads there.
        total: calls of learned functions, tools and unknown functions. critical: the longest chain of them.
        lengths: what the letters in the bounds stand for. unseen: what could not be looked into, and why.
    """

    name: str
    sites: tuple[CallSite, ...]
    total: Bounds
    critical: Count
    lengths: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    model: str | None = None

    @property
    def tokens(self) -> Count | None:
        """At most so many tokens in the fixed parts of all prompts; None without a model."""
        if self.model is None:
            return None
        made = Count()
        for one in self.sites:
            made += one.calls.most * Count.of(one.tokens or 0)
        return made

    def __str__(self) -> str:
        head = ("call", "kind", "line", "depth", "calls", "tokens")
        rows: list[tuple[str, ...]] = [head]
        for one in self.sites:
            name = f"{one.path}.{one.verb}" if one.verb else one.path
            tokens = f"{one.tokens}" if one.tokens is not None else ""
            rows.append((name, one.kind, f"{one.line}", f"{one.depth}", f"{one.calls}", tokens))
        used = [index for index in range(len(head)) if any(row[index] for row in rows[1:])] or [0]
        widths = {index: max(len(row[index]) for row in rows) for index in used}
        lines = ["  ".join(f"{row[index]:<{widths[index]}}" for index in used).rstrip() for row in rows]
        lines.append(f"`{self.name}`: {self.total} calls, at most {self.critical} of them one after the other")
        if self.tokens is not None:
            lines[-1] += f", at most {self.tokens} fixed tokens ({self.model})"
        lines += [f"  {name}: {what}" for name, what in self.lengths.items()]
        lines += [f"  not seen: {one}" for one in self.unseen]
        return "\n".join(lines)


def call_graph(flow: Any) -> CallGraph:
    """The calls of a flow, a plain function, or anything with a `function`.

    Token counts are given where a model was chosen (`tw.using(model=...)`, `tw.configure`) that counts tokens; no model
    is loaded or asked for this.

    Raises:
        FlowError: the source is not to be had.
    """
    from thalweg.program.compile import ir_of

    function = getattr(flow, "function", flow)
    ir = ir_of(function)
    world = _World()
    inner = _look(ir, function, ir.name, world, (function.__code__,))
    model = world.model
    return CallGraph(ir.name, tuple(inner.sites), inner.total, inner.critical, world.legend, tuple(world.unseen),
                     getattr(model, "name", None))  # fmt: skip


@dataclass
class _Inside:
    """What one function's text amounts to."""

    sites: list[CallSite]
    total: Bounds
    critical: Count


class _World:
    """What all functions of one call graph share: letters of loops, remarks, the model."""

    def __init__(self) -> None:
        self.legend: dict[str, str] = {}
        self.unseen: dict[str, None] = {}
        self.again: dict[Any, Count] = {}  # of the code of a function that calls itself: how often
        self.model = _model()
        self._known: dict[str, tuple[str, str]] = {}
        self._tokens: dict[int, int | None] = {}

    def letter(self, what: str, more: str = "") -> Count:
        """A letter for a number that nobody knows; the same one for the same number."""
        for name, known in self._known.items():
            if known == (what, more):
                return Count.symbol(name)
        used = len(self.legend)
        name = "nmkpqrstuvw"[used] if used < 11 else f"n{used}"
        self.legend[name] = what
        self._known[name] = (what, more)
        return Count.symbol(name)

    def tokens(self, one: Any) -> int | None:
        if self.model is None or one is None:
            return None
        if id(one) not in self._tokens:
            self._tokens[id(one)] = _fixed_tokens(one, self.model)
        return self._tokens[id(one)]


def _look(ir: FlowIR, function: Any, path: str, world: _World, around: tuple[Any, ...]) -> _Inside:
    ir = with_trees(ir)
    found = dataflow(ir, resolver(function))
    rounds = {loop: _rounds(loop, path, world) for loop in found.loops.values()}
    weights: dict[int, Bounds] = {}  # of a call's tree: how many calls it amounts to
    chains: dict[int, Count] = {}  # of a step: how many of them in a row
    sites: list[CallSite] = []
    for step in found.steps:
        if step.kind == "opaque" and any(isinstance(one, ast.Call) for one in _walk(ir, step)):
            world.unseen[f"`{step.text}` ({path}, line {step.line}) is run as it stands"] = None
        if step.kind != "call":
            continue
        often = _ONE.perhaps() if step.conditional else _ONE
        for loop in step.loops:
            often = often * rounds[loop]
        options = [one for one in step.callees if one.kind in STEPS]
        weight, chain = None, Count()
        for one in options:
            count = often.perhaps() if len(options) > 1 else often
            inner_sites, times, longest = _one_call(one, step, function, path, world, around, count)
            sites += inner_sites
            weight = times if weight is None else weight.either(times)
            chain = chain.upper(longest)
        weights[id(step.tree)] = weight or Bounds()
        chains[step.number] = chain
    made = _Inside(sites, total(ir, found, rounds, weights), _critical(found, chains, rounds))
    again = world.again.pop(around[-1], None)
    return made if again is None else _repeated(made, Count.of(1) + again)


def _repeated(made: _Inside, times: Count) -> _Inside:
    """What a function that calls itself amounts to, all its calls of itself together."""
    often = Bounds(Count.of(1), times)
    sites = [replace(one, calls=one.calls * often) for one in made.sites]
    return _Inside(sites, made.total * often, made.critical * times)


def _one_call(
    one: Callee, step: Step, function: Any, path: str, world: _World, around: tuple[Any, ...], often: Bounds
) -> tuple[list[CallSite], Bounds, Count]:
    """Call sites, number of calls and longest chain of one call of `one`."""
    from thalweg.program.compile import ir_of

    name = getattr(one.target, "name", None) or one.name
    times, lengthened = _ONE, f"{path}/{name}"
    if one.verb in _BATCHED:
        times = _batch(step.tree, one.verb, f"{path}/{name}", step.line, world)
    often = often * times
    near = one.kind == "flow" or (
        one.kind == "function" and getattr(one.target, "__module__", None) == getattr(function, "__module__", "")
    )
    site = CallSite(
        lengthened, one.kind, one.verb, step.site, step.line, len(step.loops), often.least == Count(), often,
        world.tokens(one.target) if one.kind == "learned" else None,
    )  # fmt: skip
    if not near:
        counted = one.kind in ("learned", "tool", "unknown")
        if one.kind == "function":
            return [], Bounds(), Count()
        if one.kind == "unknown":
            world.unseen[f"`{one.name}` ({path}, line {step.line}) is known only when it runs"] = None
        return [site], times if counted else Bounds(), Count.of(int(counted))
    inner = getattr(one.target, "function", one.target)
    code = getattr(inner, "__code__", None)
    if code is None:
        return [site], Bounds(), Count()
    if code in around:
        world.again[code] = world.letter(f"calls of `{name}` from inside itself")
        return [site], Bounds(), Count()
    try:
        found = _look(ir_of(inner), inner, lengthened, world, (*around, code))
    except FlowError as error:
        world.unseen[f"`{name}` ({path}, line {step.line}): {error.what}"] = None
        return [site], Bounds(), Count()
    deeper = [
        CallSite(
            inside.path, inside.kind, inside.verb, inside.site, inside.line, inside.depth + len(step.loops),
            inside.conditional or often.least == Count(), inside.calls * often, inside.tokens,
        )
        for inside in found.sites
    ]  # fmt: skip
    shown = [site] if one.kind == "flow" else []
    return [*shown, *deeper], found.total * times, found.critical


def _rounds(loop: Loop, path: str, world: _World) -> Bounds:
    if loop.rounds is not None:
        made = Bounds.of(loop.rounds)
    else:
        said = f"tests of `{loop.text}`" if loop.sequential else f"elements of `{loop.text}`"
        same = "" if loop.text.isidentifier() and not loop.sequential else f" {loop.number}"  # tells equal texts apart
        letter = world.letter(f"{said} ({path}, line {loop.line})", same)
        made = Bounds(letter, letter)
    return made.perhaps() if loop.may_end else made


def _batch(tree: Any, verb: str, path: str, line: int, world: _World) -> Bounds:
    """How many calls `map` or `sample` make at once."""
    if verb == "sample":
        number = next((one.value for one in tree.keywords if one.arg == "n"), ast.Constant(1))
        if isinstance(number, ast.Constant) and isinstance(number.value, int):
            return Bounds.of(number.value)
        letter = world.letter(f"draws of `{path}` (line {line})")
        return Bounds(letter, letter)
    from thalweg.program.ir.trips import length

    known = (
        length(tree.args[0], {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}, None)
        if tree.args
        else None
    )
    if known is not None:
        return Bounds.of(known)
    letter = world.letter(f"rows of `{path}.map` (line {line})")
    return Bounds(letter, letter)


def _critical(found: Dataflow, chains: Mapping[int, Count], rounds: Mapping[Loop, Bounds]) -> Count:
    return critical_path(found, chains, {loop: one.most for loop, one in rounds.items()})


def _walk(ir: FlowIR, step: Step) -> list[ast.AST]:
    node: Any = ir[step.site]
    return list(ast.walk(node.parsed()))


def _model() -> Any:
    """The model that was chosen, if it counts tokens; none is chosen here."""
    from thalweg.program.session import current, model_in_force

    session = current()
    if session.model is None:
        return None
    model = model_in_force(session)
    return model if hasattr(model, "prompt_tokens") else None


def _fixed_tokens(one: Any, model: Any) -> int | None:
    """Tokens of a learned function's prompt with empty inputs."""
    names = [entry.name for entry in one.signature.inputs]
    own = one.own.model
    if own is not None and own is not model:
        return None
    return len(model.prompt_tokens(one._request(dict.fromkeys(names, ""), one._session(), model)))
