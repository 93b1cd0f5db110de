"""`Permissive`: the value of a learned call with the labels of those inputs alone that mattered for it.

Choose it where calls read from many sources and use few. A label is similar when the unrestricted answer is nearly as
likely without what lies above the label; of the similar labels a minimal one is taken, and **the value is made anew
from what lies at or below it**, so that the label is true by construction and does not rest on the estimate.
Source: Siddiqui et al. 2024, "Permissive information-flow analysis for large language models".
Cost: with n sources of which one matters n + 4 calls, or 2^n where all sub-contexts are tried; prompts are shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from thalweg.errors import LabelError, ModelError
from thalweg.program.labels.context import Context
from thalweg.program.labels.label import Label
from thalweg.program.labels.labelled import Labels
from thalweg.program.labels.lattice import Lattice
from thalweg.program.labels.propagator import Conservative, Evidence, Propagated, calls_apart, kept
from thalweg.program.labels.rescoring import Rescoring
from thalweg.program.labels.search import leave_out, search
from thalweg.program.session import Session, model_in_force

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class Permissive:
    """Labels by leave-out re-scoring, values by regeneration.

    **What is safe.** The value is the function's value on a context without anything above its label; what is withheld
    cannot change it (greedily or with a fixed seed, and as far as a model's answer does not depend on what it computes
    beside it: `capabilities.exact_rows`). **What is not**: *which* label was chosen depends on all
    inputs, and so do time, evidence and the journal. ``declassify=False`` closes the label's channel: labels are tried
    upwards, sources joining in the lattice's order, and the decision to stop at a label reads only what lies at or
    below it - the answer made there must itself be likely enough, ``-log p <= threshold``, which bounds its loss
    against every larger context. Value and label then depend on nothing above the label; only the time that the call
    takes (how many labels were tried, which the label tells anyhow) and the number of withheld pieces remain. It is
    cruder: a source late in the order is reached only through all before it.

    Args:
        lattice: what the labels belong to; default: sets of the sources that occur.
        threshold: the largest loss of a similar label in nats: of the value for a finite type, per drawn token else.
            ``"auto"`` tunes it on `validation` once for each function and model (`tune_threshold`).
        method: ``leave_out`` tries all labels where there are at most `exhaustive`, else prunes by leaving one source
            out at a time; ``exhaustive`` and ``prune`` do always the one (see `search`).
        regenerate: True returns the value made under the chosen label, whatever it is. False returns only the
            unrestricted value: a label then also has to give an identical one.
        declassify: whether the choice of the label may depend on what lies above it; see above.
        exhaustive: the most sub-contexts that ``leave_out`` scores in one wave.
        validation: pairs (row, output) for ``"auto"``, their rows with `labelled` values; they count as public.

    Raises:
        LabelError: ``"auto"`` without validation pairs. ValueError: a threshold below 0, or an unknown method.
    """

    lattice: Lattice | None = None
    threshold: float | Literal["auto"] = 0.5
    method: Literal["leave_out", "exhaustive", "prune"] = "leave_out"
    regenerate: bool = True
    declassify: bool = True
    exhaustive: int = 16
    validation: Sequence[tuple[Any, Any]] = ()
    _tuned: dict[Any, float] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.method not in ("leave_out", "exhaustive", "prune"):
            raise ValueError(f"method={self.method!r}; choose one of leave_out, exhaustive, prune")
        if self.threshold == "auto":
            if not self.validation:
                what = 'Permissive(threshold="auto") has no pairs to tune its threshold on.'
                raise LabelError(what, "Pass validation=[(row, output), ...], or a threshold in nats.")
        elif not isinstance(self.threshold, int | float) or not self.threshold >= 0:
            raise ValueError(f'threshold={self.threshold!r}; give a number of nats from 0 upwards, or "auto"')

    def propagate(
        self,
        learned: Learned[..., Any],
        inputs: Mapping[str, Any],
        labels: Mapping[str, Labels],
        session: Session | None = None,
    ) -> Propagated:
        """Value, label and evidence of one call. See `Propagator.propagate`.

        Raises:
            UnsupportedByBackend: the model returns no probabilities and ``declassify`` is on.
        """
        session = session or learned._session()
        context = Context.of(inputs, labels, self.lattice)
        if session.mode == "python" or not context.pieces:
            return Conservative(context.lattice).propagate(learned, inputs, labels, session)
        learned._require(inputs)
        try:
            threshold = self.threshold_for(learned, session)
            with calls_apart(learned, session) as made:
                calls = Rescoring(learned, session, context)
                label = self.choose(calls, threshold)
                chosen = calls.answer(label)
                made.append(chosen.answer)
                evidence = self._evidence(calls, label, threshold)
                value = kept(learned, context.under(label), session, chosen.value)
            return Propagated(value, label, evidence)
        except ModelError:
            if session.mode != "fallback":
                raise
            return Conservative(context.lattice).propagate(learned, inputs, labels, replace(session, mode="python"))

    def choose(self, calls: Rescoring, threshold: float) -> Label:
        """The label of one call; all scores of a wave are submitted together."""
        if not self.declassify:
            return _ascend(calls, threshold)
        context = calls.context
        family = None
        if self.method != "prune":
            family = context.family(self.exhaustive if self.method == "leave_out" else 2**16)
        calls.begin(context.whole)
        calls.prefetch([context.whole, *(family or leave_out(context, context.whole).values())])

        def identical(labels: Sequence[Label]) -> list[float]:
            """Losses, infinite where the answer is another one."""
            losses = calls.losses(labels)
            near = [label for label, loss in zip(labels, losses, strict=True) if loss <= threshold]
            calls.begin(*near)
            wanted = calls.answer(context.whole).answer.text
            other = {label for label in near if calls.answer(label).answer.text != wanted}
            return [math.inf if label in other else loss for label, loss in zip(labels, losses, strict=True)]

        return search(context, calls.losses if self.regenerate else identical, threshold, family)

    def threshold_for(self, learned: Learned[..., Any], session: Session) -> float:
        """The threshold in force; ``"auto"`` is tuned here at its first use."""
        if self.threshold != "auto":
            return float(self.threshold)
        from thalweg.program.labels.tuning import tune_threshold

        key = (learned.signature.digest, repr(learned.parameters), model_in_force(session).identity)
        if key not in self._tuned:
            self._tuned[key] = tune_threshold(learned, self.validation, propagator=self, session=session)
        return self._tuned[key]

    def _evidence(self, calls: Rescoring, label: Label, threshold: float) -> Evidence:
        context = calls.context
        shown: dict[str, Any] = {"threshold": threshold, "withheld": context.withheld(label)}
        if not self.declassify:
            tried = [one for one in _upwards(context) if one <= label]
            shown |= {"losses": {one: calls.own_loss(one) for one in tried}, "reads": label}
            return Evidence("permissive, declassify=False", calls=calls.calls, waves=calls.waves, **shown)
        without = leave_out(context, context.whole)
        if calls.finite:
            shown["divergence"] = {source: calls.divergence(low) for source, low in without.items()}
        answers = [calls.answer(one).answer.text for one in (context.whole, label)]
        return Evidence(
            "permissive",
            reads=context.whole,
            influence=dict(zip(without, calls.losses(list(without.values())), strict=True)),
            losses=calls.known_losses(),
            agrees=answers[0] == answers[1],
            calls=calls.calls,
            waves=calls.waves,
            **shown,
        )


def _upwards(context: Context) -> list[Label]:
    """The labels that ``declassify=False`` tries: sources joining one by one in the lattice's order."""
    steps = [context.tight(context.lattice.closed(context.sources[:k])) for k in range(len(context.sources) + 1)]
    return list(dict.fromkeys(steps))


def _ascend(calls: Rescoring, threshold: float) -> Label:
    """The first label whose own answer is likely enough; nothing above it is read."""
    for label in _upwards(calls.context):
        if label == calls.context.whole or calls.own_loss(label) <= threshold:
            return label
    raise AssertionError("the whole context is the last to be tried")
