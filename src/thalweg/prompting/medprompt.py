"""Medprompt: near worked examples with the model's own reasoning, and a vote over orders of the options.

Choose it for multiple-choice and closed questions with a labelled training set, where calls are cheap; it costs ten
times a plain question and may lose to one (`frontier` shows what each part is worth). `prepare` lets the model reason
about the training questions and keeps its reasons only where they led to the right answer. Sources: Nori et al. 2023,
"Can generalist foundation models outcompete special-purpose tuning?"; Nori et al. 2024, "From Medprompt to o1". Cost:
two calls an order of the options (one without `chains`), and two a training question once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thalweg.errors import DataError
from thalweg.program.procedure import Solved, derived
from thalweg.program.strategy import Demonstration
from thalweg.prompting.chain_of_thought import ChainOfThought
from thalweg.prompting.choice_shuffle import Choices, ChoiceShuffle, Order, details
from thalweg.prompting.demonstrations import KNN, demonstrations_of
from thalweg.prompting.self_consistency import draws
from thalweg.prompting.vote import Ballot, Vote, vote, written

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class Preparation:
    """What came of a training set.

    Args:
        kept: worked examples, with reasons where the strategy reasons; the model got each of these right by itself.
        asked: training questions. failed: of those, calls that ended in an error.
    """

    kept: tuple[Demonstration, ...]
    asked: int
    failed: int = 0

    @property
    def share(self) -> float:
        """Of the training questions that was kept."""
        return len(self.kept) / self.asked if self.asked else 0.0


@dataclass(frozen=True)
class Medprompt:
    """kNN few-shot, self-generated chains of thought, and a vote over orders of the options.

    Args:
        k: worked examples shown, the nearest of those prepared. votes, soft: see `ChoiceShuffle`; without `shuffle` so
            many draws. shuffle: ``cyclic``, ``random``, ``given`` or None: draws in the order given.
        chains: reason before answering, in examples and questions.
        portfolio: Medprompt+: also vote directly, without reasoning; the model says whether the question needs
            reasoning, and the reasoned ballots then weigh double, else half.
        options: the input that lists the options. embedder: see `KNN`. max_tokens: of the reasons.
        temperature: of draws, where nothing is shuffled. prepared: made by `prepare`.

    Example:
        >>> ready = Medprompt(k=5).prepare(answer, train)
        >>> answer.using(strategy=ready)(question=..., options=[...])
    """

    k: int = 5
    votes: int = 5
    shuffle: Order | None = "cyclic"
    soft: bool = False
    chains: bool = True
    portfolio: bool = False
    options: str = "options"
    embedder: Any = "minilm"
    max_tokens: int = 256
    temperature: float = 0.7
    prepared: Preparation | None = field(default=None, repr=False, hash=False)
    name: str = "medprompt"

    def prepare(self, function: Learned[..., Any], train: Sequence[Any]) -> Medprompt:
        """A copy with worked examples made of a training set: pairs (inputs, right answer), or labelled examples.

        The questions are ordinary calls of `function`: journalled where the program stands, and answered from the
        cache when the same is prepared again. A failing one is not kept.

        Raises:
            DataError: rows that do not fit the function. ModelError: every call failed (the first one's error).
        """
        gold = demonstrations_of(train, function.signature)
        if not self.chains:
            return replace(self, prepared=Preparation(gold, len(gold)))
        asking = function.using(strategy=replace(self, k=0, shuffle=None, votes=1, portfolio=False, prepared=None))
        begun = [asking.submit(**one.inputs) for one in gold]
        kept, errors = [], []
        for one, answer in zip(gold, begun, strict=True):
            try:
                value = answer.result()
            except Exception as error:
                errors.append(error)
                continue
            if written(value) == written(one.output):
                kept.append(Demonstration({**one.inputs, REASONS: answer.details[REASONS]}, one.output))
        if errors and len(errors) == len(gold):
            raise errors[0]
        return replace(self, prepared=Preparation(tuple(kept), len(gold), len(errors)))

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        choices = self._choices(ask, inputs)
        if self.votes == 1 and self.shuffle is None and not self.portfolio:
            return self._once(ask, inputs, choices)
        found, told = self._voted(ask, inputs, choices)
        return Solved(choices.value(found.winner), told)

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """Weighted shares of the votes."""
        choices = self._choices(ask, inputs)
        found, told = self._voted(ask, inputs, choices)
        return Solved(choices.shares(ask, found), told)

    def _choices(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Choices:
        return Choices.of(ask, inputs, self.options)

    def _once(self, ask: Learned[..., Any], inputs: Mapping[str, Any], choices: Choices) -> Solved:
        """One question in the order given, for preparing."""
        question, given, texts = choices.asked(self._few_shot(ask, inputs, choices)[0], inputs, choices.texts)
        if self.chains:
            question = question.using(strategy=self._thinking)
        answer = question.submit(**given)
        value = answer.result()
        if choices.listed:
            value = choices.value(texts[ord(value) - ord("A")])
        return Solved(value, answer.details)

    def _voted(
        self, ask: Learned[..., Any], inputs: Mapping[str, Any], choices: Choices
    ) -> tuple[Vote, dict[str, Any]]:
        few_shot, shown = self._few_shot(ask, inputs, choices)
        ways: list[tuple[Any, float]] = [(self._thinking if self.chains else None, 1.0)]
        told: dict[str, Any] = {"demonstrations": shown}
        if self.portfolio and self.chains:
            told["needs_reasoning"] = needed = self._needs_reasoning(ask, inputs, choices)
            ways = [(self._thinking, 2.0 if needed else 0.5), (None, 1.0)]
        ballots: list[Ballot] = []
        for inner, weight in ways:
            asked = few_shot
            if inner is None:
                plain = tuple(_without_reasons(one) for one in few_shot.parameters.demonstrations)
                asked = derived(few_shot, demonstrations=plain)
            else:
                asked = few_shot.using(strategy=inner)
            ballots += self._ballots(asked, inputs, weight)
        found = vote(ballots, choices.canonical)
        return found, {**details(found, ballots), **told}

    def _ballots(self, asked: Learned[..., Any], inputs: Mapping[str, Any], weight: float) -> list[Ballot]:
        if self.shuffle is not None:
            order = ChoiceShuffle(self.shuffle, self.votes, self.soft, self.options, self.temperature)
            return order.ballots(asked, inputs, weight)
        choices = self._choices(asked, inputs)
        if not choices.texts:
            return [Ballot.of(one, weight) for one in draws(asked, inputs, self.votes, self.temperature)]
        question, given, texts = choices.asked(asked, inputs, choices.texts)
        drawn = [Ballot.of(one, weight) for one in draws(question, given, self.votes, self.temperature)]
        return [replace(one, value=texts[ord(one.value) - ord("A")]) for one in drawn] if choices.listed else drawn

    @property
    def _thinking(self) -> ChainOfThought:
        return ChainOfThought(max_tokens=self.max_tokens, field=REASONS)

    def _few_shot(
        self, ask: Learned[..., Any], inputs: Mapping[str, Any], choices: Choices
    ) -> tuple[Learned[..., Any], list[int]]:
        kept = self.prepared.kept if self.prepared is not None else ()
        if self.prepared is None and self.k > 0:
            raise DataError(
                f"Medprompt of `{ask.name}` has no worked examples.",
                "Prepare it first: `strategy = Medprompt(...).prepare(function, train)`, or give k=0.",
            )
        fitting = [index for index, one in enumerate(kept) if choices.fits(one)]
        without = (self.options,) if len(inputs) > 1 else ()
        nearest = KNN(self.k, self.embedder, without).nearest([kept[index] for index in fitting], inputs)
        chosen = [fitting[at] for at, _ in nearest]
        own = ask.parameters.demonstrations
        return derived(ask, demonstrations=(*own, *(kept[index] for index in chosen))), chosen

    def _needs_reasoning(self, ask: Learned[..., Any], inputs: Mapping[str, Any], choices: Choices) -> bool:
        said = ask.parameters.instruction
        question = derived(
            ask, "needs_reasoning", output=bool, demonstrations=(),
            instruction=f"The task: {said}\n\nDoes this case need step by step reasoning to be answered?",
        )  # fmt: skip
        given = {**inputs, self.options: list(choices.canonical)} if choices.listed else inputs
        return question(**given)


REASONS = "reasoning"


def _without_reasons(one: Demonstration) -> Demonstration:
    return Demonstration({name: value for name, value in one.inputs.items() if name != REASONS}, one.output)
