"""Training: what makes calls better by changing weights. Needs torch; nothing is imported before it is used.

Lives here: `train_prompt_tokens` (the embedding rows of PPD). Adapters and objectives come with the tuning of learned
functions. Every trainer takes the torch engine's decoder (`thalweg.models.torch`), data as token ids, and gives an
artefact that the room which uses it can save and load.

To add a trainer: one file with a function that returns such an artefact. May import `program` and everything below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.training.prompt_tokens import train_prompt_tokens

__all__ = ["train_prompt_tokens"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("thalweg.training.prompt_tokens"), name)
