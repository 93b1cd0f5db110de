"""Peers run in an environment of their own (`make peers`); a bench that lacks its peer says so and reports the rest."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


def peer_python() -> Path | None:
    """The interpreter of the peers' environment: THALWEG_PEERS, else `.peers` here."""
    python = Path(os.environ.get("THALWEG_PEERS", ".peers")) / "bin" / "python"
    return python if python.exists() else None


def run_peer(script: str, *arguments: str, timeout: float = 900) -> dict[str, Any] | None:
    """Run `benchmarks/peers/SCRIPT`; its last line of output is JSON. None where the peer is not here."""
    python = peer_python()
    place = Path("benchmarks/peers") / script
    if python is None or not place.exists():
        return None
    done = subprocess.run(
        [str(python), str(place), *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])
