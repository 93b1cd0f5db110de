"""May a flow that was read from JSON run here? `check` allows what is known to be harmless and refuses everything else.

Such a flow may use its own names, the names it is given (tools, learned functions, classes) and a fixed set of
builtins. What reaches the interpreter's inside is refused: names and attributes with underscores in front, frames and
code objects, `str.format` on anything but plain literals, settings that open files or models, statements that have no
node. The check reads, it runs nothing; it bounds what a flow can touch, not how long it runs - for that, give a budget
or run it in the sandbox. Cost: about a millisecond for a flow of twenty lines.
"""

from __future__ import annotations

import ast
import builtins
import string
from collections.abc import Set
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.ir.callees import dotted
from thalweg.program.ir.nodes import Assign, Case, Expression, FlowIR, Handler, Match, Python, Try, Update
from thalweg.program.ir.scoping import local_names, occurrences, pattern_of, statement_of, tree_of
from thalweg.program.ir.source import completed, placed

SAFE_BUILTINS = frozenset({
    "abs", "all", "any", "bin", "bool", "bytes", "chr", "complex", "dict", "divmod", "enumerate", "filter", "float",
    "format", "frozenset", "hash", "hex", "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max",
    "min", "next", "oct", "ord", "pow", "print", "range", "repr", "reversed", "round", "set", "slice", "sorted",
    "str", "sum", "tuple", "zip", "NotImplemented", "Ellipsis", "ArithmeticError", "AssertionError", "AttributeError",
    "Exception", "IndexError", "KeyError", "LookupError", "NameError", "NotImplementedError", "OSError",
    "OverflowError", "RecursionError", "RuntimeError", "StopIteration", "TimeoutError", "TypeError",
    "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError", "ValueError", "ZeroDivisionError",
})  # fmt: skip
SAFE_LIBRARY = frozenset({
    "tw.gather", "tw.choice", "tw.subset", "tw.permutation", "tw.real", "tw.integer", "tw.text", "tw.Failure",
    "tw.Error", "tw.errors.Error", "tw.errors.ModelError", "tw.errors.EndpointError", "tw.errors.ContextOverflow",
    "tw.errors.BudgetExceeded", "tw.errors.ToolError", "tw.errors.ContractViolation", "tw.errors.DataError",
    "tw.errors.UnsatisfiableConstraint",
})  # fmt: skip
_IN_ANNOTATIONS = frozenset({
    "Annotated", "Any", "Literal", "Optional", "Sequence", "Mapping", "Union", "Iterable",
})  # fmt: skip
_SETTINGS = frozenset({
    "temperature", "top_p", "top_k", "seed", "max_tokens", "sampler",
})  # fmt: skip
_INNER = ("gi_", "f_", "tb_", "co_", "cr_", "ag_", "func_", "im_")
_REFUSED = frozenset({
    "mro", "function", "own", "bound", "bind", "save", "load", "changed", "compiled", "perform", "submit_at", "eval",
    "exec", "system", "popen", "open", "import_module", "parse_raw", "parse_file", "modules", "builtins", "os", "sys",
    "subprocess", "importlib", "pickle", "shutil", "ctypes", "globals",
})  # fmt: skip
_TEXT = "Compute it in a @tw.tool and give the flow that tool's name."


def check(ir: FlowIR, names: Set[str], trusted: bool = False) -> None:
    """Refuse a flow that could do more than call what it is given.

    Args:
        names: what the flow may use of the world outside, as it writes it: ``{"summarize", "Ticket", "tw.gather"}``.
            A name given without a dot may be called and asked for public attributes, so never give a module that
            way; `SAFE_LIBRARY` lists what of this library is harmless.
        trusted: the text comes from a place that may run any code here; only that every name exists is checked.

    Raises:
        FlowError: with the statement's site, its line and the remedy.
    """
    _Check(completed(ir), set(names), trusted).flow()


