"""Write one value with guesses: several tokens a pass where the guesses are right, the same tokens always.

A drafter proposes a tree of tokens behind what is known; one pass gives the model's logits after all of them; then the
next token is drawn exactly as without guesses - under the constraint, with random numbers keyed by position - and as
long as the draw is a child in the tree, the pass has already computed what follows it. So the output does not depend
on the drafter, at any temperature. How many guesses a pass carries is the `Budget`'s decision: where wider passes cost
more than the guesses are worth, none.

Source: speculative decoding, Leviathan et al. 2023, deterministic acceptance; trees: SpecInfer, Miao et al. 2024.
Cost: a pass a step; at worst a plain step with a little bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from thalweg.decoding.budget import Guesses
from thalweg.decoding.constraints import Constraint
from thalweg.decoding.drafters.draft import Draft, Verified
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.stops import Stops
from thalweg.decoding.verifiers import speculative_sampling
from thalweg.decoding.writing import Generated, Writing
from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits


@dataclass
class Speculation:
    """What speculation did for one answer. Mean accepted tokens a pass is ``tokens / passes``."""

    passes: int = 0
    tokens: int = 0  # written from the passes' logits, forced ones included
    drafted: int = 0  # nodes scored
    accepted: int = 0  # of them right
    rows: list[int] = field(default_factory=list)  # of each pass

    @property
    def mean_accepted(self) -> float:
        return self.tokens / self.passes if self.passes else 0.0


def speculate(
    prompt: Sequence[int],
    constraint: Constraint,
    sampling: Sampling,
    *,
    end: int,
    limit: int,
    reserve: int,
    guesses: Guesses,
    lossless: str = "exact",
    observe: Callable[[list[int]], None] | None = None,
    record: Callable[[Verified], None] | None = None,
    speculation: Speculation | None = None,
    stops: Stops | None = None,
    logprobs: int = -1,
) -> Decoder[Generated]:
    """Decode behind `prompt`, whose last token is not computed yet.

    Args:
        limit, reserve, observe, stops, logprobs: as for `generate`.
        guesses: a drafter at work, and the budget that decides how many of its guesses a pass carries.
        lossless: ``distribution`` verifies by `speculative_sampling` where the drafter tells its `proposals`.
        record: called with every verified draft.
        speculation: counters to fill.
    """
    counts = speculation or Speculation()
    drafting, budget = guesses.drafting, guesses.budget
    writing = Writing(constraint, sampling, limit=limit, reserve=reserve, stops=stops, logprobs=logprobs)
    new = writing.follow()
    known = [*prompt, *new]
    pending, commit = [prompt[-1], *new], -1
    while True:
        if observe and new:
            observe(new)
        if writing.done:
            drafting.finish(known)
            return writing.generated(end)
        draft = Draft()
        if not writing.closing:
            most = budget.most(len(pending))
            if most > 0:
                draft = budget.fit(drafting.propose(known, most), len(pending), depth=limit - len(writing.out) - 1)
        fragment = _fragment(pending, draft, commit, uniform=constraint.uniform)
        root, *logits = yield fragment
        base = len(pending)
        proposals = getattr(drafting, "proposals", None) if lossless == "distribution" else None
        if proposals is None:
            accepted, new, pending = _verify(writing, draft, root, logits)
        else:
            accepted, new, pending = speculative_sampling(writing, draft, root, logits, proposals)
        commit = base + accepted[-1] if accepted else base - 1
        known += new
        verified = Verified(draft, root, logits, accepted, new)
        budget.observe(draft, accepted)
        drafting.observe(verified)
        counts.passes += 1
        counts.tokens += len(new)
        counts.drafted += len(draft)
        counts.accepted += len(accepted)
        counts.rows.append(len(fragment.tokens))
        if record:
            record(verified)


def _verify(
    writing: Writing, draft: Draft, root: Logits, logits: Sequence[Logits]
) -> tuple[list[int], list[int], list[int]]:
    """Draw tokens as long as the tree holds them.

    Returns:
        The accepted nodes, all tokens written, and those of them that are not computed yet.
    """
    accepted: list[int] = []
    written: list[int] = []
    node = -1
    while True:
        new = writing.draw(root if node < 0 else logits[node])
        written += new
        for i, token in enumerate(new):
            child = draft.child(node, token)
            if child < 0:
                return accepted, written, new[i:]
            accepted.append(child)
            node = child
        if writing.done:
            return accepted, written, []


def _fragment(pending: Sequence[int], draft: Draft, commit: int, *, uniform: bool) -> Fragment:
    """The known tokens that are not computed, and the draft behind them."""
    base = len(pending)
    return Fragment(
        [*pending, *draft.tokens],
        [*range(-1, base - 1), *(base + parent if parent >= 0 else base - 1 for parent in draft.parents)],
        [False] * (base - 1) + [True] * (1 + len(draft)),
        uniform=uniform,
        commit=commit,
        soft={base + node: row for node, row in draft.soft.items()},
    )
