"""What is known of Python's own functions, types and modules: the allow-lists.

A function is described by a word for its result (`RESULTS`), a method by one and by what it does to its owner. Whatever
is not in these tables is not known. Of the standard library only modules are listed that compute; the rest of it waits.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import enum
import fractions
import functools
import inspect
import itertools
import operator
import pathlib
import random
import re
import sys
import types
import uuid
from typing import Any, Literal, NamedTuple

Result = Literal[
    "none", "atom", "str", "bytes", "int", "bool", "float",  # immutable
    "list", "dict", "set", "tuple", "frozenset", "deque",  # a new container of the elements of the arguments
    "iterator", "pairs", "groups",  # a new iterator over elements, over tuples of them, over iterators of them
    "strs", "deep",  # a new list of strings; something new through and through
    "item",  # an element, or an argument
    "sum",  # a new object that holds what the elements held, or the second argument
    "new",  # a new object that may hold arguments and their elements
    "view",  # the argument, or a new object that shares its elements
    "alias",  # anything made of the arguments
    "called",  # what the first argument gives for elements of the others, or one of these
    "mapped",  # a new iterator over what the first argument gives
    "function",  # a function that calls its arguments
]  # fmt: skip


class Spec(NamedTuple):
    """What a known function does: `result`; `calls` the arguments (by position or name) it calls; `changes` the
    positions it changes, and stores the rest in; `effect` why it is not pure; `advances` the iterators it moves on."""

    result: Result = "alias"
    calls: tuple[int | str, ...] = ()
    changes: tuple[int, ...] = ()
    effect: str | None = None


_KEY = ("key",)
_FUNCTIONS: dict[str, Spec] = {
    **dict.fromkeys(("len", "ord", "hash"), Spec("int")),
    **dict.fromkeys(("repr", "ascii", "bin", "hex", "oct", "chr", "format", "str"), Spec("str")),
    **dict.fromkeys(("isinstance", "issubclass", "callable", "hasattr", "any", "all", "bool"), Spec("bool")),
    **dict.fromkeys(("int",), Spec("int")),
    **dict.fromkeys(("float",), Spec("float")),
    **dict.fromkeys(("complex", "range", "slice"), Spec("atom")),
    **dict.fromkeys(("bytes",), Spec("bytes")),
    **dict.fromkeys(("abs", "round", "pow", "divmod"), Spec("new")), "sum": Spec("sum"),
    "object": Spec("deep"), "bytearray": Spec("deep"), "memoryview": Spec("alias"), "dir": Spec("strs"),
    "list": Spec("list"), "dict": Spec("dict"), "set": Spec("set"), "tuple": Spec("tuple"),
    "frozenset": Spec("frozenset"), "sorted": Spec("list", _KEY),
    "min": Spec("item", _KEY), "max": Spec("item", _KEY),
    "reversed": Spec("iterator"), "iter": Spec("iterator"), "filter": Spec("iterator", (0,)),
    "map": Spec("mapped", (0,)), "zip": Spec("pairs"), "enumerate": Spec("pairs"),
    "next": Spec("item", (), (0,)),
    "setattr": Spec("none", (), (0,)), "delattr": Spec("none", (), (0,)),
    "print": Spec("none", effect="prints"), "input": Spec("str", effect="asks for input"),
    "open": Spec("deep", effect="opens a file"), "id": Spec("int", effect="asks for an identity"),
    **dict.fromkeys(("exec", "eval", "compile", "__import__", "breakpoint", "globals", "locals"),
    Spec(effect="may do anything")),
}  # fmt: skip

_REDUCERS = (0,)
_MODULES: dict[str, dict[str, Spec]] = {
    "functools": {"reduce": Spec("called", (0,)), "partial": Spec("function", (0,)), "cmp_to_key": Spec("function",
    (0,))},
    "itertools": {
        "accumulate": Spec("called", (1, "func")), "starmap": Spec("mapped", (0,)), "filterfalse": Spec("iterator",
        (0,)),
        "takewhile": Spec("iterator", (0,)), "dropwhile": Spec("iterator", (0,)), "groupby": Spec("groups", (1, "key")),
        "count": Spec("deep"), "repeat": Spec("new"), "chain": Spec("alias"), "cycle": Spec("iterator"),
        "islice": Spec("iterator"), "compress": Spec("iterator"), "tee": Spec("new"), "zip_longest": Spec("pairs"),
        "product": Spec("pairs"), "permutations": Spec("pairs"), "combinations": Spec("pairs"),
        "pairwise": Spec("pairs"),
        "combinations_with_replacement": Spec("pairs"), "batched": Spec("pairs"),
    },
    "heapq": {
        **dict.fromkeys(("heappush", "heapify", "heappop", "heapreplace", "heappushpop"), Spec("item", (), (0,))),
        "nlargest": Spec("list", (2, "key")), "nsmallest": Spec("list", (2, "key")), "merge": Spec("iterator", _KEY),
    },
    "bisect": {
        **dict.fromkeys(("bisect", "bisect_left", "bisect_right"), Spec("int", _KEY)),
        **dict.fromkeys(("insort", "insort_left", "insort_right"), Spec("none", _KEY, (0,))),
    },
    "json": {
        "dumps": Spec("str", ("default", "cls")),
        "loads": Spec("deep", ("cls", "object_hook", "object_pairs_hook", "parse_int", "parse_float",
        "parse_constant")),
    },
    "re": {
        **dict.fromkeys(("compile", "match", "search", "fullmatch", "escape"), Spec("atom")),
        "sub": Spec("str", (1, "repl")), "subn": Spec("deep", (1, "repl")),
        **dict.fromkeys(("split", "findall", "finditer"), Spec("deep")),
    },
    "copy": {"copy": Spec("new"), "deepcopy": Spec("deep"), "replace": Spec("new")},
    "dataclasses": {
        "asdict": Spec("deep", ("dict_factory",)), "astuple": Spec("deep", ("tuple_factory",)), "replace": Spec("new"),
        "fields": Spec("alias"), "is_dataclass": Spec("bool"),
    },
    "ast": {
        **dict.fromkeys(("parse", "literal_eval"), Spec("deep")), **dict.fromkeys(("dump", "unparse"), Spec("str")),
        **dict.fromkeys(("walk", "iter_child_nodes", "iter_fields"), Spec("alias")), "get_docstring": Spec("atom"),
    },
    "struct": {
        "pack": Spec("bytes"), "unpack": Spec("deep"), "unpack_from": Spec("deep"), "calcsize": Spec("int"),
        "iter_unpack": Spec("deep"),
    },
    "typing": {"cast": Spec("item"), "get_origin": Spec("alias"), "get_args": Spec("alias"),
    "assert_never": Spec("none")},
    "contextlib": {"suppress": Spec("deep"), "nullcontext": Spec("new")},
    "decimal": {"localcontext": Spec("deep")},
    "pprint": {"pformat": Spec("str"), "saferepr": Spec("str")},
    "statistics": {
        **dict.fromkeys(("mean", "fmean", "geometric_mean", "harmonic_mean", "median", "median_grouped", "pstdev",
        "pvariance",
                         "stdev", "variance", "covariance", "correlation"), Spec("atom")),
        "quantiles": Spec("deep"),
    },
    "fnmatch": {"filter": Spec("list"), "fnmatch": Spec("bool"), "fnmatchcase": Spec("bool"), "translate": Spec("str")},
    "shlex": {"split": Spec("strs"), "quote": Spec("str"), "join": Spec("str")},
    "textwrap": {"wrap": Spec("strs"), "dedent": Spec("str"), "indent": Spec("str", ("predicate", 2)),
    "fill": Spec("str"),
                 "shorten": Spec("str")},
    "string": {"capwords": Spec("str")},
    "difflib": {"get_close_matches": Spec("list"), "unified_diff": Spec("iterator"), "context_diff": Spec("iterator"),
                "ndiff": Spec("iterator", (2, 3, "linejunk", "charjunk"))},
    "html": {"escape": Spec("str"), "unescape": Spec("str")},
    "posixpath": dict.fromkeys(
        ("join", "basename", "dirname", "splitext", "split", "normpath", "isabs", "commonprefix", "commonpath",
        "normcase"),
        Spec("deep"),
    ),
    "csv": {"reader": Spec("iterator", (), (0,)), "writer": Spec("new")},
    "uuid": {"uuid3": Spec("atom"), "uuid5": Spec("atom")},
    "calendar": dict.fromkeys(("isleap", "leapdays", "weekday", "monthrange", "timegm"), Spec("deep")),
    "io": {"StringIO": Spec("deep"), "BytesIO": Spec("deep")},
    "enum": {},
}  # fmt: skip
_MODULES["ntpath"] = _MODULES["posixpath"]

# Modules whose functions give something new of immutable things, whatever they are given.
_ALL: dict[str, Result] = {
    "math": "new", "cmath": "atom", "statistics": "alias", "unicodedata": "atom", "base64": "bytes", "binascii": "atom",
    "zlib": "deep", "hashlib": "deep", "operator": "alias", "urllib.parse": "deep", "numbers": "atom", "hmac": "deep",
}  # fmt: skip
_NOT: dict[str, frozenset[str]] = {
    "hashlib": frozenset({"file_digest"}),
    "operator": frozenset({"setitem", "delitem", "call", "length_hint",
    *(name for name in dir(operator) if name[:1] == "i")}),
    "zlib": frozenset(),
}  # fmt: skip
_HIDDEN = {"_operator": "operator", "_functools": "functools", "_bisect": "bisect", "_heapq": "heapq",
"_struct": "struct",
           "_collections": "collections", "_hashlib": "hashlib", "_sha2": "hashlib", "_blake2": "hashlib",
           "_md5": "hashlib",
           "_sha1": "hashlib", "_sha256": "hashlib", "_sha512": "hashlib", "_sha3": "hashlib",
           "_statistics": "statistics", "_decimal": "decimal", "_csv": "csv", "_io": "io"}  # fmt: skip
_WHY = {
    "time": "reads the clock", "random": "draws random numbers", "secrets": "draws random numbers",
    "numpy.random": "draws random numbers", "subprocess": "runs a program", "socket": "uses the network",
    "logging": "writes to a log", "threading": "uses threads", "os": "asks the system", "sys": "asks the system",
}  # fmt: skip
CLOCK = frozenset({"now", "today", "utcnow"})

CONTAINERS: dict[type, Result] = {
    list: "list", dict: "dict", set: "set", tuple: "tuple", frozenset: "frozenset", collections.deque: "deque",
    collections.Counter: "dict", collections.OrderedDict: "dict", collections.defaultdict: "dict",
}  # fmt: skip
# Classes that may be made, and whose methods change at most what they hold.
_CLASSES: frozenset[type] = frozenset({collections.ChainMap, types.SimpleNamespace, *(
    kind for kind in (re.Pattern, decimal.Decimal, fractions.Fraction, uuid.UUID, datetime.date, datetime.datetime,
                      datetime.time, datetime.timedelta, datetime.timezone, pathlib.PurePath, pathlib.PurePosixPath,
                      pathlib.PureWindowsPath, pathlib.Path, pathlib.PosixPath, pathlib.WindowsPath,
                      itertools.chain))})  # fmt: skip
_CLASS_NAMES = frozenset({
    "string.Template", "string.Formatter", "statistics.NormalDist", "textwrap.TextWrapper", "difflib.SequenceMatcher",
    "difflib.Differ", "json.decoder.JSONDecoder", "json.encoder.JSONEncoder", "zoneinfo.ZoneInfo",
})  # fmt: skip


def spec_of(function: Any) -> Spec | None:
    """What is known of a function or class of Python itself, or of numpy; None for others."""
    try:
        found = _BY_OBJECT.get(function)
    except TypeError:  # not hashable
        return None
    if found is not None:
        return found
    if isinstance(function, types.BuiltinFunctionType) and isinstance(function.__self__, type):
        return _class_method(function.__self__, function.__name__)
    module = getattr(function, "__module__", None)
    name = getattr(function, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    module = _HIDDEN.get(module, module)
    if module.startswith("re."):
        module = "re"
    if module == "numpy" or module.startswith("numpy."):
        return _numpy(module, name, function)
    if getattr(sys.modules.get(module), name, None) is not function:
        return None
    if module in _MODULES and name in _MODULES[module]:
        return _MODULES[module][name]
    if module in _ALL and name not in _NOT.get(module, ()) and not isinstance(function, type):
        return Spec(_ALL[module])
    if isinstance(function, type) and (function in _CLASSES or f"{module}.{name}" in _CLASS_NAMES):
        return Spec("alias" if function is itertools.chain else "new")
    if (why := _WHY.get(module)) and function is not random.Random:
        return Spec(effect=f"{why}: `{module}.{name}`")
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names and not isinstance(function, type):
        return Spec(effect=f"calls `{module}.{name}`, which may act on the world")
    return None


def _class_method(owner: type, name: str) -> Spec | None:
    """Class methods written in C."""
    if owner is dict and name == "fromkeys":
        return Spec("new")
    if issubclass(owner, datetime.date | datetime.time) and name in CLOCK:
        return Spec("atom", effect=f"reads the clock: `{owner.__name__}.{name}`")
    if owner is itertools.chain and name == "from_iterable":
        return Spec("alias")
    if issubclass(owner, (str, int, float, bytes, datetime.date, datetime.time, decimal.Decimal)) and name[:1] != "_":
        return Spec("atom") if owner.__module__ in ("builtins", "datetime", "decimal") else None
    return Spec("new") if owner in (object, tuple, dict, list) and name == "__new__" else None


def root_is_trusted(module: str) -> bool:
    """Whether a module's names are taken to stay what they are."""
    return module.partition(".")[0] in sys.stdlib_module_names or module.partition(".")[0] == "numpy"


