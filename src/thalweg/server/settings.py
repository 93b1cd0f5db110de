"""`Settings`: what is in force in one server, as frozen data. `thalweg serve` fills it from its options.

Everything has a default that is safe on a laptop: loopback only, no keys, bounded bodies, bounded queue, a time-out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import DataError

ENVIRONMENT = "THALWEG_API_KEYS"
SHORTEST_KEY = 8  # characters


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Args:
        host, port: where it listens; loopback by default.
        api_keys: (tenant, key) pairs; with any, requests must carry one of the keys. Prompts are shared in the
            engine's cache among requests of one tenant only.
        admins: tenants that see everybody's calls on the page.
        max_body_bytes: largest request body.
        timeout_seconds: longest a request may take from arrival to answer; a stream, to its end.
        max_waiting: requests accepted beyond those the model works on; more are told to come back (429).
        grace_seconds: how long a stopping server lets requests finish.
        max_rows: most rows of one ``/map`` request.
        ui: serve the web page.
        cache, journal, store: as in `thalweg.Session`.
        origins: web origins other than the server's own whose pages may call it.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[tuple[str, str], ...] = ()
    admins: tuple[str, ...] = ()
    max_body_bytes: int = 4 * 2**20
    timeout_seconds: float = 300.0
    max_waiting: int = 2048
    grace_seconds: float = 30.0
    max_rows: int = 10_000
    ui: bool = True
    cache: bool = True
    journal: bool = True
    store: Any = None
    origins: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine alone."""
    return host == "localhost" or host.strip("[]") == "::1" or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def keys_from(
    said: Iterable[str] = (), *, file: str | Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """(tenant, key) pairs from options, a file (one a line, ``#`` begins a comment) and THALWEG_API_KEYS (separated by
    commas). A pair is written ``NAME:KEY``; a key alone is of the tenant ``default``.

    Raises:
        DataError: a key is shorter than 8 characters, belongs to two tenants, or the file cannot be read.
    """
    texts = list(said)
    if file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The file of keys {file} cannot be read ({error}).", "Give a text file.") from error
        texts += [line for line in lines if not line.lstrip().startswith("#")]
    texts += (os.environ if environment is None else environment).get(ENVIRONMENT, "").split(",")
    found: dict[str, str] = {}
    for text in (one.strip() for one in texts):
        if not text:
            continue
        tenant, _, key = text.rpartition(":")
        tenant = tenant or "default"
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise DataError(
                f"The API key of {tenant!r} is no {SHORTEST_KEY} or more printable ASCII characters without spaces.",
                "Make one with `python -c 'import secrets; print(secrets.token_urlsafe(24))'`.",
            )
        if found.setdefault(key, tenant) != tenant:
            raise DataError(f"One API key is given to {found[key]!r} and to {tenant!r}.", "Give each its own.")
    return tuple((tenant, key) for key, tenant in found.items())
