"""What answers: language models, embedders, recordings. The lowest room; it imports nothing above it.

`load("smollm2-135m")` opens a model by name, `names()` lists them. A local model is a `Scorer`: prefixes in a cache,
and one operation, `score`, on which all decoding stands; the `Engine` of the room above turns it into something that
answers. `RemoteModel`, `RecordedModel` and `ScriptedModel` answer a `Request` with an `Answer` themselves. Embedders
(`MiniLM`) turn texts into vectors.

To add an engine: a file with a class that keeps the `Scorer` protocol and declares its `Capabilities`; to add a named
model: an entry in `catalog`. The currency (`request`, `scorer`) is what all rooms above rely on: change it last.
Engines and numpy are heavy, so names that need them are imported when first used; this room's door stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.models import openmp as openmp  # sets up the engine's threads, before any engine is loaded
from thalweg.models.catalog import load, names
from thalweg.models.request import Answer, Capabilities, Format, Hint, Message, Request, Sampling, TokenLogprob, Usage

if TYPE_CHECKING:
    from thalweg.models.embedder import Embedder
    from thalweg.models.llama_cpp import LlamaCpp
    from thalweg.models.llama_tree import LlamaTree
    from thalweg.models.minilm import MiniLM
    from thalweg.models.recorded import RecordedModel
    from thalweg.models.remote import RemoteModel
    from thalweg.models.scorer import Forest, Prefix, Scorer, Scores
    from thalweg.models.scripted import ScriptedModel
    from thalweg.models.torch import TorchLM

__all__ = [
    "Answer",
    "Capabilities",
    "Embedder",
    "Forest",
    "Format",
    "Hint",
    "LlamaCpp",
    "LlamaTree",
    "Message",
    "MiniLM",
    "Prefix",
    "RecordedModel",
    "RemoteModel",
    "Request",
    "Sampling",
    "Scorer",
    "Scores",
    "ScriptedModel",
    "TokenLogprob",
    "TorchLM",
    "Usage",
    "load",
    "names",
]

_HEAVY = {
    "Embedder": "embedder",
    "Forest": "scorer",
    "LlamaCpp": "llama_cpp",
    "LlamaTree": "llama_tree",
    "MiniLM": "minilm",
    "Prefix": "scorer",
    "RecordedModel": "recorded",
    "RemoteModel": "remote",
    "Scorer": "scorer",
    "Scores": "scorer",
    "ScriptedModel": "scripted",
    "TorchLM": "torch",
}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
