"""Cost models of engines, kept beside the other facts about this machine: measured once, read by every later plan.

`thalweg models prepare` measures; whoever plans asks `kept`. Cost: `profile`'s once, then that of a small file.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from thalweg.models.machine import fingerprint
from thalweg.models.storage import home, lock, read_json, write_json
from thalweg.scheduling.cost import CostModel, profile


def kept(identity: str) -> CostModel | None:
    """The cost model of an engine (`model.identity`) on this machine; None where it was not measured."""
    found = read_json(_place()).get(identity)
    if not isinstance(found, dict):
        return None
    passes = tuple((int(rows), float(seconds)) for rows, seconds in found["passes"])
    return CostModel(**{**found, "reading": tuple(found["reading"]), "passes": passes})


def measured(scorer: Any, *, repeats: int = 3) -> CostModel:
    """Measure an engine that nothing else uses at the moment, and keep what was found."""
    found = profile(scorer, repeats=repeats)
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    with lock(place):
        write_json(place, {**read_json(place), scorer.identity: asdict(found)})
    return found


def _place() -> Any:
    return home() / "machine" / fingerprint() / "profiles.json"
