"""`tune_threshold`: the largest loss that may be accepted for labels to shrink without outputs getting worse.

For every threshold of a grid, each validation pair is labelled and its value made as `Permissive` would; the threshold
taken is the largest at which, and at all smaller ones, the share of right outputs is at least `agreement` times that of
the unrestricted call. Source: Siddiqui et al. 2024, who tune it on validation data. Cost: every sub-context of a pair
is scored once; each further threshold costs a call only where it gives another label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from thalweg.errors import LabelError
from thalweg.program.labels.context import Context
from thalweg.program.labels.labelled import unlabel
from thalweg.program.labels.lattice import Lattice
from thalweg.program.labels.propagator import calls_apart
from thalweg.program.labels.rescoring import Rescoring
from thalweg.program.session import Session
from thalweg.program.signature import row_inputs

if TYPE_CHECKING:
    from thalweg.program.labels.permissive import Permissive
    from thalweg.program.learned import Learned

GRID = tuple(0.02 * 2 ** (step / 2) for step in range(17))  # 0.02 to 5.12 nats


def tune_threshold(
    learned: Learned[..., Any],
    pairs: Sequence[tuple[Any, Any]],
    *,
    lattice: Lattice | None = None,
    agreement: float = 0.95,
    grid: Sequence[float] = GRID,
    propagator: Permissive | None = None,
    session: Session | None = None,
) -> float:
    """A threshold for ``Permissive(threshold=...)`` of this function.

    Args:
        pairs: (row, wanted output); rows as `map` takes them, with `labelled` values inside. The output ``...`` stands
            for the unrestricted answer.
        lattice: what the labels belong to. agreement: share of right outputs to keep, against the unrestricted call.
        grid: thresholds tried, in nats. propagator: whose other settings hold; default: `Permissive(lattice)`.

    Raises:
        LabelError: no pairs, or labels that do not fit. What calls of `learned` raise.
    """
    from thalweg.program.labels.permissive import Permissive

    if not pairs:
        raise LabelError(f"There is no pair to tune the threshold of `{learned.name}` on.", "Pass some (row, output).")
    session = session or learned._session()
    policy = propagator or Permissive(lattice)
    with calls_apart(learned, session):
        cases = [case(learned, row, wanted, policy.lattice, session, i) for i, (row, wanted) in enumerate(pairs)]
        return largest(cases, policy, agreement, grid)


def case(
    learned: Learned[..., Any], row: Any, wanted: Any, lattice: Lattice | None, session: Session, index: int = 0
) -> tuple[Rescoring, Any]:
    """One validation pair: its calls, each made once, and the wanted value."""
    args, kwargs = row_inputs([field.name for field in learned.signature.inputs], row, index)
    inputs, labels = unlabel(learned.signature.bind(args, kwargs))
    calls = Rescoring(learned, session, Context.of(inputs, labels, lattice))
    return calls, calls.answer(calls.context.whole).value if wanted is ... else wanted


def largest(
    cases: Sequence[tuple[Rescoring, Any]], policy: Permissive, agreement: float = 0.95, grid: Sequence[float] = GRID
) -> float:
    """The largest threshold of the grid that keeps the share of right values; the cases may be of several functions."""
    needed = agreement * sum(calls.answer(calls.context.whole).value == wanted for calls, wanted in cases)
    best = min(grid)
    for threshold in sorted(grid):
        right = sum(calls.answer(policy.choose(calls, threshold)).value == wanted for calls, wanted in cases)
        if right < needed:
            break
        best = threshold
    return best
