"""The true conditional of a small grammar: all its token strings, their probabilities, and how far a sampler is off.

Enumerates every string of tokens the constraint lets a decoder write (several spellings of one text are several
strings), scores them behind the prompt, and gives the exact Q(w) = P(w) / sum P and the exact c of every prefix. For
tests and benches, and for `GrammarAligned.kl_to_exact`. Cost: one row a prefix, so thousands of strings at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from thalweg.decoding.aligned.drawing import Floats, chain, log_sum, logprobs
from thalweg.decoding.aligned.trie import Node, Trie
from thalweg.decoding.constraints import Constraint, State
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.errors import TypeNotSupported
from thalweg.models.request import Sampling

BLOCK = 96  # prefixes scored in one pass: each brings a row of the whole vocabulary


@dataclass
class Language:
    """The prefixes of a grammar in depth-first order; the root is number 0 and has token -1.

    Fields, one entry a prefix: `parents`; `tokens`; `complete` (the token is the end: a leaf of the language);
    `children`, the numbers of what follows. `log_p`, the log-probability of the token behind its parent, and
    `log_c`, that of ending in the grammar, are filled by `exact`.
    """

    parents: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    complete: list[bool] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)
    log_p: Floats = field(default_factory=lambda: np.zeros(0))
    log_c: Floats = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.parents)

    def add(self, parent: int, token: int, complete: bool) -> int:
        self.parents.append(parent)
        self.tokens.append(token)
        self.complete.append(complete)
        self.children.append([])
        if parent >= 0:
            self.children[parent].append(len(self.parents) - 1)
        return len(self.parents) - 1

    def spelling(self, number: int) -> tuple[int, ...]:
        """Tokens from the root down to a prefix."""
        tokens: list[int] = []
        while number > 0:
            tokens.append(self.tokens[number])
            number = self.parents[number]
        return tuple(tokens[::-1])

    def measure(self) -> None:
        """Work out `log_c` from `log_p`."""
        self.log_c = np.full(len(self), -math.inf)
        for number in reversed(range(len(self))):
            if self.complete[number]:
                self.log_c[number] = 0.0
            elif children := self.children[number]:
                self.log_c[number] = log_sum(self.log_p[children] + self.log_c[children])

    @property
    def leaves(self) -> list[int]:
        """Numbers of the complete strings; their spellings end with the end token."""
        return [number for number, complete in enumerate(self.complete) if complete]

    def log_q(self) -> Floats:
        """log Q of every leaf: the model's own probability of the string given that it is one of the grammar's."""
        down = np.zeros(len(self))
        for number in range(1, len(self)):
            down[number] = down[self.parents[number]] + self.log_p[number]
        return down[self.leaves] - self.log_c[0]

    def induced(self, trie: Trie | None) -> Floats:
        """log-probability of every leaf under the sampler as it stands: ASAp with `trie`, masking alone with None."""
        down = np.zeros(len(self))
        nodes: list[Node | None] = [trie.root if trie is not None else None] + [None] * (len(self) - 1)
        for number, children in enumerate(self.children):
            if not children:
                continue
            scores = self.log_p[children]
            if trie is not None and (node := nodes[number]) is not None:
                tokens = np.array([self.tokens[child] for child in children])
                order = np.argsort(tokens)
                scores[order] += trie.outlook(node, tokens[order])
                for child, token in zip(children, tokens.tolist(), strict=True):
                    if (edge := node.children.get(token)) is not None:
                        nodes[child] = edge[1]
            down[children] = down[number] + scores - log_sum(scores)
        return down[self.leaves]


def enumerate_language(constraint: Constraint, *, end: int, limit: int = 256, most: int = 20_000) -> Language:
    """Every token string that a decoder may write, each with its end.

    Args:
        limit: most tokens of a string, as `max_tokens`; longer ones are no part of the language.
        most: prefixes.

    Raises:
        TypeNotSupported: there are more.
    """
    language = Language()
    waiting: list[tuple[State, int, int, int]] = [(constraint.start(), language.add(-1, -1, False), -1, 0)]
    while waiting:
        state, number, token, depth = waiting.pop()
        if token >= 0:
            state.advance(token)
            number = language.add(number, token, token == end)
        for forced in state.forced():
            number = language.add(number, forced, forced == end)
            depth += 1
        if state.done:
            if not language.complete[number]:
                language.add(number, end, True)
        elif depth < limit:
            allowed = state.allowed()
            tokens = np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed
            if len(language) + len(waiting) + len(tokens) > most:
                raise TypeNotSupported(
                    f"The grammar has more than {most} prefixes in tokens.",
                    "Enumerate small grammars only; in large ones `log_weight` says how far samples are off.",
                )
            waiting += [(state.fork(), number, int(one), depth + 1) for one in tokens[::-1]]
    return language


def exact(
    last: int, language: Language, sampling: Sampling, *, visit: Callable[[int, Floats], None] | None = None
) -> Decoder[Language]:
    """Fill `log_p` and `log_c` of `language` behind a prompt whose last token, `last`, is not computed yet.

    Args:
        visit: called with the number of every prefix that goes on, and the law behind it.
    """
    language.log_p = np.zeros(len(language))

    def learn(number: int, law: Floats) -> None:
        if visit is not None:
            visit(number, law)
        for child in language.children[number]:
            language.log_p[child] = law[language.tokens[child]]

    (logits,) = yield chain([last], 1)
    learn(0, logprobs(logits, sampling))
    inner = [number for number in range(1, len(language)) if language.children[number]]
    for start in range(0, len(inner), BLOCK):
        block = inner[start : start + BLOCK]
        for number, found in zip(block, (yield _tree(language, block)), strict=True):
            learn(number, logprobs(found, sampling))
    language.measure()
    return language


def _tree(language: Language, block: Sequence[int]) -> Fragment:
    """A fragment that wants the logits of `block`, with the prefixes it hangs on."""
    wanted, needed = set(block), set[int]()
    for number in block:
        while number > 0 and number not in needed:
            needed.add(number)
            number = language.parents[number]
    order = sorted(needed)
    at = {number: i for i, number in enumerate(order)} | {0: -1}
    return Fragment(
        [language.tokens[number] for number in order],
        [at[language.parents[number]] for number in order],
        [number in wanted for number in order],
        uniform=True,
    )


def divergence(log_q: Floats, log_other: Floats) -> float:
    """Kullback-Leibler divergence KL(Q || other) in nats."""
    weights = np.exp(log_q)
    held = weights > 0
    return float((weights[held] * (log_q[held] - log_other[held])).sum())
