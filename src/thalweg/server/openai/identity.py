"""Which models a server answers for, and under which name."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from thalweg.errors import RequestRefused

ALIAS = "thalweg"  # of the server's model, and of its embedder


@dataclass(frozen=True)
class Identity:
    """How an answer names its model: `fingerprint` changes with weights, format and engine."""

    name: str
    fingerprint: str

    @staticmethod
    def new_id(kind: str) -> str:
        return f"{kind}-{secrets.token_hex(12)}"


def language_model(service: Any, asked: str) -> Identity:
    """The server's model, if it is the one asked for: by its name, or as ``thalweg``.

    Raises:
        RequestRefused: 404.
    """
    if asked not in (ALIAS, service.name):
        raise unknown(asked, service.name)
    digest = hashlib.blake2b(service.model.identity.encode(), digest_size=5).hexdigest()
    return Identity(service.name, f"fp_{digest}")


def unknown(asked: str, *known: str) -> RequestRefused:
    """The refusal of a model that is not here."""
    return RequestRefused(
        f"The model {asked!r} is not here.", f"Ask for {' or '.join((ALIAS, *known))}.", param="model",
        code="model_not_found", status=404,
    )  # fmt: skip
