"""The semantic-variable graph: calls as templates over named variables, and what feeds what.

A call's prompt is text with ``{{variable}}`` in it; its answer is another variable. Calls connect by variables, so a
program of several calls is a directed acyclic graph, known before anything runs. Between calls stand transforms: data
only (a regular expression, a path into JSON, a template), never code. Choose it to send a program whole.

Source: Lin et al. 2024, "Parrot: Efficient Serving of LLM-based Applications with Semantic Variable". Cost: some
microseconds a node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

from thalweg.errors import GraphError
from thalweg.models.request import Format, Sampling
from thalweg.scheduling.call_graph import topological

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")
FREE_TEXT = Format("text", max_chars=4000)


@dataclass(frozen=True)
class Call:
    """One call of the model.

    Args:
        output: the variable that its answer becomes.
        template: the prompt; ``{{name}}`` stands for a variable's value.
        system: fixed text before it, the same for every call of one kind.
        format: the texts that may be answered.
        sampling, stop: as in `Request`.
        chat: put the prompt into the model's chat template; False continues the text as it stands.
    """

    output: str
    template: str
    system: str = ""
    format: Format = FREE_TEXT
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    chat: bool = True

    @cached_property
    def parts(self) -> tuple[tuple[str, bool], ...]:
        """The template cut at its variables: (text, False) or (variable, True), in order."""
        return tuple(_parts(self.template))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Variables it reads, each once, in the order of their first place."""
        return tuple(dict.fromkeys(text for text, is_variable in self.parts if is_variable))


@dataclass(frozen=True)
class Transform:
    """A variable made from others without a model.

    Args:
        output: the variable made.
        kind: ``regex`` the first match of `spec` in `input` (RE2 syntax, linear time; the group named ``value`` if it
            has one); ``json`` the field at the path `spec` ("items.0.name") of the JSON text `input`; ``template`` the
            text `spec` with its ``{{variables}}`` filled in.
        input: what a ``regex`` or ``json`` reads.
    """

    output: str
    kind: Literal["regex", "json", "template"]
    spec: str
    input: str = ""

    @cached_property
    def parts(self) -> tuple[tuple[str, bool], ...]:
        return tuple(_parts(self.spec)) if self.kind == "template" else ((self.input, True),)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for text, is_variable in self.parts if is_variable))


Node = Call | Transform


