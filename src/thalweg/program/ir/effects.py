"""What calls do with what they are given: builtins and methods of containers and texts by name, others by kind.

A class of the program whose method has one of these names and does something else misleads the analysis.
"""

from __future__ import annotations

from thalweg.program.ir.callees import Callee

NEW = set("list tuple set frozenset sorted reversed iter filter".split())  # noqa: SIM905
PAIRS = {"enumerate", "zip"}
PLAIN = set(  # nothing of their arguments is in their results
    "len str int float bool any all range print isinstance issubclass abs round hash format repr ord chr bin hex oct "
    "pow divmod bytes complex callable id".split()  # noqa: SIM905
)
INTO = {"append", "add", "insert", "appendleft"}
ALL_INTO = {"extend", "update", "extendleft"}
OUT = {"pop", "popleft", "popitem", "get", "setdefault"}
COPY = {"copy", "keys", "values", "union", "difference", "intersection"}
NOTHING = set(
    "sort reverse clear remove discard count index join split strip lstrip rstrip lower upper title format replace "
    "startswith endswith splitlines partition rpartition find rfind encode decode isdigit isalpha zfill "
    "rsplit removeprefix removesuffix capitalize casefold isspace most_common".split()  # noqa: SIM905
)
READING = {"get", "count", "index", "most_common", "isdigit"} | COPY | {"items"} | (  # methods that change nothing
    NOTHING - {"sort", "reverse", "clear", "remove", "discard"}
)  # fmt: skip
SHALLOW = INTO | ALL_INTO | OUT | {"sort", "reverse", "clear", "remove", "discard"}  # they change only their owner


def may_change(called: Callee) -> bool:
    """Whether a call may change its arguments. Tools that do not write are given copies, learned functions text."""
    if called.kind in ("learned", "builtin", "class"):
        return False
    if called.kind == "tool":
        return getattr(called.target, "effect", "write") == "write"
    return True


def has_effect(called: Callee) -> bool:
    """Whether a call may do something outside that must keep its order."""
    from thalweg.program.purity import why_impure

    if called.kind == "tool":
        return getattr(called.target, "effect", "write") == "write"
    if called.kind == "flow":
        return called.target is not None and called.target.effects is not None
    if called.kind == "function":
        return why_impure(called.target) is not None
    return False
