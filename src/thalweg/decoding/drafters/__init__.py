"""Drafters: which tokens are likely next. What they guess never changes what is written, only how fast.

- `Draft`: a tree of guessed tokens; `Drafter`, `Drafting`, `Verified`: the protocol.

A new drafter is one file with a `Drafter`; nothing else changes. The loop that uses them is `decoding/speculate.py`.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from thalweg.decoding.drafters.draft import Draft, Drafter, Drafting, Verified
from thalweg.errors import UnsupportedByBackend

__all__ = ["NAMES", "Draft", "Drafter", "Drafting", "Verified", "drafter_named"]

# Names that a request's `decoder` may be -> (module, class). The class is made without arguments.
_NAMED = {
    "prompt_lookup": ("prompt_lookup", "PromptLookup"),
    "token_recycling": ("token_recycling", "TokenRecycling"),
    "lookahead": ("lookahead", "Lookahead"),
    "rasd": ("rasd", "Fuse"),
    "prompt_tokens": ("prompt_tokens", "PromptTokenDrafter"),
}
NAMES = ("plain", "auto", *_NAMED)


def drafter_named(name: str) -> Drafter:
    """A new drafter of that name.

    Raises:
        UnsupportedByBackend: there is none.
    """
    if name == "auto":
        name = "prompt_lookup"
    if name not in _NAMED:
        near = difflib.get_close_matches(name, NAMES, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise UnsupportedByBackend(
            f"There is no decoder named {name!r}.{guess}",
            f"Choose one of {', '.join(NAMES)}, or give the engine your own with `use_drafter`.",
        )
    module, made = _NAMED[name]
    drafter: Any = getattr(import_module(f"{__name__}.{module}"), made)
    return drafter()