@dataclass(frozen=True)
class Graph:
    """Nodes in the order they were given, and the values of variables that no node makes.

    Raises:
        GraphError: two nodes make one variable, a variable has neither node nor value, or nodes wait for each other.
    """

    nodes: tuple[Node, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    def extended(self, nodes: Iterable[Node], values: Mapping[str, str] | None = None) -> Graph:
        """This graph with more nodes and values."""
        values = values or {}
        for name in values:
            if name in self.values or name in self.producers:
                raise GraphError(f"The variable {name!r} has a value already.", "Give the new value another name.")
        return Graph((*self.nodes, *nodes), {**self.values, **values})

    @cached_property
    def producers(self) -> dict[str, Node]:
        return {node.output: node for node in self.nodes}

    @cached_property
    def readers(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def producer(self, variable: str) -> Node | None:
        """The node that makes a variable; None where it was given."""
        return self.producers.get(variable)

    def consumers(self, variable: str) -> tuple[Node, ...]:
        """The nodes that read a variable, in the order they were given."""
        return self.readers.get(variable, ())

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """All nodes, each after what it reads."""
        return topological(self.nodes, lambda node: node.output, lambda node: node.inputs)

    @cached_property
    def levels(self) -> dict[str, int]:
        """Of each variable: 0 if it was given, else one more than the highest level read, transforms not counted."""
        found = dict.fromkeys(self.values, 0)
        for node in self.order:
            highest = max((found[name] for name in node.inputs), default=0)
            found[node.output] = highest + isinstance(node, Call)
        return found

    def above(self, variable: str) -> tuple[Node, ...]:
        """The nodes a variable needs, each after what it reads."""
        needed, waiting = {variable}, [variable]
        while waiting:
            node = self.producers.get(waiting.pop())
            for name in node.inputs if node is not None else ():
                if name not in needed:
                    needed.add(name)
                    waiting.append(name)
        return tuple(node for node in self.order if node.output in needed)

    def prefix_hashes(self, node: Node) -> tuple[str, ...]:
        """One hash for each boundary between text and variable in a node's text, over all that stands before it.

        A variable counts by its value where it was given, else by everything that it is made of. So equal hashes mean
        equal texts (for greedy calls), in whatever graph, session or tenant they stand.
        """
        return self._hashes[node.output][:-1]

    @cached_property
    def _hashes(self) -> dict[str, tuple[str, ...]]:
        """By output; the last hash of each is the identity of the variable made."""
        known = {name: _hash("given", value) for name, value in self.values.items()}
        found: dict[str, tuple[str, ...]] = {}
        for node in self.order:
            begin = ("call", node.system, str(node.chat)) if isinstance(node, Call) else ("transform", node.kind)
            state = _hash(*begin)
            hashes = []
            for text, is_variable in node.parts:
                state = _hash(state, known[text]) if is_variable else _hash(state, "text", text)
                hashes.append(state)
            if isinstance(node, Call):
                made = _hash(state, "answer", node.format.digest, repr((node.sampling, node.stop)))
            else:
                made = _hash(state, node.spec)
            known[node.output] = made
            found[node.output] = (*hashes, made)
        return found


def node_to_json(node: Node) -> dict[str, Any]:
    """A node as JSON data; what has its default is left out."""
    if isinstance(node, Transform):
        made = {"transform": node.kind, _SPEC[node.kind]: node.spec, "output": node.output}
        return made | ({"input": node.input} if node.input else {})
    made: dict[str, Any] = {"template": node.template, "output": node.output}
    if node.system:
        made["system"] = node.system
    if node.format != FREE_TEXT:
        made["format"] = _changed(node.format, Format("text")) | {"kind": node.format.kind}
    if said := _changed(node.sampling, Sampling()):
        made["sampling"] = said
    if node.stop:
        made["stop"] = list(node.stop)
    return made if node.chat else made | {"chat": False}


def node_from_json(data: Any, place: str = "") -> Node:
    """The node that JSON data describes (see `node_to_json`).

    Args:
        place: where it stands, for messages.

    Raises:
        GraphError: it describes none, saying what is wrong.
    """
    if not isinstance(data, Mapping):
        raise GraphError(f"{place or 'A call'} is {data!r}, no object.", 'Write {"template": "...", "output": "..."}.')
    kind = data.get("transform")
    if kind is not None:
        if kind not in _SPEC:
            raise GraphError(f"{place}: there is no transform {kind!r}.", f"Choose one of {', '.join(_SPEC)}.")
        wanted = {"output": str, _SPEC[kind]: str} | ({} if kind == "template" else {"input": str})
        said = _fields(data, {"transform": str, **wanted}, wanted, place)
        return Transform(said["output"], kind, said[_SPEC[kind]], said.get("input", ""))
    allowed: dict[str, Any] = {
        "template": str, "output": str, "system": str, "format": Mapping, "sampling": Mapping, "stop": list,
        "chat": bool,
    }  # fmt: skip
    said = _fields(data, allowed, {"template": str, "output": str}, place)
    if not all(isinstance(one, str) and one for one in said.get("stop", ())):
        raise GraphError(f"{place}: `stop` holds something that is no text.", "Give a list of texts.")
    return Call(
        said["output"], said["template"], said.get("system", ""),
        _record(Format, said["format"], f"{place}: `format`") if "format" in said else FREE_TEXT,
        _record(Sampling, said.get("sampling", {}), f"{place}: `sampling`"),
        tuple(said.get("stop", ())), said.get("chat", True),
    )  # fmt: skip


_SPEC = {"regex": "pattern", "json": "path", "template": "template"}


def _parts(template: str) -> Iterator[tuple[str, bool]]:
    at = 0
    for match in PLACEHOLDER.finditer(template):
        if match.start() > at:
            yield template[at : match.start()], False
        yield match[1], True
        at = match.end()
    if at < len(template):
        yield template[at:], False


def _check(graph: Graph) -> None:
    made: set[str] = set()
    for node in graph.nodes:
        for name in (node.output, *node.inputs):
            if not NAME.fullmatch(name):
                raise GraphError(
                    f"{name[:80]!r} cannot name a variable.", "Use a letter, then letters, digits, `_`, `-` and `.`."
                )
        if node.output in made or node.output in graph.values:
            raise GraphError(f"The variable {node.output!r} is made twice.", "Give every output a name of its own.")
        made.add(node.output)
        if isinstance(node, Call) and PLACEHOLDER.search(node.system):
            raise GraphError(
                f"The system text of {node.output!r} holds a variable.", "Put variables into the template."
            )
    for node in graph.nodes:
        for name in node.inputs:
            if name not in made and name not in graph.values:
                raise GraphError(
                    f"{node.output!r} reads the variable {name!r}, which has neither a call nor a value.",
                    "Send its value, or the call that makes it, with the graph or before.",
                )
    if len(graph.order) < len(graph.nodes):
        done = {node.output for node in graph.order}
        waiting = ", ".join(node.output for node in graph.nodes if node.output not in done)
        raise GraphError(f"These variables wait for each other: {waiting[:200]}.", "Break the circle.")


def _fields(data: Mapping[str, Any], allowed: Mapping[str, Any], wanted: Mapping[str, Any], place: str) -> dict:
    for name, value in data.items():
        if name not in allowed:
            raise GraphError(f"{place}: unknown field {name!r}.", f"There are: {', '.join(allowed)}.")
        if not isinstance(value, allowed[name]):
            raise GraphError(f"{place}: {name!r} is {value!r:.60}.", f"Give a {allowed[name].__name__}.")
    for name in wanted:
        if name not in data:
            raise GraphError(f"{place}: the field {name!r} is missing.", f"It has: {', '.join(allowed)}.")
    return dict(data)


def _record(kind: Any, said: Mapping[str, Any], place: str) -> Any:
    """A frozen data class from JSON data, each field of the type of its default."""
    known = {one.name: one for one in fields(kind) if one.name not in ("checks", "grammar")}
    made: dict[str, Any] = {}
    for name, value in said.items():
        if name not in known:
            raise GraphError(f"{place} has no field {name!r}.", f"There are: {', '.join(known)}.")
        default = known[name].default
        if name == "schema" and isinstance(value, Mapping):
            value = json.dumps(value)
        if name == "choices":
            value = tuple(value) if isinstance(value, list) else value
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default) and name != "kind":
            raise GraphError(f"{place}: {name!r} is {value!r:.60}.", f"Give a {type(default).__name__}.")
        made[name] = value
    if kind is Format and made.get("kind") not in ("text", "regex", "json", "choices"):
        raise GraphError(f"{place} has the kind {made.get('kind')!r}.", "Choose text, regex, json or choices.")
    if kind is Format and not all(isinstance(one, str) and one for one in made.get("choices", ())):
        raise GraphError(f"{place}: `choices` holds something that is no text.", "Give a list of texts.")
    if kind is Format and made["kind"] in ("text", "regex"):
        made.setdefault("max_chars", FREE_TEXT.max_chars)
    return kind(**made)


def _changed(value: Any, default: Any) -> dict[str, Any]:
    plain = asdict(default)
    return {
        name: list(one) if isinstance(one, tuple) else one for name, one in asdict(value).items() if one != plain[name]
    }


def _hash(*parts: str) -> str:
    made = blake2b(digest_size=12)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        made.update(len(data).to_bytes(8, "little") + data)
    return made.hexdigest()