class _Check:
    def __init__(self, ir: FlowIR, names: set[str], trusted: bool) -> None:
        self.ir = ir
        self.trusted = trusted
        self.names = names
        self.roots = {name for name in names if "." not in name}
        self.outside = self.roots | (set(dir(builtins)) if trusted else SAFE_BUILTINS) | {ir.name_of_code}
        self.local = local_names(ir)
        self.where = ""

    def flow(self) -> None:
        ir = self.ir
        self.where = f"of `{ir.name}`"
        self.identifier(ir.name_of_code)
        if hasattr(builtins, ir.name_of_code) and not self.trusted:
            raise self.refuse("has the name of a builtin", "Give it another name.")
        for one in ir.parameters:
            self.where = f"in parameter `{one.name}` of `{ir.name}`"
            self.identifier(one.name)
            self.annotation(one.annotation)
            if one.default is not None:
                self.tree(tree_of(one.default), set())
        self.where = f"in the return type of `{ir.name}`"
        self.annotation(ir.returns)
        for site, node in placed(ir.body):
            self.where = f"at statement {site} (line {node.line}) of `{ir.name}`"
            if isinstance(node, Assign):
                self.annotation(node.annotation)
                for one in (*node.targets, node.value):
                    self.tree(tree_of(one), self.local)
            elif isinstance(node, Case):
                self.tree(pattern_of(node), self.local)
                if node.guard is not None:
                    self.tree(tree_of(node.guard), self.local)
            elif isinstance(node, Python):
                self.opaque(node)
            elif not isinstance(node, Match | Try):
                for one in node.expressions():
                    self.tree(tree_of(one), self.local)
            elif isinstance(node, Match):
                self.tree(tree_of(node.subject), self.local)
            if isinstance(node, Handler):
                self.handler(node)
            if isinstance(node, Update):
                self.store(tree_of(node.target))

    def refuse(self, what: str, remedy: str) -> FlowError:
        return FlowError(f"The flow {what}, {self.where}.", remedy)

    # -- statements -------------------------------------------------------------------------------------------------

    def opaque(self, node: Python) -> None:
        if not self.trusted:
            shown = node.source.splitlines()[0][:60]
            remedy = "Write it with the statements of docs/flows.md, or read the flow as trusted."
            tree = statement_of(node)
            if isinstance(tree, ast.AnnAssign) and isinstance(tree.target, ast.Name):
                self.identifier(tree.target.id)
                self.annotation(Expression.of(tree.annotation))
                return
            raise self.refuse(f"has a statement that is run as it stands, {shown!r}", remedy)

    def handler(self, node: Handler) -> None:
        if self.trusted:
            return
        if node.kind is None:
            raise self.refuse("catches everything, even what ends the program", "Write `except Exception:`.")
        if node.name is not None:
            self.identifier(node.name)

    # -- expressions ------------------------------------------------------------------------------------------------

    def tree(self, tree: ast.AST, local: set[str]) -> None:
        """Every name is known, and every part harmless."""

        def on_name(one: ast.Name, binding: str, number: int) -> None:
            self.identifier(one.id)
            if binding == "global":
                self.known(one)

        self.dots = {id(_root(one)): one for one in reversed(list(ast.walk(tree))) if isinstance(one, ast.Attribute)}
        occurrences(tree, local, on_name)
        if not self.trusted:
            called = {id(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call)}
            for one in ast.walk(tree):
                self.part(one, called)

    def known(self, one: ast.Name) -> None:
        if one.id in self.outside:
            return
        if one.id not in ("True", "False", "None"):
            chain = self.dots.get(id(one))
            written = dotted(chain) if chain is not None else one.id
            parts = (written or one.id).split(".")
            if any(".".join(parts[:length]) in self.names for length in range(2, len(parts) + 1)):
                return
            given = ", ".join(sorted(self.names)[:12]) or "nothing"
            raise self.refuse(
                f"uses {written or one.id!r}, which is not among what it is given",
                f"It may use its own names and: {given}.",
            )

    def identifier(self, name: str) -> None:
        if not self.trusted and (name.startswith("__") or name.endswith("__")):
            raise self.refuse(f"uses the name {name!r}", "Names with two underscores are Python's own; take another.")

    def part(self, one: ast.AST, called: set[int]) -> None:
        match one:
            case ast.Attribute(attr=name):
                self.attribute(one, name, id(one) in called)
            case ast.MatchClass(kwd_attrs=names):
                for name in names:
                    self.public(name)
            case ast.Call():
                self.call(one)
            case ast.arg(arg=name):
                self.identifier(name)
            case ast.pattern():
                for name in (getattr(one, "name", None), getattr(one, "rest", None)):
                    if isinstance(name, str):
                        self.identifier(name)
            case ast.Yield() | ast.YieldFrom():
                raise self.refuse("yields", "Return a list.")
            case ast.Await() if not self.ir.is_async:
                raise self.refuse("awaits, but is not async", 'Say `"async": true`.')
            case ast.Await():
                pass
            case ast.Attribute() | ast.Subscript() | ast.Starred():
                pass
            case _ if isinstance(one, _ALLOWED):
                pass
            case _:
                raise self.refuse(f"has a {type(one).__name__}, which is not known to be harmless", _TEXT)
        if isinstance(one, ast.Attribute | ast.Subscript) and isinstance(one.ctx, ast.Store | ast.Del):
            self.store(one)

    def public(self, name: str) -> None:
        if name.startswith("_") or name.endswith("__"):
            raise self.refuse(f"reads the attribute {name!r}", "Use what an object shows without underscores.")
        if name in _REFUSED or name.startswith(_INNER):
            raise self.refuse(f"reads the attribute {name!r}, which leads inside", _TEXT)

    def attribute(self, one: ast.Attribute, name: str, is_called: bool) -> None:
        self.public(name)
        if name in ("format", "format_map"):
            literal = isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
            if not (literal and is_called and name == "format" and _is_plain_format(one.value.value)):  # type: ignore[union-attr]
                raise self.refuse(
                    f"uses `{ast.unparse(one)[:60]}`, through which a text can read attributes", "Write an f-string."
                )
        if name == "using" and not is_called:
            raise self.refuse("takes `using` as a value", "Call it, with its settings by name.")

    def call(self, one: ast.Call) -> None:
        for keyword in one.keywords:
            if keyword.arg is not None and (keyword.arg.startswith("__") or keyword.arg.endswith("__")):
                raise self.refuse(f"gives the argument {keyword.arg!r}", "Names with two underscores are Python's own.")
        if isinstance(one.func, ast.Attribute) and one.func.attr == "using":
            strange = [keyword.arg or "**" for keyword in one.keywords if keyword.arg not in _SETTINGS]
            if strange or one.args:
                raise self.refuse(
                    f"sets {', '.join(strange) or 'something'} by `using`",
                    f"A flow that is read may set {', '.join(sorted(_SETTINGS))}.",
                )

    def store(self, target: ast.AST) -> None:
        """What it assigns into must be its own."""
        if self.trusted:
            return
        if isinstance(target, ast.Attribute):
            raise self.refuse(
                f"changes the attribute `{ast.unparse(target)[:60]}`", "Make a new value, as dataclasses.replace does."
            )
        if isinstance(target, ast.Subscript):
            root = _root(target)
            if isinstance(root, ast.Name) and root.id not in self.local:
                raise self.refuse(
                    f"changes `{root.id}`, which is not its own", "Change a container that the flow made."
                )

    # -- annotations ------------------------------------------------------------------------------------------------

    def annotation(self, one: Expression | None) -> None:
        if one is not None and not self.trusted:
            self.type(tree_of(one))

    def type(self, tree: ast.AST) -> None:
        """Annotations are evaluated, and texts in them too (`typing.get_type_hints`)."""
        match tree:
            case ast.Constant(value=str() as text):
                try:
                    self.type(ast.parse(text.strip(), mode="eval").body)
                except (SyntaxError, ValueError, RecursionError) as error:
                    raise self.refuse(f"has the type {text[:40]!r}, which is none", "Write a type.") from error
            case ast.Constant(value=None | builtins.Ellipsis):
                pass
            case ast.Name(id=name) if name in _IN_ANNOTATIONS and name not in self.outside:
                pass
            case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal"), slice=inner):
                if not all(isinstance(one, ast.Constant | ast.Tuple | ast.Load | ast.UnaryOp | ast.USub)
                           for one in ast.walk(inner)):  # fmt: skip
                    raise self.refuse(f"has the type {ast.unparse(tree)[:60]!r}", "Write constants into Literal.")
            case ast.Subscript(
                value=ast.Name(id="Annotated") | ast.Attribute(attr="Annotated"), slice=ast.Tuple(elts=[kind, *more])
            ):
                self.type(kind)
                for one in more:
                    self.tree(one, set())
            case ast.Subscript(value=value, slice=inner):
                self.type(value)
                self.type(inner)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for one in parts:
                    self.type(one)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self.type(left)
                self.type(right)
            case ast.Name() | ast.Attribute():
                self.tree(tree, set())
            case _:
                raise self.refuse(f"has the type {ast.unparse(tree)[:60]!r}", "Write a plain type.")


_ALLOWED = (
    ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.List, ast.Tuple, ast.Set,
    ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Lambda, ast.arguments,
    ast.keyword, ast.NamedExpr, ast.JoinedStr, ast.FormattedValue, ast.Slice, ast.expr_context, ast.operator,
    ast.unaryop, ast.cmpop, ast.boolop, ast.pattern,
)  # fmt: skip


def _root(tree: ast.AST) -> ast.AST:
    while isinstance(tree, ast.Attribute | ast.Subscript):
        tree = tree.value
    return tree


def _is_plain_format(text: str) -> bool:
    """Whether `text.format` reads no attribute and no index, in nested fields too."""
    try:
        fields: list[Any] = list(string.Formatter().parse(text))
    except ValueError:
        return False
    return all(
        (name is None or name == "" or name.isidentifier() and not name.startswith("_") or name.isdecimal())
        and (not spec or _is_plain_format(spec))
        for _, name, spec, _ in fields
    )
