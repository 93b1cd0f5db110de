"""`Knn`: a finite value by the model and by votes of the nearest labelled entries; entries are dropped by label.

Choose it where labelled examples are at hand and prompts should not hold them: the model is asked once, and every
sub-context after that is arithmetic. The value is the likeliest of ``weight * p_knn + (1 - weight) * p_model``, where
p_knn takes a softmax over the similarities of the `k` nearest entries that lie at or below the label.
Source: Khandelwal et al. 2020, "Generalization through memorization: nearest neighbor language models"; labels by
leaving entries out as in Siddiqui et al. 2024. Cost: one call, one embedding, some microseconds a label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.errors import ContractViolation, LabelError, TypeNotSupported
from thalweg.program.labels.context import Context
from thalweg.program.labels.label import BOTTOM, Label
from thalweg.program.labels.labelled import Labels
from thalweg.program.labels.lattice import Lattice
from thalweg.program.labels.propagator import Evidence, Propagated, calls_apart, check_asks_once
from thalweg.program.labels.search import leave_out, search
from thalweg.program.session import Session
from thalweg.program.types import render_value

if TYPE_CHECKING:
    from thalweg.program.learned import Learned

FAMILY = 1 << 12  # most labels tried one and all; a label costs microseconds here


@dataclass(frozen=True)
class Entry:
    """One remembered case: a text near which `value` is right, and where that knowledge came from."""

    key: str
    value: Any
    label: Label = BOTTOM


@dataclass(frozen=True, eq=False)
class Knn:
    """Votes of labelled entries mixed with the model's distribution.

    The inputs of the call go to the model as they are, so that their labels are in the result always; what shrinks is
    the label of the entries. The value follows from the inputs and the entries at or below the label alone, but *which*
    label was chosen depends on all entries, as with `Permissive`.

    Args:
        entries: what is remembered.
        lattice: what the labels belong to; default: sets of the sources that occur.
        threshold: the largest loss of a similar label, in nats.
        k: neighbours that vote. weight: of their vote against the model's. temperature: of the softmax over cosine
            similarities; small ones let the nearest decide.
        embedder: a `thalweg.models.embedder.Embedder`; default: the packaged MiniLM.
        query: from the inputs to the text that is compared with the entries' keys; default: all inputs, by lines.
    """

    entries: Sequence[Entry]
    lattice: Lattice | None = None
    threshold: float = 0.5
    k: int = 8
    weight: float = 0.5
    temperature: float = 0.05
    embedder: Any = None
    query: Callable[[Mapping[str, Any]], str] | None = None
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.entries:
            raise LabelError("Knn has no entries to ask.", "Pass entries=[Entry(key, value, label), ...].")
        if not (0 <= self.weight < 1 and self.k >= 1 and self.temperature > 0):
            raise ValueError(f"weight={self.weight!r}, k={self.k!r}, temperature={self.temperature!r}: out of range")

    def propagate(
        self,
        learned: Learned[..., Any],
        inputs: Mapping[str, Any],
        labels: Mapping[str, Labels],
        session: Session | None = None,
    ) -> Propagated:
        """The likeliest value of the mixture; temperature and seed are not used. See `Propagator.propagate`.

        Raises:
            TypeNotSupported: the output type is not finite.
        """
        output = learned.signature.output
        values = output.values()
        if values is None or output.format.kind != "choices":
            raise TypeNotSupported(
                f"`{learned.name}` returns one of infinitely many values, on which neighbours cannot vote.",
                "Use `Permissive`, or a finite output type.",
            )
        session = session or learned._session()
        learned._require(inputs)
        given = Context.of(inputs, labels, self.lattice).whole
        remembered = {"entries": [entry.value for entry in self.entries]}
        context = Context.of(remembered, {"entries": [entry.label for entry in self.entries]}, self.lattice)
        probabilities = self._model(learned, inputs, session)
        choices = output.format.choices
        votes = [choices.index(output.encode(entry.value)) for entry in self.entries]
        near = self._similarities(inputs)
        lowered = [context.lattice.closed(entry.label) for entry in self.entries]

        def mixture(label: Label) -> list[float]:
            allowed = [i for i, one in enumerate(lowered) if one <= label]
            nearest = sorted(allowed, key=lambda i: (-near[i], i))[: self.k]
            weights = [math.exp((near[i] - near[nearest[0]]) / self.temperature) for i in nearest]
            share = self.weight if nearest else 0.0
            mixed = [(1 - share) * p for p in probabilities]
            for i, weight in zip(nearest, weights, strict=True):
                mixed[votes[i]] += share * weight / math.fsum(weights)
            return mixed

        def best_of(table: list[float]) -> int:
            """The likeliest value that the function's contract lets pass."""
            problem = ""
            for i in sorted(range(len(table)), key=lambda i: -table[i]):
                if not (problem := learned._refused(inputs, values[i])):
                    return i
            raise ContractViolation(
                f"No value that `{learned.name}` can give keeps its contract, the least likely neither: {problem}.",
                "Loosen the condition, or check the inputs before the call.",
            )

        whole = mixture(context.whole)
        chosen = best_of(whole)

        def losses(tried: Sequence[Label]) -> list[float]:
            return [_loss(whole[chosen], mixture(label)[chosen]) for label in tried]

        family = context.family(FAMILY)
        label = search(context, losses, self.threshold, family)
        table = mixture(label)
        best = best_of(table)
        without = leave_out(context, context.whole)
        tried = [context.whole, *without.values(), label]
        evidence = Evidence(
            "knn",
            reads=given | context.whole,
            influence=dict(zip(without, losses(list(without.values())), strict=True)),
            losses=dict(zip(tried, losses(tried), strict=True)),
            threshold=self.threshold,
            withheld=context.withheld(label),
            agrees=best == chosen,
        )
        return Propagated(values[best], given | label, evidence)

    def _model(self, learned: Learned[..., Any], inputs: Mapping[str, Any], session: Session) -> tuple[float, ...]:
        check_asks_once(learned, session)
        choices = learned.signature.output.format.choices

        def decode(answer: Any) -> tuple[Any, Any]:
            made.append(answer)
            shown = [list(pair) for pair in zip(choices, answer.probabilities, strict=True)]
            return answer.probabilities, shown

        with calls_apart(learned, session) as made:
            return learned._submit(dict(inputs), session, want="distribution", decode=decode).result()

    def _similarities(self, inputs: Mapping[str, Any]) -> list[float]:
        """Cosine similarity of the query to each entry's key."""
        if "embedder" not in self._kept:
            embedder = self.embedder
            if embedder is None:
                from thalweg.models.minilm import MiniLM

                embedder = MiniLM()
            self._kept["keys"] = embedder.embed([entry.key for entry in self.entries])
            self._kept["embedder"] = embedder
        text = self.query(inputs) if self.query else "\n".join(map(render_value, inputs.values()))
        return (self._kept["keys"] @ self._kept["embedder"].embed([text])[0]).tolist()


def _loss(whole: float, part: float) -> float:
    if part <= 0:
        return math.inf
    return math.log(whole) - math.log(part)
