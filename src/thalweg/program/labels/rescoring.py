"""`Rescoring`: answers and utilities of one call under lower and lower labels, by the model's own probabilities.

The utility of the unrestricted answer under a sub-context is its log-probability there: of a finite type from the whole
distribution, of any other the mean per drawn token. All sub-contexts of a wave are submitted together, ordered so that
neighbours share the longest beginnings; the engine computes shared prompts once and scores the wave in one forest.
Source: Siddiqui et al. 2024, "Permissive information-flow analysis for large language models"; leave-out scoring as in
Cohen-Wang et al. 2024, "ContextCite". Cost: one score a label, asked once; prompts only where they differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.models.request import Answer
from thalweg.program.hints import hinted
from thalweg.program.labels.context import Context
from thalweg.program.labels.label import Label
from thalweg.program.labels.propagator import check_asks_once, partition_of
from thalweg.program.session import Session
from thalweg.program.value import Value

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class Answered:
    """A value with the answer that it was read from."""

    value: Any
    answer: Answer


class Rescoring:
    """Calls of `learned` on what is left of `context` under labels; each is made once."""

    def __init__(self, learned: Learned[..., Any], session: Session, context: Context) -> None:
        self.learned, self.session, self.context = learned, session, context
        self.finite = learned.signature.output.format.kind == "choices"
        self.calls = self.waves = 0
        self._answers: dict[Label, Value[Answered]] = {}
        self._tables: dict[Label, Value[tuple[float, ...]]] = {}
        self._utilities: dict[Label, Value[float]] = {}
        self._waiting = False

    # -- answers ----------------------------------------------------------------------------------------------

    def begin(self, *labels: Label) -> None:
        """Start the calls whose answers will be asked for."""
        for label in labels:
            if label not in self._answers:
                self._answers[label] = self._submit(label, want="value", decode=self._decode)

    def answer(self, label: Label) -> Answered:
        """What the function answers when it reads nothing above `label`."""
        self.begin(label)
        return self._await(self._answers[label])

    def own_loss(self, label: Label) -> float:
        """Minus the utility of the answer under `label` in that same context. Its loss against any larger context is
        at most that, as no log-probability is above 0."""
        answer = self.answer(label).answer
        return max(0.0, -answer.logprob / (1 if self.finite else drawn(answer)))

    # -- scores -----------------------------------------------------------------------------------------------

    def prefetch(self, labels: Sequence[Label]) -> None:
        """Start scoring what can be scored before the unrestricted answer is known: distributions."""
        if self.finite:
            for label in self._by_prefix(labels):
                if label not in self._tables:
                    self._tables[label] = self._submit(label, want="distribution", decode=self._table)

    def losses(self, labels: Sequence[Label]) -> list[float]:
        """How much less likely the unrestricted answer is under each label, in nats; one wave."""
        whole = self.context.whole
        if self.finite:
            self.prefetch([whole, *labels])
            chosen = self.learned.signature.output.format.choices.index(self.answer(whole).answer.text)
            utilities = {label: _log(self.table(label)[chosen]) for label in (whole, *labels)}
        else:
            target = self.answer(whole).answer.text
            for label in self._by_prefix([whole, *labels]):
                if label not in self._utilities:
                    self._utilities[label] = self._submit(label, want="score", target=target, decode=_mean)
            utilities = {label: self._await(self._utilities[label]) for label in (whole, *labels)}
        return [_difference(utilities[whole], utilities[label]) for label in labels]

    def known_losses(self) -> dict[Label, float]:
        """Losses of all labels scored so far, larger labels first."""
        labels = sorted(self._tables or self._utilities, key=lambda one: (-len(one), self.context.order(one)))
        return dict(zip(labels, self.losses(labels), strict=True))

    def table(self, label: Label) -> tuple[float, ...]:
        """Probabilities of a finite type's values under `label`."""
        self.prefetch([label])
        return self._await(self._tables[label])

    def divergence(self, label: Label) -> float:
        """KL divergence in nats from the distribution of the whole context to that under `label`."""
        pairs = zip(self.table(self.context.whole), self.table(label), strict=True)
        return math.fsum(p * (_log(p) - _log(q)) for p, q in pairs if p > 0)

    # -- calls ------------------------------------------------------------------------------------------------

    def _submit(self, label: Label, *, want: Any, decode: Any, target: str = "") -> Value[Any]:
        check_asks_once(self.learned, self.session)
        self.calls += 1
        self._waiting = True
        inputs = self.context.under(label)
        with hinted(partition=partition_of(self.context.whole)):  # one call in all: its parts may share
            return self.learned._submit(inputs, self.session, want=want, target=target, decode=decode)

    def _await(self, value: Value[Any]) -> Any:
        if self._waiting:
            self.waves += 1
            self._waiting = False
        return value.result()

    def _by_prefix(self, labels: Sequence[Label]) -> list[Label]:
        """The order of a walk through the tree of prompts, so that what is shared is still in the cache."""
        return sorted(dict.fromkeys(labels), key=self.context.kept, reverse=True)

    def _decode(self, answer: Answer) -> tuple[Answered, Any]:
        value, packed = self.learned._decode(answer)
        return Answered(value, answer), packed

    def _table(self, answer: Answer) -> tuple[tuple[float, ...], Any]:
        choices = self.learned.signature.output.format.choices
        return answer.probabilities, [list(pair) for pair in zip(choices, answer.probabilities, strict=True)]


def drawn(answer: Answer) -> int:
    """Tokens of an answer that were not forced by the type; at least 1."""
    return max(1, answer.usage.output_tokens - answer.usage.forced_tokens)


def _mean(answer: Answer) -> tuple[float, float]:
    mean = answer.logprob / drawn(answer)
    return mean, mean


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf


def _difference(whole: float, part: float) -> float:
    return 0.0 if whole == part else whole - part