def why_unknown(function: Any) -> str:
    """Words for a call of something that is in no table."""
    name = (
        getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or repr(type(function).__name__)
    )
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if why := _WHY.get(getattr(type(owner), "__module__", "")):
        return f"{why}: `{type(owner).__module__}.{getattr(function, '__name__', name)}`"
    if module and module not in ("builtins", "__main__"):
        name = f"{module}.{name}"
    return f"calls `{name}`, whose source is not known"


# -- numpy ------------------------------------------------------------------------------------------------------------

_NUMPY_NEW = frozenset({
    "array", "zeros", "ones", "empty", "full", "zeros_like", "ones_like", "empty_like", "full_like", "arange",
    "linspace",
    "logspace", "geomspace", "eye", "identity", "concatenate", "stack", "vstack", "hstack", "dstack", "column_stack",
    "tile", "repeat", "sort", "argsort", "cumsum", "cumprod", "diff", "mean", "median", "std", "var", "percentile",
    "quantile", "prod", "sum", "dot", "matmul", "outer", "inner", "where", "unique", "bincount", "histogram", "append",
    "delete", "insert", "pad", "roll", "argmax", "argmin", "argwhere", "nonzero", "count_nonzero", "allclose",
    "array_equal",
    "isclose", "isin", "interp", "convolve", "cov", "corrcoef", "clip", "round", "norm", "inv", "solve", "det",
    "searchsorted",
    "digitize", "meshgrid", "tril", "triu", "cross", "kron", "einsum", "tensordot", "average", "nansum", "nanmean",
    "nanmax",
    "nanmin", "all", "any", "max", "min", "amax", "amin", "ptp", "trace", "fft", "ifft", "rfft", "irfft", "copy",
    "take",
    "array2string", "array_repr", "array_str", "dtype", "float32", "float64", "int32", "int64", "bool_", "uint8",
})  # fmt: skip
_NUMPY_VIEW = frozenset({
    "asarray", "asanyarray", "ascontiguousarray", "ravel", "reshape", "squeeze", "transpose", "moveaxis", "swapaxes",
    "expand_dims", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "broadcast_arrays", "split", "array_split",
    "hsplit", "vsplit", "diagonal", "diag", "flip", "fliplr", "flipud", "rot90", "real", "imag", "nan_to_num",
    "rollaxis",
    "isscalar", "ndim", "shape", "size", "result_type", "can_cast", "issubdtype", "iscomplexobj", "isrealobj",
})  # fmt: skip
_NUMPY_CHANGES = frozenset({"put", "place", "copyto", "put_along_axis", "putmask", "fill_diagonal"})


