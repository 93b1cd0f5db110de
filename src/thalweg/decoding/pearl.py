"""PEARL: a draft model and the model it drafts for compute at the same time, so that neither waits for the other.

In each tick the draft writes the next tokens while the target checks those of the tick before (post-verify), or, after
a refusal, computes the one place where nothing is guessed yet (pre-verify: the first of the tokens being written is
checked at the end of the tick). While guesses are right, a tick of one target pass writes a whole block; after a wrong
one, the block that was drafted on top of it is lost. Choose it with two models of one tokenizer on devices or cores of
their own, where the draft is right mostly; else `speculate` with a `DraftModel`, which uses all cores for each in turn.

Lossless: at temperature 0 the tokens are those of plain decoding (on engines whose rows are exact); at others they have
its distribution, and as random numbers belong to positions, the same seed writes the same text whatever `gamma` is.
Source: Liu et al. 2025, "PEARL: Parallel Speculative Decoding with Adaptive Draft Length". Cost: a pass of the target
and `gamma` of the draft a tick, at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np

from thalweg.decoding.constraints import Constraint, State, constraint_for, restrict
from thalweg.decoding.drafters.draft import Draft
from thalweg.decoding.drafters.draft_model import Follower, check_prompt, check_same_tokens, opened
from thalweg.decoding.pearl_side import Side
from thalweg.decoding.pearl_simulation import best_gamma
from thalweg.decoding.pearl_stats import PearlAnswer, PearlStats, Tick
from thalweg.decoding.verifiers.speculative_sampling import (
    Proposal,
    distribution,
    draw,
    keyed_number,
    speculative_sampling,
)
from thalweg.decoding.writing import Writing
from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.request import Format, Sampling
from thalweg.models.scorer import Forest, Prefix

MOST = 16  # guesses of a block
ROOM = 64 + MOST  # tokens of the target's context that stay free for guesses
TEXT_RESERVE, VALUE_RESERVE = 4, 16  # tokens kept for closing a text, a value
MEMORY = 0.95  # of a measured pass or an observed guess, each time another one is made
PROBE_EVERY = 32  # ticks of the target alone after which a block is tried, to see whether the draft became better


class Pearl:
    """Two models that write together.

    Args:
        target: the model whose text is written: a scorer, an engine (its scorer gets a replica) or a name to load.
        draft: a cheaper model of the same tokenizer, likewise.
        gamma: draft passes a tick: fixed, or "auto": what writes most tokens a second by the measured seconds of both
            models and the share of guesses that were right; none where the target alone is faster.
        threads: engine threads of each model (None: as they are).
        mask_draft: let the constraint restrict the draft too; it then never guesses what cannot be kept.

    Raises:
        TokenizerMismatch: the two read different tokens.
        UnsupportedByBackend: one of them gives no logits.
    """

    def __init__(
        self,
        target: Any,
        draft: Any,
        *,
        gamma: int | Literal["auto"] = "auto",
        threads: int | None = 1,
        mask_draft: bool = True,
    ) -> None:
        if gamma != "auto" and not 1 <= gamma <= MOST:
            raise ValueError(f"gamma is {gamma!r}; it is 1 to {MOST}, or 'auto'")
        self._closed = False
        self._one = threading.Lock()  # answer at a time
        scorer, owned = opened(target)
        self.target = Side(scorer, owned, paced=gamma == "auto")
        try:
            scorer, owned = opened(draft)
            if scorer is self.target.scorer:  # a scorer has one caller at a time
                scorer, owned = scorer.replica(), True
            self.draft = Side(scorer, owned, paced=gamma == "auto")
            check_same_tokens(self.target.scorer, self.draft.scorer)
        except BaseException:
            self.close()
            raise
        if threads is not None:
            self.target.scorer.use_threads(threads)
            self.draft.scorer.use_threads(threads)
        self.gamma = gamma
        self.mask_draft = mask_draft
        self.acceptance = 0.8  # share of the guesses that were right, lately
        self._alone = 0  # ticks since the last block
        self._best = (0, 0)  # draft passes of a pre-verify and of a post-verify tick
        self._planned = 0  # ticks since `_best` was computed

    def __enter__(self) -> Pearl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, and free the models that were opened here."""
        self._closed = True
        for side in (getattr(self, "target", None), getattr(self, "draft", None)):
            if side is not None:
                side.close()

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        format: Format | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        reserve: int | None = None,
        constraint: Constraint | None = None,
    ) -> PearlAnswer:
        """Write one answer behind `prompt` (text as the model reads it, special tokens included, or token ids).

        Args:
            format: what may be answered; default free text.
            max_tokens: of the answer; it is closed in time to be valid.
            temperature, top_p, top_k, seed: as `Sampling`.
            reserve: tokens kept for closing the answer.
            constraint: stands in for the one of `format`.

        Raises:
            ContextOverflow: the prompt leaves no room for an answer.
            ModelError: one of the models failed; both caches have been given back.
        """
        if self._closed:
            raise ModelError("This pair of models is closed.", "Make a new `Pearl`.")
        tokenizer = self.target.scorer.tokenizer
        tokens = self._tokens(prompt) if isinstance(prompt, str) else list(prompt)
        check_prompt(tokens)
        reserve = (VALUE_RESERVE if format or constraint else TEXT_RESERVE) if reserve is None else reserve
        room = self.target.scorer.capabilities.context - ROOM - len(tokens)
        if room <= reserve:
            raise ContextOverflow(
                f"The prompt has {len(tokens)} tokens; {self.target.scorer.name} holds "
                f"{self.target.scorer.capabilities.context} with the answer and {ROOM} for guesses.",
                "Shorten the prompt, or load the model with a larger `context`.",
            )
        constraint = constraint or constraint_for(format or Format("text", max_chars=8 * max_tokens), tokenizer)
        sampling = Sampling(temperature, top_p, top_k, seed, max_tokens)
        writing = Writing(constraint, sampling, limit=min(max_tokens, room), reserve=reserve)
        with self._one:
            stats = self._answer(writing, tokens)
        made = writing.generated(tokenizer.end)
        text, finish = tokenizer.decode(made.tokens), "closed" if made.closed else "complete"
        return PearlAnswer(text, tuple(made.tokens), made.logprob, finish, stats)

    def _tokens(self, prompt: str) -> list[int]:
        tokenizer = self.target.scorer.tokenizer
        tokens = tokenizer.encode(prompt, special=True)
        bos = [tokenizer.bos] if getattr(tokenizer, "adds_bos", False) else []
        return tokens if tokens[:1] == bos else bos + tokens

    def _answer(self, writing: Writing, tokens: list[int]) -> PearlStats:
        """Read the prompt with both models, write, and give both caches back."""
        stats = PearlStats()
        if self.gamma == "auto":  # both cost curves are measured now, while there is a free prefix
            self._plan()
        started = perf_counter()
        prefix: Prefix | None = None
        follower = Follower(self.draft.scorer, self.draft.score)
        reading = self.draft.call(follower.read, tokens)
        try:
            opened_prefix = prefix = self.target.scorer.open(tokens[:-1])
            with suppress(ContextOverflow):
                reading.result()
            stats.prompt_seconds = perf_counter() - started
            started = perf_counter()
            self._write(writing, tokens, opened_prefix, follower, stats)
            stats.seconds = perf_counter() - started
        finally:
            for side in (self.target, self.draft):
                side.settle()  # no cache is given back while its model computes
            follower.close()
            if prefix is not None and prefix.lane >= 0:
                self.target.scorer.close(prefix)
        return stats

    # -- ticks ------------------------------------------------------------------------------------------------

    def _write(
        self, writing: Writing, prompt: list[int], prefix: Prefix, follower: Follower, stats: PearlStats
    ) -> None:
        target = self.target
        known = [*prompt, *writing.follow()]
        pending: list[_Guess] = []  # behind `known`, not checked yet
        ahead: State | None = None  # of the constraint, behind `pending`
        while not writing.done:
            rows = known[len(prefix.tokens) :]
            gamma = 0 if writing.closing else self._gamma(bool(pending))
            forest = Forest()
            nodes = _chain(forest, prefix, [*rows, *(guess.token for guess in pending)], wanted=1 + len(pending))
            future = target.submit(forest)
            if ahead is None and self.mask_draft and gamma:
                ahead = writing.state.fork()
            fresh = self._guess(writing, known, pending, ahead, follower, gamma)
            scores = target.observed(future.result())
            stats.log.append(Tick(gamma, scores.rows, target.take_seconds(), self.draft.take_seconds()))
            path = [*pending, *fresh]
            logits = [scores.logits(node) for node in nodes[len(rows) - 1 :]]
            tree = Draft.of([[guess.token for guess in path[: len(pending) + 1]]])
            _, written, _ = speculative_sampling(writing, tree, logits[0], logits[1:], _proposals(path))
            kept = next((i for i, (a, b) in enumerate(zip(written, path, strict=False)) if a != b.token), None)
            refused = kept is not None
            kept = min(len(written), len(path)) if kept is None else kept
            target.scorer.commit(scores, nodes[len(rows) - 1 + min(kept, len(pending))])
            known += written
            drawn = sum(not guess.forced for guess in path[: kept + refused])
            wrong = int(refused and not path[kept].forced)
            self._learn(drawn - wrong, wrong)
            stats.pre, stats.post = stats.pre + (not pending), stats.post + bool(pending)
            stats.tokens += len(written)
            stats.drafted += sum(not guess.forced for guess in fresh)
            stats.tested += drawn
            stats.accepted += drawn - wrong
            if refused or len(written) > len(path):
                pending, ahead = [], None
            else:
                pending = path[kept:]

    def _guess(
        self,
        writing: Writing,
        known: list[int],
        pending: list[_Guess],
        ahead: State | None,
        follower: Follower,
        passes: int,
    ) -> list[_Guess]:
        """What the draft writes behind `pending` in so many passes; less near a limit or the end of the text."""
        sampling, end = writing.sampling, self.draft.scorer.tokenizer.end
        text = [*known, *(guess.token for guess in pending)]
        fresh: list[_Guess] = []
        for _ in range(passes):
            position = len(writing.out) + len(pending) + len(fresh)
            if position + writing.reserve >= writing.limit or (ahead is not None and ahead.done) or text[-1] == end:
                break
            try:
                logits = follower.logits(text)
            except ContextOverflow:  # the draft has the smaller context: the target goes on alone
                break
            if ahead is not None:
                ids, kept = restrict(logits, ahead.allowed())
            else:
                ids, kept = np.arange(len(logits)), logits
            if sampling.temperature <= 0:
                token, proposal = int(ids[int(kept.argmax())]), None
            else:
                probabilities = np.zeros(len(logits))
                probabilities[ids] = distribution(kept, sampling)
                token = draw(probabilities, keyed_number(sampling.seed, position, "guess 0"))
                proposal = Proposal((token,), probabilities)
            fresh.append(_Guess(token, proposal))
            if ahead is not None:
                ahead.advance(token)
                fresh += [_Guess(forced, None, forced=True) for forced in ahead.forced()]
            text = [*known, *(guess.token for guess in [*pending, *fresh])]
        return fresh

    def _learn(self, right: int, wrong: int) -> None:
        for one in [1.0] * right + [0.0] * wrong:
            self.acceptance = MEMORY * self.acceptance + (1 - MEMORY) * one

    def _gamma(self, post: bool) -> int:
        if not isinstance(self.gamma, str):
            return self.gamma
        self._planned += 1
        if self._planned % 8 == 0:
            self._plan()
        gamma = self._best[post]
        self._alone = 0 if gamma else self._alone + 1
        return gamma or (4 if self._alone % PROBE_EVERY == 0 else 0)

    def _plan(self) -> None:
        self._best = best_gamma(self.target.seconds, self.draft.seconds(1), self.acceptance, MOST)


@dataclass(frozen=True)
class _Guess:
    """A token of the draft; `proposal` says what it was drawn from (None: it is the likeliest, or forced)."""

    token: int
    proposal: Proposal | None
    forced: bool = False


def _chain(forest: Forest, prefix: Prefix, tokens: list[int], *, wanted: int) -> list[int]:
    """Append `tokens`, one behind the other, with logits behind the last `wanted` of them. Returns their nodes."""
    nodes: list[int] = []
    for i, token in enumerate(tokens):
        want = i >= len(tokens) - wanted
        if nodes:
            nodes.append(forest.add(token, parent=nodes[-1], want=want))
        else:
            nodes.append(forest.add(token, prefix=prefix, want=want))
    forest.uniform.add(forest.root[nodes[0]])
    return nodes


def _proposals(path: list[_Guess]) -> dict[tuple[int, ...], Proposal]:
    tokens = [guess.token for guess in path]
    return {tuple(tokens[:i]): guess.proposal for i, guess in enumerate(path) if guess.proposal is not None}
