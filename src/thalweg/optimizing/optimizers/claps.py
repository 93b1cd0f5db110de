"""ClaPS: a few words added to an instruction that make a model's label probabilities better, found by search.

Most words of a vocabulary hardly move an answer, so: cluster the vocabulary, measure what one word a cluster does to
the right labels of a few examples, keep the best few per cent, and search phrases of those alone. Choose it for
classifiers of a local model (it needs probabilities) whose instruction cannot be bettered by hand. The phrases found
are hardly readable. Source: Zhou et al. 2023, "Survival of the Most Influential Prompts". Cost: with n examples,
clusters x n calls for the influence, length x kept x n for a greedy search, and the dev split for each finalist.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from thalweg.errors import SearchError
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.example import Example
from thalweg.optimizing.influence import (
    Influence,
    NoRoom,
    Phrase,
    Position,
    Rewards,
    classifier,
    influence,
    right_index,
)
from thalweg.optimizing.optimizers.claps_search import Evolution, genetic, greedy, swarm
from thalweg.optimizing.search import Search
from thalweg.program.session import current, model_in_force

How = Literal["greedy", "genetic", "swarm"]
_SEARCHES: dict[str, Callable[..., Iterator[Phrase]]] = {"greedy": greedy, "genetic": genetic, "swarm": swarm}


@dataclass(frozen=True)
class ClaPS(Composable):
    """Search phrases of the most influential words.

    Args:
        clusters: words whose influence is measured, one a cluster of the vocabulary. keep: share of them that is
            searched. length: words of a phrase, at most.
        search: ``greedy``, ``genetic`` or ``swarm``.
        position: ``suffix`` puts the words behind the instruction, whose cached beginning then serves all phrases;
            ``prefix`` before it, so that the beginning of every phrase's prompt is read anew.
        shots: examples of `train` that rewards are measured on, a label; 0 takes all. finalists: phrases of the highest
            reward that are tried on dev.
        words: a vocabulary of your own (default: the model's whole words). evolution: sizes of the other searches.
        told: called with the measured influence.

    Raises (when run):
        SearchError: the program is not one function of a finite type, or the model shows neither vocabulary nor
            probabilities. DataError: a label that the function cannot return.
    """

    clusters: int = 500
    keep: float = 0.05
    length: int = 5
    search: How = "greedy"
    position: Position = "suffix"
    shots: int = 16
    finalists: int = 5
    words: tuple[str, ...] = ()
    evolution: Evolution = Evolution()
    told: Callable[[Influence], None] | None = field(default=None, repr=False, compare=False)
    name: str = "ClaPS"

    def __post_init__(self) -> None:
        if self.clusters < 1 or not 0 < self.keep <= 1:
            raise SearchError(
                f"clusters={self.clusters} and keep={self.keep} keep no word.", "Give clusters >= 1 and 0 < keep <= 1."
            )
        _check(self)

    def run(self, search: Search) -> None:
        from thalweg.optimizing.optimizers.claps_clustering import thinned

        classifier(search)
        words = thinned(_model(search), self.words, self.clusters, search.rng("clusters"))
        rewards = _rewards(self, search)
        try:
            found = influence(rewards, words)
        except NoRoom:
            return
        if self.told is not None:
            self.told(found)
        _search(self, search, rewards, [found.strongest(self.keep)])


@dataclass(frozen=True)
class RandomTokens(Composable):
    """The same search over words drawn at random: the baseline of `ClaPS`. Arguments as there.

    Args:
        size: words that are drawn; 0 takes the whole vocabulary, over which only ``genetic`` and ``swarm`` make sense.
        spaces: how often words are drawn and searched, one after the other.
    """

    size: int = 25
    spaces: int = 1
    length: int = 5
    search: How = "greedy"
    position: Position = "suffix"
    shots: int = 16
    finalists: int = 5
    words: tuple[str, ...] = ()
    evolution: Evolution = Evolution()
    name: str = "RandomTokens"

    def __post_init__(self) -> None:
        _check(self)

    def run(self, search: Search) -> None:
        from thalweg.optimizing.optimizers.claps_clustering import vocabulary_words

        classifier(search)
        words = list(dict.fromkeys(self.words)) or list(vocabulary_words(_model(search)))
        rng, size = search.rng("words"), self.size if 0 < self.size < len(words) else len(words)
        _search(self, search, _rewards(self, search), [rng.sample(words, size) for _ in range(self.spaces)])


def _check(one: ClaPS | RandomTokens) -> None:
    if one.search not in _SEARCHES:
        raise SearchError(f"There is no search {one.search!r}.", f"Choose one of {', '.join(_SEARCHES)}.")
    if one.position not in ("prefix", "suffix"):
        raise SearchError(f"There is no position {one.position!r}.", "Choose prefix or suffix.")
    if one.length < 1 or one.finalists < 1 or one.shots < 0 or getattr(one, "spaces", 1) < 1:
        raise SearchError(
            f"length={one.length}, finalists={one.finalists}, shots={one.shots} make no search.",
            "Give 1 or more (for shots 0 or more).",
        )


def _model(search: Search) -> Any:
    return model_in_force(search.program.own.over(current()))


def _rewards(one: ClaPS | RandomTokens, search: Search) -> Rewards:
    shown = few_shot(search, one.shots, search.rng("shots"))
    return Rewards(search, search.best.genome, shown, one.position, one.finalists * len(search.dev))


def few_shot(search: Search, shots: int, rng: random.Random) -> list[Example]:
    """`shots` examples a label out of `search.train` (all there are where there are fewer), drawn at random."""
    drawn = list(search.train)
    if not shots:
        return drawn
    rng.shuffle(drawn)
    by_label: dict[int, list[Example]] = {}
    for example in drawn:
        by_label.setdefault(right_index(search.program, example), []).append(example)
    return [example for label in sorted(by_label) for example in by_label[label][:shots]]


def _search(one: ClaPS | RandomTokens, search: Search, rewards: Rewards, spaces: Sequence[Sequence[str]]) -> None:
    """Search phrases of each of some sets of words, then try the best on dev."""
    found: list[Phrase] = []
    method, rng = _SEARCHES[one.search], search.rng(one.search)
    try:
        for words in spaces:
            for phrase in method(words, one.length, lambda asked: rewards(asked, one.search), rng, one.evolution):
                found.append(phrase)  # what came before the budget's end is kept
    except NoRoom:
        found.append(rewards.best())
    parent = search.best
    finalists = sorted(filter(None, dict.fromkeys(reversed(found))), key=lambda phrase: -rewards.known[phrase])
    for phrase in finalists[: one.finalists]:
        note = f"{' '.join(phrase)} ({rewards.known[phrase]:+.3f} nats a label)"
        search.try_(rewards.genome(phrase), parent=parent, note=note)