def _numpy(module: str, name: str, function: Any) -> Spec | None:
    if module.startswith("numpy.random"):
        return Spec(effect=f"draws random numbers: `numpy.random.{name}`")
    if type(function).__name__ == "ufunc":
        return Spec("deep")
    root = sys.modules.get("numpy")
    homes = [root, getattr(root, "linalg", None), getattr(root, "fft", None)]
    if all(getattr(home, name, None) is not function for home in homes):
        return None
    if name in _NUMPY_CHANGES:
        return Spec("none", (), (0,))
    if name in _NUMPY_NEW:
        return Spec("deep")
    return Spec("view") if name in _NUMPY_VIEW else None


ARRAY_CHANGES = frozenset({"sort", "fill", "resize", "put", "partition", "setfield", "itemset", "setflags", "byteswap"})


# Where functions of numpy take an array to write into, by position.
@functools.lru_cache(512)
def output_position(function: Any) -> int | None:
    """The position of a parameter that is written into; None if there is none."""
    if type(function).__name__ == "ufunc":
        return function.nin
    try:
        names = list(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        return 2
    return next((at for at, name in enumerate(names) if name in ("out", "overwrite_input", "copy")), None)


ARRAY_WRITES = frozenset({"tofile", "dump"})


def array_type() -> type | None:
    """numpy's array, if numpy has been imported."""
    return getattr(sys.modules.get("numpy"), "ndarray", None)


_BY_OBJECT: dict[Any, Spec] = {getattr(builtins, name): spec for name, spec in _FUNCTIONS.items()}
_BY_OBJECT.update(
    {
        functools.partial: Spec("function", (0,)),
        operator.itemgetter: Spec("function"),
        operator.attrgetter: Spec("function"),
        object.__setattr__: Spec("none", (), (0,)),
        object.__init__: Spec("none"),
        BaseException.__init__: Spec("none", (), (0,)),
        Exception.__init__: Spec("none", (), (0,)),
        enum.auto: Spec(effect="makes an enum"),
    }
)
for _kind in (tuple, str, int, float, frozenset, dict, list, set, bytes, object):
    _BY_OBJECT[_kind.__new__] = Spec("new")
_BY_OBJECT.update({kind: Spec(result) for kind, result in CONTAINERS.items() if kind not in _BY_OBJECT})
_BY_OBJECT[collections.defaultdict] = Spec("dict", (0,))


def is_from_stdlib(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").partition(".")[0] in sys.stdlib_module_names


def is_plain_init(found: Any) -> bool:
    """An `__init__` written in C that keeps its arguments, at most."""
    owner = getattr(found, "__objclass__", None)
    return owner is not None and (
        owner in CONTAINERS
        or owner is object
        or issubclass(owner, (BaseException, *CONTAINERS, str, int, float, bytes))
    )


def is_trusted_class(kind: type) -> bool:
    """A class of the standard library whose methods change only itself and what it was given."""
    module = _HIDDEN.get(kind.__module__, kind.__module__)
    return (
        kind in _CLASSES
        or f"{kind.__module__}.{kind.__name__}" in _CLASS_NAMES
        or kind is random.Random
        or (module in ("hashlib", "itertools", "csv", "io") and kind.__name__ not in ("FileIO", "TextIOWrapper"))
    )


def is_numpy(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").partition(".")[0] == "numpy"
