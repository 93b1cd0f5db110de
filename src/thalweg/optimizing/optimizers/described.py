"""`Described`: options written so that equal ones are written alike in any process: a study is known by them.

Functions, programs and models would be written with an address; here they go by name and digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from thalweg.program import Flow, Learned


class Described:
    """Gives a data class (made with ``repr=False``) a representation without addresses."""

    def __repr__(self) -> str:
        said = ", ".join(f"{one.name}={_written(getattr(self, one.name))}" for one in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({said})"


def _written(value: Any) -> str:
    if isinstance(value, Learned):
        return f"<learned {value.name} {_digest([value.signature.digest, value.state()])}>"
    if isinstance(value, Flow):
        return f"<flow {value.name} {_digest([value.digest(), value.state()])}>"
    if isinstance(getattr(value, "identity", None), str):
        return f"<model {value.identity}>"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_written(one)}' for key, one in value.items())}}}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"<function {value.__module__}.{value.__qualname__}>"
    return repr(value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
