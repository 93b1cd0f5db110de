"""ChoiceShuffle: ask a multiple-choice question with its options in several orders, and vote over the options.

Choose it where the place of an option sways the model, which it does for small ones (`bench optimizing.medprompt`
counts how often). With ``order="cyclic"`` every option stands at every place once, and the answer is the same for every
rotation of the options given, exactly; with ``"random"`` for every order of them. Sources: Nori et al. 2023, "Can
generalist foundation models outcompete special-purpose tuning?" (choice shuffling); Ko et al. 2020, "Look at the first
sentence". Cost: as many calls as orders, which share the prompt up to the options.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from thalweg.errors import DataError
from thalweg.program.procedure import Solved, derived
from thalweg.program.strategy import Demonstration
from thalweg.program.types import render_value
from thalweg.prompting.self_consistency import draws
from thalweg.prompting.vote import Ballot, Vote, vote, written

if TYPE_CHECKING:
    from thalweg.program.learned import Learned

Order = Literal["cyclic", "random", "given"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class ChoiceShuffle:
    """The option that most orders of the options lead to.

    A function with a list input named `options` is asked for the letter of an option, over lettered lines; the letter
    is turned back into what the function returns: the option itself (where it returns text), its index from 0 (a
    number), or the letter of its place in the list given (a `Literal` of letters). A function that returns a `Literal`
    of texts and has no such input is asked with its values named in other orders. Others are drawn `votes` times.
    Worked examples are shown in the order they have; not those whose answer's letter the question lacks.
    Ties go to the higher mean log-probability, then to the first option by its text. `soft` votes add up each option's
    probability in each order, so that a model that always says "A" still shows what it leans to; they need a model that
    gives probabilities.

    Args:
        order: ``cyclic``: each rotation of the options once; ``random``: `votes` orders, drawn for each question;
            ``given``: the one given, once: the baseline.
        votes: orders or draws; ``cyclic`` and ``given`` do not look at it.
        soft: vote by probabilities, at the same number of calls.
        options: name of the input. temperature: of draws, where there is nothing to shuffle.
        inner: strategy of each question (default: direct).
    """

    order: Order = "cyclic"
    votes: int = 5
    soft: bool = False
    options: str = "options"
    temperature: float = 0.7
    inner: Any = None
    seed: int = 0
    name: str = "choice-shuffle"

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise ValueError(f"order={self.order!r}; choose one of {', '.join(get_args(Order))}")
        if self.votes < 1:
            raise ValueError(f"votes={self.votes}; give at least 1")

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        choices = Choices.of(ask, inputs, self.options)
        ballots = self.ballots(ask, inputs)
        found = vote(ballots, choices.canonical)
        return Solved(choices.value(found.winner), details(found, ballots))

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """Shares of the votes."""
        choices = Choices.of(ask, inputs, self.options)
        found = vote(self.ballots(ask, inputs), choices.canonical)
        return Solved(choices.shares(ask, found), details(found))

    def ballots(self, ask: Learned[..., Any], inputs: Mapping[str, Any], weight: float = 1.0) -> list[Ballot]:
        """One for each order, over the texts of the options (or the values, where there is nothing to shuffle)."""
        choices = Choices.of(ask, inputs, self.options)
        if not choices.texts:
            return [Ballot.of(one, weight) for one in draws(ask, inputs, self.votes, self.temperature)]
        orders = [choices.asked(ask, inputs, texts) for texts in self._orders(choices)]
        if self.soft:
            tables = [(question.submit_distribution(**given), texts) for question, given, texts in orders]
            return [
                Ballot(texts[LETTERS.index(said)] if choices.listed else said, math.log(p), weight * p)
                for table, texts in tables for said, p in table.result().items() if p > 0
            ]  # fmt: skip
        begun = [(question.submit(**given), texts) for question, given, texts in orders]
        made = []
        for answer, texts in begun:
            one = Ballot.of(answer, weight)
            made.append(replace(one, value=texts[LETTERS.index(one.value)]) if choices.listed else one)
        return made

    def _orders(self, choices: Choices) -> list[tuple[str, ...]]:
        texts = choices.texts
        if self.order == "cyclic":
            return [(*texts[i:], *texts[:i]) for i in range(len(texts))]
        if self.order == "given":
            return [texts]
        texts = choices.canonical  # so that the orders do not depend on the one given
        rng = random.Random(f"{self.seed}/{'/'.join(texts)}")
        return [tuple(rng.sample(texts, len(texts))) for _ in range(self.votes)]


@dataclass(frozen=True)
class Choices:
    """The options of one question, and the way from an option to what the function returns.

    Args:
        texts: of the options in the order given; none where there is nothing to shuffle. listed: they are an input
            named `name`; else they are the values of the output type. kind: of what the function returns.
    """

    texts: tuple[str, ...]
    listed: bool = False
    name: str = ""
    kind: Literal["text", "index", "letter"] = "text"

    @classmethod
    def of(cls, ask: Learned[..., Any], inputs: Mapping[str, Any], name: str) -> Choices:
        """Raises `DataError` for an input `name` that is no list of 2 to 26 different options."""
        given = inputs.get(name)
        if name in inputs:
            if isinstance(given, str) or not isinstance(given, Sequence) or not 2 <= len(given) <= len(LETTERS):
                raise DataError(
                    f"The input {name!r} of `{ask.name}` is {given!r:.60}, and a question needs a list of 2 to "
                    f"{len(LETTERS)} options.",
                    "Give a list, or name the input that holds the options by `options=`.", column=name,
                )  # fmt: skip
            return cls(tuple(map(_shown, given)), True, name, _kind(ask))
        annotation = ask.signature.output.annotation
        values = get_args(annotation) if get_origin(annotation) is Literal else ()
        return cls(values if len(values) > 1 and all(isinstance(one, str) for one in values) else ())

    @property
    def canonical(self) -> tuple[str, ...]:
        """The options by their texts: an order that does not depend on the one given."""
        return tuple(sorted(self.texts))

    def asked(
        self, ask: Learned[..., Any], inputs: Mapping[str, Any], texts: tuple[str, ...]
    ) -> tuple[Learned[..., Any], dict[str, Any], tuple[str, ...]]:
        """(question, inputs, options) with the options in this order."""
        shown = ask.parameters.demonstrations
        if not self.listed:
            return derived(ask, output=_literal(texts), demonstrations=shown), dict(inputs), texts
        examples = tuple(self._lettered(one) for one in shown if self.fits(one))
        question = derived(ask, output=_literal(LETTERS[: len(texts)]), demonstrations=examples)
        return question, {**inputs, self.name: lines(texts)}, texts

    def value(self, text: Any) -> Any:
        """What the function returns for an option."""
        if not self.listed or self.kind == "text":
            return text
        index = self.texts.index(text)
        return index if self.kind == "index" else LETTERS[index]

    def letter(self, value: Any) -> str:
        """Of what the function returns: the letter of its place. Raises `DataError` for what is no option."""
        try:
            index = value if self.kind == "index" else (LETTERS if self.kind == "letter" else self.texts).index(value)
            if 0 <= index < len(self.texts):
                return LETTERS[index]
        except (ValueError, TypeError):
            pass
        raise DataError(
            f"{value!r:.60} is none of the options {list(self.texts)!r:.120}.",
            "Give as answer the option's text, its index from 0 or its letter, as the function returns it.",
        )

    def shares(self, ask: Learned[..., Any], found: Vote) -> dict[Any, float]:
        """A vote over the values of the output type."""
        made = dict.fromkeys(ask.signature.output.values() or (), 0.0)
        for text in self.texts or made:
            made[self.value(text)] = made.get(self.value(text), 0.0) + found.shares.get(written(text), 0.0)
        return made

    def fits(self, one: Demonstration) -> bool:
        """Whether a worked example's answer is a letter that this question has too; others cannot be shown."""
        other = self._of(one)
        return other is None or not self.listed or other.letter(self._answer(one)) in LETTERS[: len(self.texts)]

    def _of(self, one: Demonstration) -> Choices | None:
        given = one.inputs.get(self.name)
        if isinstance(given, str) or not isinstance(given, Sequence):
            return None
        return replace(self, texts=tuple(map(_shown, given)))

    def _answer(self, one: Demonstration) -> Any:
        return _shown(one.output) if self.kind == "text" else one.output

    def _lettered(self, one: Demonstration) -> Demonstration:
        """A worked example in the form of the question."""
        other = self._of(one)
        if other is None:
            return one
        return Demonstration({**one.inputs, self.name: lines(other.texts)}, other.letter(self._answer(one)))


