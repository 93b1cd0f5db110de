"""`FunctionalCache`: candidates that behave alike are evaluated once, however they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.optimizing.search import Search, Trial
    from thalweg.program.spaces import Genome


class FunctionalCache:
    """Knows trials by how they behave."""

    saved = 0  # evaluations that were not made

    def twin(self, search: Search, genome: Genome) -> Trial | None:
        """An earlier trial that behaves like a candidate."""
        raise NotImplementedError

    def keep(self, search: Search, trial: Trial) -> None:
        """Remember how a trial behaved."""
        raise NotImplementedError
