"""What is known of built-in and library callables without reading them: names, kept apart from the analysis."""

from __future__ import annotations

import builtins
import enum

BUILTINS = frozenset(
    "abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash "
    "hex int isinstance issubclass len list map max min oct ord pow range repr reversed round set slice sorted str "
    "sum tuple type zip object".split()
)
TAKES_FUNCTIONS = frozenset({"sorted", "min", "max", "map", "filter"})
MODULES = frozenset(
    "math cmath statistics re string textwrap unicodedata difflib html html.parser html.entities base64 binascii "
    "hashlib _hashlib zlib struct _struct itertools operator _operator copy fractions decimal _decimal calendar "
    "urllib.parse fnmatch bisect _bisect numbers shlex json json.decoder json.encoder ast collections collections.abc "
    "_collections enum dataclasses typing functools _functools datetime _sre sre_compile textwrap builtins colorsys "
    "ipaddress keyword quopri stringprep _string _json _statistics _bisect _blake2 _sha2 _md5 _sha1 _sha256 "
    "_sha512".split()
)
IN_PLACE = frozenset(
    "setitem delitem iadd iand iconcat ifloordiv ilshift imatmul imod imul ior ipow irshift isub itruediv ixor".split()
)
EXCEPT: dict[str, set[str] | frozenset[str]] = {
    "json": {"dump", "load"}, "datetime": {"now", "today", "utcnow"},
    "ast": {"increment_lineno", "fix_missing_locations"}, "functools": {"update_wrapper", "cache", "lru_cache"},
    "operator": IN_PLACE,
    "_operator": IN_PLACE,
    "bisect": {"insort", "insort_left", "insort_right"}, "_bisect": {"insort", "insort_left", "insort_right"},
    "builtins": set(dir(builtins)) - BUILTINS, "decimal": {"setcontext"}, "_decimal": {"setcontext"},
    "_random": {"Random"}, "calendar": {"setfirstweekday"}, "zlib": set(), "statistics": {"NormalDist"},
}  # fmt: skip
IMMUTABLE = (str, bytes, int, float, complex, bool, type(None), tuple, frozenset, range, enum.Enum)
IMMUTABLE_MODULES = frozenset({"datetime", "decimal", "fractions", "uuid", "re", "pathlib", "_decimal"})
TEXT = frozenset(  # methods whose names say enough
    "strip lstrip rstrip split rsplit splitlines partition rpartition lower upper casefold capitalize title swapcase "
    "join startswith endswith removeprefix removesuffix ljust rjust center zfill expandtabs isalnum isalpha isascii "
    "isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper rfind rindex maketrans "
    "isoformat strftime isoweekday isocalendar total_seconds bit_length as_integer_ratio is_integer items keys "
    "issubset issuperset isdisjoint symmetric_difference most_common model_dump model_dump_json model_copy with_name "
    "with_suffix with_stem relative_to as_posix".split()
)
READS = frozenset(  # pure for values of built-in types, anything for others
    "copy count get index values union intersection difference elements total encode find format replace translate "
    "decode hex date time timetuple weekday group groups groupdict start end span match fullmatch search findall "
    "finditer sub subn conjugate quantize normalize sum mean min max std var argmax argmin argsort astype reshape "
    "tolist flatten ravel round any all cumsum dot".split()
)
MUTATES = frozenset(
    "append extend insert pop remove clear sort reverse update setdefault popitem add discard appendleft popleft "
    "extendleft rotate subtract move_to_end difference_update intersection_update symmetric_difference_update".split()
)
FRESH_CALLS = frozenset(
    {"list", "dict", "set", "sorted", "bytearray", "defaultdict", "Counter", "deque", "OrderedDict"}
)
SCALAR_CALLS = frozenset({"len", "int", "str", "float", "bool", "repr", "ord", "chr", "hash", "abs", "round", "sum"})
C_FUNCTIONS = frozenset(
    {"builtin_function_or_method", "builtin_method", "method-wrapper", "method_descriptor", "wrapper_descriptor",
     "classmethod_descriptor"}
)  # fmt: skip
NUMPY_EFFECTS = frozenset(
    "save savez savetxt load put place copyto fill_diagonal putmask set_printoptions seterr memmap fromfile".split()
)
CONTEXTS = frozenset({"suppress", "nullcontext", "localcontext"})
