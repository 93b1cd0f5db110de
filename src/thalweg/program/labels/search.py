"""`search`: the minimal labels whose loss is small enough. All at once where they are few, else by leaving one out.

A label is acceptable if its loss is within the threshold and it holds every *needed* source: one whose removal alone
loses more. (Where leaving out more never helps, the second follows from the first.) Exhaustive: every sub-context is
scored in one wave, and a minimal acceptable label is taken, of the fewest sources, then the least loss. Pruning: score
all contexts that lack one source more; drop the harmless sources together, and where that does harm, as many of them,
the most harmless first, as does none; again until no single source can go. The result then has no acceptable label
right below it (1-minimal: Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input"), and is
minimal where leaving out more never helps.
Cost: with n sources 2^n scores in one wave, or for every round of pruning at most 2n scores in three waves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from thalweg.program.labels.context import Context
from thalweg.program.labels.label import Label

Losses = Callable[[Sequence[Label]], Sequence[float]]
"""Losses of labels, scored as one wave; known ones cost nothing."""


def search(context: Context, losses: Losses, threshold: float, family: Sequence[Label] | None = None) -> Label:
    """A minimal acceptable label; that of the whole context (loss 0) if there is none below.

    Args:
        losses: of tight labels (see `Context.tight`). family: all of them, where all are to be tried; None prunes.
    """
    without = leave_out(context, context.whole)
    if family is not None:
        losses([*family, *without.values()])
    found = losses(list(without.values()))
    needed = Label(*(source for source, loss in zip(without, found, strict=True) if loss > threshold))
    if family is not None:
        return _exhaustive(context, losses, threshold, needed, family)
    return _prune(context, losses, threshold, needed)


def leave_out(context: Context, label: Label) -> dict[str, Label]:
    """For each source of `label`, the tight label without it."""
    return {
        source: context.tight(context.lattice.without(label, source))
        for source in context.lattice.sources
        if source in label
    }


def minimal(labels: Sequence[Label]) -> list[Label]:
    """Those with no other below them."""
    return [one for one in labels if not any(other < one for other in labels)]


def _exhaustive(context: Context, losses: Losses, threshold: float, needed: Label, family: Sequence[Label]) -> Label:
    known = dict(zip(family, losses(family), strict=True))
    acceptable = [
        label for label in family if label == context.whole or (known[label] <= threshold and needed <= label)
    ]
    return min(minimal(acceptable), key=lambda one: (len(one), known[one], context.order(one)))


def _prune(context: Context, losses: Losses, threshold: float, needed: Label) -> Label:
    current = context.whole
    while current:
        below = [one for one in dict.fromkeys(leave_out(context, current).values()) if needed <= one]
        found = dict(zip(below, losses(below), strict=True))
        harmless = sorted((one for one in below if found[one] <= threshold), key=lambda one: found[one])
        if not harmless:
            return current
        steps = [harmless[0]]
        for one in harmless[1:]:
            lower = context.tight(steps[-1] & one)
            if lower != steps[-1] and needed <= lower:
                steps.append(lower)
        if losses(steps[-1:])[0] <= threshold:
            current = steps[-1]
        else:
            tried = steps[:-1]
            current = [step for step, loss in zip(tried, losses(tried), strict=True) if loss <= threshold][-1]
    return current
