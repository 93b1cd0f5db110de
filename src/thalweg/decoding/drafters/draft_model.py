"""A smaller model of the same tokenizer as drafter: it writes a few tokens, the large model checks them in one pass.

Choose it where a model is at hand that is several times cheaper and says the same most of the time. `length` is fixed,
or "auto": a guess is added as long as what it is expected to bring pays for what it costs, by measured seconds of both
models and by how often guesses of that confidence were right. Its cache follows the text, also when guesses are taken
back, and reads what is new in one pass. `width` adds the next likely tokens beside each guess, which cost it nothing.

Source: Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding"; Chen et al. 2023. Cost: a
pass of the small model for every guess.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from thalweg.decoding.drafters.draft import Draft, Verified
from thalweg.decoding.samplers import uniform_number
from thalweg.decoding.verifiers.speculative_sampling import (
    Proposal,
    distribution,
    draw,
    draw_without_replacement,
    keyed_number,
)
from thalweg.errors import ContextOverflow, ModelError, TokenizerMismatch, UnsupportedByBackend
from thalweg.models.request import Sampling
from thalweg.models.scorer import Forest, Logits, Prefix, Scores

LONGEST = 16  # guesses of an "auto" draft
PROBE_EVERY = 32  # steps without guesses after which a few are made to see whether they became better
MEMORY = 0.98  # of an observation, each time its like is made
LEVELS = 10  # of confidence


class DraftModel:
    """A `Drafter` that asks a smaller model.

    Args:
        model: a scorer, an engine (its scorer gets a replica), or a name to load.
        length: guesses one behind the other, or "auto".
        width: children of each node: the guess and the next likely tokens (drawn ones, if it draws).

    Raises:
        UnsupportedByBackend: `model` gives no logits.
    """

    name = "draft_model"

    def __init__(self, model: Any, *, length: int | Literal["auto"] = 4, width: int = 1) -> None:
        if (length != "auto" and length < 1) or width < 1:
            raise ValueError(f"length={length!r} and width={width} must be 1 or more")
        self.scorer, self._owned = opened(model)
        self.length, self.width = length, width
        self.lock = threading.Lock()  # one caller of the small model at a time
        self.seconds = 0.0  # of one pass of the small model, lately
        self.accepted = 0.7  # share of guesses that were right, lately
        self.idle = 0
        self.orphans: list[Follower] = []  # of answers that were given up
        self._right = [0.0] * LEVELS
        self._tried = [0.0] * LEVELS

    def start(
        self,
        prompt: Sequence[int],
        scorer: Any,
        *,
        sampling: Sampling | None = None,
        lossless: Literal["exact", "distribution"] = "exact",
    ) -> ModelDrafting:
        """Begin an answer behind `prompt`.

        Args:
            sampling: how the answer's tokens are drawn. Without it, or at temperature 0, the likeliest are guessed.
            lossless: how guesses will be verified. ``exact``: by the model's own draw, so guesses are drawn with the
                same numbers; ``distribution``: by `speculative_sampling`, with the `proposals` of the drafting.

        Raises:
            TokenizerMismatch: the two models read different tokens.
        """
        check_same_tokens(scorer, self.scorer)
        return ModelDrafting(self, scorer, len(prompt), sampling or Sampling(), lossless)

    def close(self) -> None:
        """Free the small model if it was loaded here."""
        if self._owned:
            self.scorer.free()

    def confidence(self, probability: float) -> float:
        """How often guesses that the small model gives `probability` were right, lately."""
        level = min(LEVELS - 1, int(probability * LEVELS))
        return (self._right[level] + 2 * probability) / (self._tried[level] + 2)

    def learn(self, probability: float, right: bool) -> None:
        level = min(LEVELS - 1, int(probability * LEVELS))
        self._right[level] = MEMORY * self._right[level] + right
        self._tried[level] = MEMORY * self._tried[level] + 1
        self.accepted = MEMORY * self.accepted + (1 - MEMORY) * right


class ModelDrafting:
    """A `DraftModel` at work on one answer. `proposals` holds what the last draft was drawn from, by path."""

    def __init__(
        self,
        model: DraftModel,
        target: Any,
        prompt: int,
        sampling: Sampling,
        lossless: Literal["exact", "distribution"],
    ) -> None:
        self.proposals: dict[tuple[int, ...], Proposal] = {}
        self.root_logits: Logits | None = None  # behind the text so far; None where nothing was guessed
        self._model, self._target, self._prompt = model, target, prompt
        self._sampling, self._lossless = sampling, lossless
        self._follower = Follower(model.scorer)
        self._chain: list[tuple[int, float]] = []  # guesses of the last draft, with their probabilities
        weakref.finalize(self, model.orphans.append, self._follower)

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        """A chain of guesses, with their siblings. Empty where no guess pays, or the small model has no room left."""
        model = self._model
        draft, path, node, weight, expected = Draft(), list[int](), -1, 1.0, 1.0
        self.proposals, self._chain, self.root_logits = {}, [], None
        with model.lock:
            while model.orphans:
                model.orphans.pop().close()
            if self._follower.prefix is None and not model.scorer.free_lanes:
                return draft  # as many answers as it has caches are under way: this one does without
            length = self._length(most // model.width)
            while len(path) < length:
                if model.length == "auto" and not self._goes_on(len(path), length, expected, weight):
                    break
                try:
                    logits = self._follower.logits([*tokens, *path])
                except ContextOverflow:
                    break
                if not path:
                    self.root_logits = logits.copy()
                took = self._follower.seconds
                model.seconds = 0.8 * model.seconds + 0.2 * took if model.seconds else took
                guesses, probabilities = self._guess(logits, len(tokens) - self._prompt + len(path), tuple(path))
                weights = [weight * min(1.0, model.confidence(probability)) for probability in probabilities]
                children = [draft.add(token, parent=node, weight=w) for token, w in zip(guesses, weights, strict=True)]
                self._chain.append((guesses[0], probabilities[0]))
                path.append(guesses[0])
                node, weight = children[0], weights[0]
                expected += weight
                if guesses[0] == model.scorer.tokenizer.end:
                    break
        return draft

    def observe(self, verified: Verified) -> None:
        """Count which guesses of the chain were right. What lies behind a wrong one was not tried and counts not."""
        for (token, probability), written in zip(self._chain, verified.tokens, strict=False):
            self._model.learn(probability, token == written)
            if token != written:
                return

    def finish(self, tokens: Sequence[int]) -> None:
        with self._model.lock:
            self._follower.close()

    def _guess(self, logits: Logits, position: int, path: tuple[int, ...]) -> tuple[list[int], list[float]]:
        """Tokens, the one to go on from first, and their probabilities."""
        sampling, width = self._sampling, self._model.width
        seen = distribution(logits, sampling if sampling.temperature > 0 else Sampling(temperature=1.0))
        if sampling.temperature <= 0:
            tokens = best(seen, width)
        elif self._lossless == "exact":
            drawn = draw(seen, uniform_number(sampling.seed, position))
            tokens = [drawn, *(token for token in best(seen, width) if token != drawn)][:width]
        else:
            proposal = draw_without_replacement(
                seen, width, lambda purpose: keyed_number(sampling.seed, position, purpose)
            )
            self.proposals[path] = proposal
            tokens = list(proposal.tokens)
        return tokens, [float(seen[token]) for token in tokens]

    def _length(self, most: int) -> int:
        model = self._model
        if not isinstance(model.length, str):
            return min(model.length, most)
        most = min(LONGEST, most)
        if self._goes_on(0, most, 1.0, 1.0):
            model.idle = 0
            return most
        model.idle += 1
        return min(4, most) if model.idle % PROBE_EVERY == 0 else 0

    def _goes_on(self, length: int, most: int, expected: float, weight: float) -> bool:
        """Whether some longer draft writes more tokens a second than one that ends here.

        It depends on the guesses so far and on what was learned, not on the guess to come: guesses that decide by
        themselves whether they are verified would bend the distribution.
        """
        model = self._model
        if not model.seconds or (model.idle and model.idle % PROBE_EVERY == 0 and length < 4):
            return length < most
        best = expected / (length * model.seconds + self._target.cost(1 + length))
        for longer in range(length + 1, most + 1):
            weight *= min(0.99, model.accepted)
            expected += weight
            if expected / (longer * model.seconds + self._target.cost(1 + longer)) > best:
                return True
        return False


class Follower:
    """A model's cache that follows a text which grows and is partly taken back.

    Args:
        score: computes a forest; default ``scorer.score``.
    """

    def __init__(self, scorer: Any, score: Callable[[Forest], Scores] | None = None) -> None:
        self.scorer = scorer
        self.prefix: Prefix | None = None
        self.seconds = 0.0  # of the last pass
        self._score = score or scorer.score

    def read(self, prompt: Sequence[int]) -> None:
        """Cache all of `prompt` but its last token."""
        self.prefix = self.scorer.open(list(prompt[:-1]))

    def logits(self, tokens: Sequence[int]) -> Logits:
        """Raw logits after `tokens` (two or more): what the cache does not hold is computed in one pass."""
        scorer, tokens = self.scorer, list(tokens)
        if self.prefix is not None:
            shared = min(common(self.prefix.tokens, tokens), len(tokens) - 1)
            if shared == 0:
                self.close()
            elif shared < len(self.prefix.tokens):
                scorer.truncate(self.prefix, shared)
        if self.prefix is None:
            self.read(tokens)
        assert self.prefix is not None
        forest = Forest()
        node = forest.chain(self.prefix, tokens[len(self.prefix.tokens) :])
        scores = self._score(forest)
        self.seconds = scores.seconds
        logits = scores.logits(node)
        scorer.commit(scores, node)
        return logits

    def close(self) -> None:
        """Give the cache back; may be called twice."""
        prefix, self.prefix = self.prefix, None
        if prefix is not None and prefix.lane >= 0:
            self.scorer.close(prefix)


def opened(model: Any, **options: Any) -> tuple[Any, bool]:
    """The scorer to use for a scorer, an engine or a name, and whether it was opened here."""
    if isinstance(model, str):
        from thalweg.models import load

        scheme = model.partition(":")[0]
        return load(model if scheme in ("tree", "torch") else f"tree:{model}", **options), True
    if hasattr(model, "score") and hasattr(model, "open"):
        return model, False
    if hasattr(model, "scorer"):
        return model.scorer.replica(), True
    raise UnsupportedByBackend(
        f"{getattr(model, 'name', model)} gives no logits, so it can neither draft nor verify.",
        "Use a local model.",
    )


def check_same_tokens(target: Any, draft: Any) -> None:
    """Raises TokenizerMismatch, with the first difference, unless the two models read the same tokens."""
    one, other = target.tokenizer, draft.tokenizer
    if one is other:
        return
    what = ""
    if one.size != other.size:
        what = f"{one.size} tokens and {other.size}"
    elif one.end != other.end:
        what = f"answers end with token {one.end} and with token {other.end}"
    else:
        ours, theirs = getattr(one, "pieces", None), getattr(other, "pieces", None)
        if ours is not None and theirs is not None and ours != theirs:
            at = next(i for i, piece in enumerate(ours) if piece != theirs[i])
            what = f"token {at} is {ours[at]!r} and {theirs[at]!r}"
    if what:
        raise TokenizerMismatch(
            f"The tokenizers of {target.name} and its draft model {draft.name} differ: {what}.",
            "Draft with a model of the same family.",
        )


def check_prompt(prompt: Sequence[int]) -> None:
    """Raises ModelError unless a text of these tokens can be cached and gone on with."""
    if len(prompt) < 2:
        raise ModelError(f"A prompt of {len(prompt)} tokens is too short.", "Write at least two tokens.")


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    limit = min(len(one), len(other))
    if one[:limit] == other[:limit]:
        return limit
    return next(i for i in range(limit) if one[i] != other[i])


def best(probabilities: Any, count: int) -> list[int]:
    """The `count` likeliest tokens, likeliest first; ties by the lowest id."""
    if count == 1:
        return [int(probabilities.argmax())]
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [int(token) for token in order if probabilities[token] > 0]