def lines(texts: Sequence[str]) -> str:
    """Options as lettered lines."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False))


def details(found: Vote, ballots: Sequence[Ballot] = ()) -> dict[str, Any]:
    """How a vote came out, as JSON data."""
    told = {} if found.logprob != found.logprob else {"logprob": found.logprob}
    return {"votes": found.shares, "share": found.share, "tied": found.tied, "ballots": len(ballots), **told}


def _kind(ask: Learned[..., Any]) -> Literal["text", "index", "letter"]:
    output = ask.signature.output
    values = output.values()
    base = output.annotation.__origin__ if hasattr(output.annotation, "__metadata__") else output.annotation
    if base is int or (values and all(type(one) is int for one in values)):
        return "index"
    if values and all(isinstance(one, str) and len(one) == 1 and one in LETTERS for one in values):
        return "letter"
    if base is str or (values and all(isinstance(one, str) for one in values)):
        return "text"
    raise DataError(
        f"`{ask.name}` returns neither text nor a number, so no option can be turned into its answer.",
        "Let it return the option (str), its index (int), or a Literal of letters.",
    )


def _shown(option: Any) -> str:
    return option if isinstance(option, str) else render_value(option)


def _literal(texts: Sequence[str]) -> Any:
    return Literal[tuple(texts)]  # type: ignore[valid-type]
