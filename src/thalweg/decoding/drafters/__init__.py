"""Drafters: which tokens are likely next. What they guess never changes what is written, only how fast.

- `Draft`: a tree of guessed tokens; `Drafter`, `Drafting`, `Verified`: the protocol.
- `PromptLookup`, `TokenRecycling`, `Lookahead`, `Retrieve` and `Fuse` (RASD), `PromptTokenDrafter` (PPD), `DraftModel`.
- `drafter_named(name)`: what a request's `decoder` names.

A new drafter is one file with a `Drafter`; nothing else changes. The loop that uses them is `decoding/speculate.py`.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.decoding.drafters.draft import Draft, Drafter, Drafting, Verified
from thalweg.errors import UnsupportedByBackend

if TYPE_CHECKING:
    from thalweg.decoding.drafters.draft_model import DraftModel
    from thalweg.decoding.drafters.lookahead import Lookahead
    from thalweg.decoding.drafters.prompt_lookup import PromptLookup
    from thalweg.decoding.drafters.prompt_tokens import PromptTokenDrafter, PromptTokens
    from thalweg.decoding.drafters.rasd import Fuse, Retrieve
    from thalweg.decoding.drafters.suffix_store import SuffixStore
    from thalweg.decoding.drafters.token_recycling import TokenRecycling

__all__ = [
    "NAMES", "Draft", "DraftModel", "Drafter", "Drafting", "Fuse", "Lookahead", "PromptLookup", "PromptTokenDrafter",
    "PromptTokens", "Retrieve", "SuffixStore", "TokenRecycling", "Verified", "drafter_named", "suited",
]  # fmt: skip

_FILES = {
    "DraftModel": "draft_model", "Fuse": "rasd", "Lookahead": "lookahead", "PromptLookup": "prompt_lookup",
    "PromptTokenDrafter": "prompt_tokens", "PromptTokens": "prompt_tokens", "Retrieve": "rasd",
    "SuffixStore": "suffix_store", "TokenRecycling": "token_recycling",
}  # fmt: skip
_CHEAP = 4.0  # a pass of sixteen rows costs at most so many of one where trees of unlikely guesses pay

# Names that a request's `decoder` may be -> (module, class). The class is made without arguments.
_NAMED = {
    "prompt_lookup": ("prompt_lookup", "PromptLookup"),
    "token_recycling": ("token_recycling", "TokenRecycling"),
    "lookahead": ("lookahead", "Lookahead"),
    "rasd": ("rasd", "Fuse"),
    "prompt_tokens": ("prompt_tokens", "PromptTokenDrafter"),
}
NAMES = ("plain", "auto", *_NAMED)


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def suited(scorer: Any) -> str:
    """The drafter that ``auto`` stands for on this scorer, by the measured cost of its rows.

    Where rows are dear only long runs pay: `lookahead`, which finds them in the prompt and in earlier answers. Where
    sixteen rows cost little more than one, `rasd` adds the model's own second thoughts.
    """
    return "rasd" if scorer.cost(16) <= _CHEAP * scorer.cost(1) else "lookahead"


def drafter_named(name: str) -> Drafter:
    """A new drafter of that name.

    Raises:
        UnsupportedByBackend: there is none.
    """
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
