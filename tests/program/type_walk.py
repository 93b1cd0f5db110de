"""Random members of a format, drawn through the real constraint engine, and an independent check of types.

`random_member` walks the engine's token mask over a vocabulary of single bytes; `accepts` asks the engine about a
text; `conforms` says whether a value is of an annotation, written without any code of the library.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import types
import typing
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum

import annotated_types as at
import pydantic
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from pydantic.fields import FieldInfo

EOS = 256
SEPARATORS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class _Bytes:
    eos_token_id = EOS
    bos_token_id = None
    tokens = [bytes([byte]) for byte in range(256)] + [b"<eos>"]
    special_token_ids = [EOS]

    def __call__(self, text):
        return list(text.encode() if isinstance(text, str) else text)


TOKENIZER = LLTokenizer(TokenizerWrapper(_Bytes()), n_vocab=257)


def grammar(form):
    if form.kind == "json":
        return LLMatcher.grammar_from_json_schema(form.schema, overrides=SEPARATORS)
    if form.kind == "regex":
        return LLMatcher.grammar_from_regex(form.pattern)
    if form.kind == "choices":
        return LLMatcher.grammar_from_lark("start: " + " | ".join(json.dumps(text) for text in form.choices))
    return LLMatcher.grammar_from_regex(rf"[^\x00-\x08\x0b-\x1f\x7f]{{1,{form.max_chars}}}")


def matcher(form):
    made = LLMatcher(TOKENIZER, grammar(form))
    assert not made.is_error(), made.get_error()
    return made


def accepts(form, text):
    walk = matcher(form)
    data = list(text.encode())
    return walk.try_consume_tokens(data) == len(data) and walk.is_accepting()


def allowed_bytes(walk):
    mask = int.from_bytes(walk.compute_bitmask(), "little")
    return [token for token in range(257) if mask >> token & 1]


def random_member(form, rng, steps=4000, hurry=0.25):
    """A text of the format. After `steps` bytes the walk prefers whatever closes; it must then end."""
    walk = matcher(form)
    data = bytearray()
    while True:
        tokens = allowed_bytes(walk)
        assert tokens and not walk.is_error(), (form, bytes(data))
        late = len(data) > steps
        assert len(data) < steps + 2000, "the walk does not end"
        closing = [t for t in tokens if t == EOS or chr(t) in '"]}']
        if closing and (late or rng.random() < hurry):
            token = EOS if EOS in closing else rng.choice(closing)
        elif late and ord("n") in tokens:  # null
            token = ord("n")
        else:
            token = rng.choice(tokens)
        if token == EOS:
            return data.decode()
        walk.consume_token(token)
        assert not walk.is_error(), walk.get_error()
        data.append(token)
        if walk.is_stopped():
            return data.decode()


def conforms(annotation, value, metadata=()):
    """Whether `value` is of `annotation`, constraints included."""
    annotation = getattr(annotation, "__supertype__", annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return conforms(args[0], value, (*metadata, *args[1:]))
    if origin in (typing.Required, typing.NotRequired):
        return conforms(args[0], value, metadata)
    if origin in (typing.Union, types.UnionType):
        return any(conforms(arg, value, () if arg is types.NoneType else metadata) for arg in args)
    return _is(annotation, origin, args, value) and all(_holds(item, value) for item in _flat(metadata))


def _is(annotation, origin, args, value):
    if annotation in (None, types.NoneType):
        return value is None
    if origin is typing.Literal:
        return any(type(value) is type(arg) and value == arg for arg in args)
    if origin in (list, set, frozenset):
        return type(value) is origin and all(conforms(args[0], item) for item in value)
    if origin is tuple and args and args[-1] is Ellipsis:
        return type(value) is tuple and all(conforms(args[0], item) for item in value)
    if origin is tuple:
        return type(value) is tuple and len(value) == len(args) and all(map(conforms, args, value))
    if origin is dict:
        return type(value) is dict and all(conforms(args[0], k) and conforms(args[1], v) for k, v in value.items())
    cls = origin or annotation
    if typing.is_typeddict(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        return (
            type(value) is dict
            and cls.__required_keys__ <= value.keys() <= hints.keys()
            and all(conforms(hints[key], item) for key, item in value.items())
        )
    if issubclass(cls, pydantic.BaseModel):
        return type(value) is cls and all(
            conforms(info.annotation, getattr(value, name), tuple(info.metadata))
            for name, info in cls.model_fields.items()
        )
    if dataclasses.is_dataclass(cls) or hasattr(cls, "_fields"):
        hints = typing.get_type_hints(cls, include_extras=True)
        if origin:
            hints = {k: args[0] if isinstance(hint, typing.TypeVar) else hint for k, hint in hints.items()}
        return type(value) is cls and all(conforms(hint, getattr(value, name)) for name, hint in hints.items())
    if cls is str and type(value) is str:
        return not re.search("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", value)
    if cls is float:
        return type(value) is float and math.isfinite(value)
    if cls in (bool, int, str, date, datetime, time, Decimal) or issubclass(cls, Enum):
        return type(value) is cls
    raise AssertionError(annotation)


def _flat(metadata):
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        elif isinstance(item, at.GroupedMetadata):
            yield from item
        else:
            yield item


def _holds(item, value):
    checks = {
        "ge": lambda b: value >= b,
        "gt": lambda b: value > b,
        "le": lambda b: value <= b,
        "lt": lambda b: value < b,
        "min_length": lambda b: len(value) >= b,
        "max_length": lambda b: len(value) <= b,
        "pattern": lambda b: re.fullmatch(b, value) is not None,
    }
    return all(check(getattr(item, name)) for name, check in checks.items() if getattr(item, name, None) is not None)


def seeded(*parts):
    return random.Random(repr(parts))
