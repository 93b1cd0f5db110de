"""I3C: irrelevant conditions of a problem are found, checked and named to the model before it answers.

`IgnoreIrrelevant` wraps any strategy. Choose it for problems whose text holds more than their question needs, with a
model that can tell so (look at the verdicts in `details`); conditions that are far in meaning from the question or from
each other are candidates, and one yes-or-no question each decides. Source: Wu, Shen and Jiang, 2024, "Instructing large
language models to identify and ignore irrelevant conditions". Cost: one embedding of the sentences and one short call a
candidate, which share their prefix; a problem without candidates costs the inner strategy's calls alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from thalweg.errors import DataError
from thalweg.program import Learned
from thalweg.program.procedure import Solved, derived
from thalweg.program.strategy import Direct
from thalweg.prompting.critic import with_input, yes_probabilities
from thalweg.prompting.demonstrations import embedder_of
from thalweg.prompting.word_problem import conditions_of, problem_of, split_problem

ADVICE = "advice"  # the input that the strategy adds
# By `calibrate` on 60 school problems with a distractor (`bench optimizing.i3c` finds it again); each embedder has its
# own scale, so there is no value for others.
THRESHOLDS: Mapping[str, float] = {"all-MiniLM-L6-v2": 0.5}
VERDICT = "Is the condition needed to answer the question of the problem? Say no if the answer is the same without it."


@dataclass(frozen=True)
class Condition:
    """One condition with its scores.

    Args:
        to_others: mean cosine to the other conditions, None for an only one. to_question: cosine to the question.
    """

    text: str
    to_others: float | None
    to_question: float

    @property
    def least(self) -> float:
        """The score that a threshold is compared with."""
        return self.to_question if self.to_others is None else min(self.to_others, self.to_question)


@dataclass(frozen=True)
class IgnoreIrrelevant:
    """Find conditions that may be irrelevant, ask whether they are, and say which to use and which to ignore.

    Where no candidate is judged irrelevant, the inner strategy is asked exactly as without this one. `details` of the
    value: ``question``, ``threshold``, ``candidates`` (condition, both scores, probability of being relevant, whether
    it is ignored), ``ignored``, and ``inner``, the details of the inner strategy.

    Args:
        inner: the strategy that answers (default: one plain question).
        embedder: an `Embedder`, or ``minilm``, the packaged one.
        threshold: conditions with a score below it are candidates; ``auto`` is the packaged embedder's, found on
            school problems. `calibrate` finds the one for yours.
        certainty: a candidate is irrelevant if the model finds it relevant with less than this probability.
        text: name of the input that holds the problem (default: the longest text).

    Raises:
        ValueError: a threshold that is no number, a certainty outside 0 to 1.
    """

    inner: Any = None
    embedder: Any = "minilm"
    threshold: float | Literal["auto"] = "auto"
    certainty: float = 0.5
    text: str = ""

    def __post_init__(self) -> None:
        if self.threshold != "auto" and not (isinstance(self.threshold, int | float) and math.isfinite(self.threshold)):
            raise ValueError(f'threshold={self.threshold!r}; give a number or "auto"')
        if not 0 <= self.certainty <= 1:
            raise ValueError(f"certainty={self.certainty}; give a probability")

    @property
    def name(self) -> str:
        return f"i3c({getattr(self.inner, 'name', 'direct')})"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """The inner strategy's answer, told what to ignore."""
        problem = split_problem(problem_of(inputs, self.text))
        found = self.candidates(problem_of(inputs, self.text))
        judge = derived(ask, "relevant", instruction=VERDICT, output=bool, more={"condition": str})
        rows = [{**inputs, "condition": one.text} for one in found]
        chances = yes_probabilities(judge.using(strategy=Direct()), rows) if rows else []
        ignored = [one.text for one, chance in zip(found, chances, strict=True) if chance < self.certainty]
        if ignored:
            kept = [one for one in problem.conditions if one not in ignored]
            answer = with_input(ask, ADVICE).submit(**inputs, **{ADVICE: advice(kept, ignored)})
        else:
            answer = ask.submit(**inputs)
        value = answer.result()
        told = [
            {
                "condition": one.text, "to_others": one.to_others, "to_question": one.to_question, "relevant": chance,
                "ignored": one.text in ignored,
            }
            for one, chance in zip(found, chances, strict=True)
        ]  # fmt: skip
        details = {"question": problem.question, "threshold": self._limit(), "candidates": told, "ignored": ignored}
        return Solved(value, {**details, "inner": dict(answer.details)} if answer.details else details)

    def candidates(self, text: str) -> list[Condition]:
        """The conditions of a problem that may be irrelevant, in order. Calls no model but the embedder."""
        limit = self._limit()
        return [one for one in self.scores([text])[0] if one.least < limit]

    def scores(self, texts: Sequence[str]) -> list[list[Condition]]:
        """All conditions of each problem with their scores. Raises `DataError` for a blank problem."""
        problems = [split_problem(one) for one in texts]
        flat = [part for one in problems for part in (*one.conditions, one.question)]
        vectors = embedder_of(self.embedder).embed(flat)
        found, start = [], 0
        for problem in problems:
            n = len(problem.conditions)
            near = vectors[start : start + n + 1] @ vectors[start : start + n + 1].T
            start += n + 1
            # Rounded: below that is what varies with the texts that are embedded beside these.
            others = [None if n == 1 else round(float((near[i, :n].sum() - near[i, i]) / (n - 1)), 5) for i in range(n)]
            asked = [round(float(near[i, n]), 5) for i in range(n)]
            found.append([Condition(*one) for one in zip(problem.conditions, others, asked, strict=True)])
        return found

    def calibrate(
        self, problems: Iterable[tuple[str, str | Sequence[str]]], *, recall: float = 0.95
    ) -> IgnoreIrrelevant:
        """A copy with the least threshold at which this share of the irrelevant conditions are candidates.

        Args:
            problems: pairs of a problem's text and its irrelevant sentence (or sentences). recall: above 0 up to 1.

        Raises:
            DataError: no problem, or a sentence that is not in its text, with its row.
        """
        if not 0 < recall <= 1:
            raise ValueError(f"recall={recall}; give a share above 0 up to 1")
        pairs = [(text, [said] if isinstance(said, str) else list(said)) for text, said in problems]
        least: list[float] = []
        scored = self.scores([text for text, _ in pairs]) if pairs else []
        for row, (conditions, (_, said)) in enumerate(zip(scored, pairs, strict=True)):
            parts = {part for sentence in said for part in conditions_of(sentence)}
            marked = [one.least for one in conditions if one.text in parts]
            if parts and not marked:
                raise DataError(
                    f"The irrelevant sentence of row {row} is no condition of its problem.",
                    "Give the sentence as it stands in the text.", row=row,
                )  # fmt: skip
            least += marked
        if not least:
            raise DataError("There is no irrelevant sentence to find a threshold by.", "Give problems that hold some.")
        least.sort()
        needed = least[math.ceil(recall * len(least)) - 1]
        return replace(self, threshold=round(needed + 1e-5, 5))

    def _limit(self) -> float:
        if self.threshold != "auto":
            return float(self.threshold)
        name = embedder_of(self.embedder).name
        if name not in THRESHOLDS:
            raise DataError(
                f'threshold="auto" is not known for the embedder {name!r}.',
                "Call `calibrate` with problems whose irrelevant sentences are known, or give a number.",
            )
        return THRESHOLDS[name]


def advice(kept: Sequence[str], ignored: Sequence[str]) -> str:
    """What the model is told: which conditions to use and which to ignore."""
    use = f"Use these conditions: {' '.join(kept)}\n" if kept else ""
    return f"{use}Ignore what is irrelevant to the question: {' '.join(ignored)}"
