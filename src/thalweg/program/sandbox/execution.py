"""What a run leaves behind: `Execution` of a program, `Report` of a trial with one `Check` for each test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thalweg.program.score import Score, Verdict

Status = Literal["ok", "error", "timeout", "killed", "memory"]


@dataclass(frozen=True)
class Execution:
    """How a program ended.

    `status`: "ok" it reached its end (or `sys.exit(0)`); "error" it raised, left with another code, or left early;
    "timeout" out of seconds; "memory" out of memory; "killed" ended by a signal or by another limit (see `reason`).
    `backend` names the layers that were in force, `truncated` says that output beyond the limit was dropped.
    """

    stdout: str
    stderr: str
    exit_code: int | None
    status: Status
    seconds: float
    backend: str
    truncated: bool = False
    reason: str = ""
    kind: str = ""
    line: int | None = None
    traceback: str = ""

    def __bool__(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True)
class Check:
    """One test: "passed", "failed" (an assertion), "error" (anything else), "timeout", or "unreached"."""

    name: str
    status: Literal["passed", "failed", "error", "timeout", "unreached"]
    message: str = ""

    def __bool__(self) -> bool:
        return self.status == "passed"


@dataclass(frozen=True)
class Report:
    """A trial: every test with its outcome, in the order of the tests. True when all passed."""

    checks: tuple[Check, ...]
    seconds: float
    backend: str
    stdout: str = ""
    stderr: str = ""

    def __bool__(self) -> bool:
        return bool(self.checks) and all(self.checks)

    @property
    def passed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check)

    @property
    def verdict(self) -> Verdict:
        """`tested(n)` when all n passed, `refuted` by the first that did not, `unknown` where none came to an end."""
        if self:
            return Verdict("tested", cases=len(self.checks), evidence=self.feedback)
        decided = [check for check in self.failed if check.status != "unreached"]
        if not decided:
            return Verdict("unknown", cases=len(self.passed), evidence=self.feedback)
        return Verdict("refuted", cases=len(self.checks), witness=decided[0].name, evidence=self.feedback)

    @property
    def score(self) -> Score:
        """The share of tests passed, with the feedback."""
        return Score(len(self.passed) / len(self.checks) if self.checks else 0.0, self.feedback)

    @property
    def feedback(self) -> str:
        """One line a test that did not pass, for whoever repairs the program; the count alone when all passed."""
        lines = [f"{len(self.passed)} of {len(self.checks)} tests passed."]
        lines += [f"{check.status}: {check.name}\n  {check.message}".rstrip() for check in self.failed]
        return "\n".join(lines)
