"""The journal of a `Repair`: each proposal and each check is a step that is written down before it counts.

A resumed search takes the steps again, finds their records by their places and goes on from what was spent then, so no
check is made twice and no budget grows. A verdict is stored as JSON; a witness is read back as data, never executed.
Cost: one row of the journal, in a transaction of its own, for each step.
"""

from __future__ import annotations

import ast
import json
import time
from typing import Any

from thalweg.errors import NonDeterminism
from thalweg.program.budget import Ledger, Spent
from thalweg.program.journal import Scope
from thalweg.program.score import Verdict
from thalweg.program.store import Call, Store
from thalweg.program.types import jsonable, plan


class Steps:
    """The steps of one search in the journal, and what was spent when the last of them was settled.

    Whether to go on is decided by `spent` alone, which is recorded: a resumed search stops where it would have.
    """

    def __init__(self, place: Scope, store: Store | None, ledger: Ledger) -> None:
        self.place = place
        self.store = store
        self.ledger = ledger
        self.spent = Spent()

    def next(self, kind: str) -> tuple[str, Call | None]:
        """Path of the next step, and its record when it was settled by the run that is resumed."""
        path = self.place.next(kind)
        if not self.place.replay or self.store is None:
            return path, None
        return path, self.store.call(self.place.run, path)

    def compare(self, path: str, kind: str, function: str, inputs: dict[str, Any], recorded: Call) -> None:
        """Raise `NonDeterminism` when the recorded step is another one."""
        same = (recorded.kind, recorded.function, recorded.inputs) == (kind, function, json.dumps(inputs))
        if not same or recorded.value is None:
            raise NonDeterminism(
                f"At {path} the run {self.place.run} recorded another step than the search now takes.",
                "Give the same command on the same program and data, or start over with --fresh.",
            )

    def settle(
        self, path: str, kind: str, function: str, inputs: dict[str, Any], found: Any, error: str | None,
        started: float, recorded: Call | None,
    ) -> None:  # fmt: skip
        """Write the step down; of one that is recorded, go on from what was spent then."""
        if recorded is not None:
            self.compare(path, kind, function, inputs, recorded)
            self.spent = Spent.from_json(json.loads(recorded.value or "")["spent"])
            self.ledger.restore(self.spent)
            return
        self.spent = self.ledger.read()
        if self.store is not None:
            value = {"found": found, "spent": self.spent.to_json()}
            write_row(self.store, self.place.run, path, kind, function, inputs, value, error, started)


def write_row(
    store: Store, run: str, path: str, kind: str, function: str, inputs: Any, value: Any,
    error: str | None, started: float,
) -> None:  # fmt: skip
    """One row of the journal that is no call of a model: without key and answer, so that no cache takes it for one."""
    packed = None if value is None else json.dumps(value)
    store.record(
        Call(run, path, kind, function, None, json.dumps(inputs), None, None, packed, error, None, None, started,
             time.time() - started)
    )  # fmt: skip


def verdict_to(verdict: Verdict, annotation: Any) -> dict[str, Any]:
    """JSON of a verdict. The witness is readable in it; "exact" reads it back, null where nothing does."""
    witness = verdict.witness
    exact: Any = None
    try:
        if annotation is not None:
            typed = plan(annotation)
            form = typed.to_json(witness)
            exact = {"typed": form} if typed.from_json(form) == witness else None
        else:
            text = repr(witness)
            back = ast.literal_eval(text)
            exact = {"literal": text} if back == witness and type(back) is type(witness) else None
    except Exception:  # of a type whose values cannot be read back
        exact = None
    return {
        "status": verdict.status, "cases": verdict.cases, "witness": jsonable(witness), "exact": exact,
        "evidence": verdict.evidence,
    }  # fmt: skip


def verdict_from(recorded: Call, annotation: Any) -> Verdict | None:
    """The recorded verdict; None when its witness cannot be read back."""
    packed = json.loads(recorded.value or "")["found"]
    exact, witness = packed["exact"], None
    if packed["status"] == "refuted":
        if exact is None or ("typed" in exact and annotation is None):
            return None
        typed = "typed" in exact
        witness = plan(annotation).from_json(exact["typed"]) if typed else ast.literal_eval(exact["literal"])
    return Verdict(packed["status"], packed["cases"], witness, packed["evidence"])
