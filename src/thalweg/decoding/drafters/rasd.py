"""RASD: what a corpus and the prompt say comes next, pruned by a drafter and fused with its guesses into one tree.

Choose it where answers quote or repeat a domain (documents, code, forms) and a drafter alone ends after a few tokens:
retrieval gives length at no model cost, the drafter gives breadth. `Retrieve` alone is a drafter too.
Retrieved continuations are kept if their first token is among the ten likeliest of the drafter's model (a drafter
without one has no say in that: weights decide); then each is walked down the drafter's tree as far as both agree, and
what is left grows from there.
Source: Quan et al. 2025, "RASD: retrieval-augmented speculative decoding"; He et al. 2024, "REST". Cost: 0.2 ms a step
and what the drafter costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.decoding.drafters.draft import Draft, Drafter, Drafting, Verified
from thalweg.decoding.drafters.hits import Hits, Kind, Watch, length_bucket
from thalweg.decoding.drafters.prompt_lookup import Occurrences
from thalweg.decoding.drafters.suffix_store import SuffixStore
from thalweg.decoding.drafters.token_recycling import TokenRecycling
from thalweg.decoding.drafters.token_recycling import top as likeliest
from thalweg.models.scorer import SOFT, Logits

LEAST = 0.01  # a retrieved node less likely than this is not worth a row anywhere


class Retrieve:
    """Guesses what followed the longest match of the last tokens, in a store and in the text at hand.

    Args:
        store: texts to look in; None looks in the prompt and the answer alone.
        prompt: whether to look in the prompt and the answer.
        length: most tokens of a continuation.
        places: most places of a match whose continuations are read (spread evenly over all of them).
        shortest: matches below this length guess nothing.
    """

    name = "retrieve"

    def __init__(
        self,
        store: SuffixStore | None = None,
        *,
        prompt: bool = True,
        length: int = 24,
        places: int = 32,
        shortest: int = 1,
    ) -> None:
        if store is None and not prompt:
            raise ValueError("there is nothing to retrieve from: pass a store, or prompt=True")
        if length < 1 or places < 1 or shortest < 1:
            raise ValueError("length, places and shortest are at least 1")
        self.store, self.prompt = store, prompt
        self.length, self.places, self.shortest = length, places, shortest
        self.hits = Hits(_retrieved_prior, strength=8)

    def start(self, prompt: Sequence[int], scorer: Any) -> _Retrieving:
        return _Retrieving(self, prompt)


class _Retrieving:
    def __init__(self, drafter: Retrieve, prompt: Sequence[int]) -> None:
        self._drafter = drafter
        self._text = Occurrences(candidates=drafter.places) if drafter.prompt else None
        if self._text is not None:
            self._text.follow(prompt)
        self._hits = Hits(base=drafter.hits)
        self._watch = Watch(self._hits)

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        length = min(self._drafter.length, most)
        draft, kinds = Draft(), []
        if self._text is not None:
            self._text.follow(tokens)
            found = [match for match in self._text.matches(self._drafter.places) if match[0] >= self._drafter.shortest]
            if found:  # of shorter matches only those almost as long
                near = [match for match in found if length_bucket(match[0]) >= length_bucket(found[0][0]) - 1]
                paths = [self._text.after(position, length) for _, position in near]
                self._tell("text", found[0][0], paths, draft, kinds, 2 * most)
        store = self._drafter.store
        if store is not None:
            match, positions = store.find(tokens[-store.longest :], self._drafter.shortest)
            if match:
                count = min(len(positions), self._drafter.places)
                chosen = [int(positions[i * len(positions) // count]) for i in range(count)]
                self._tell("store", match, [store.after(at, length) for at in chosen], draft, kinds, 2 * most)
        self._watch.proposed(draft, kinds)
        return draft

    def observe(self, verified: Verified) -> None:
        self._watch.written(verified.tokens)

    def finish(self, tokens: Sequence[int]) -> None:
        """Nothing is kept but the counts."""

    def _tell(
        self, source: str, match: int, paths: list[list[int]], draft: Draft, kinds: list[Kind], most: int
    ) -> None:
        """Add the trie of `paths`; a node's rate depends on the match and on its share among its siblings.

        At most `most` nodes are added, shallow ones first: more than a pass takes, as weights are compared later.
        """
        most += len(draft)
        counts: dict[tuple[int, ...], int] = {}
        for path in paths:
            counts[tuple(path)] = counts.get(tuple(path), 0) + 1
        # Nodes by (paths through them): level by level, the paths that share a node stay together.
        level = [(-1, 1.0, 0, list(counts.items()))]
        rates: dict[Kind, float] = {}
        while level:
            below = []
            for parent, weight, depth, members in level:
                groups: dict[int, list[tuple[tuple[int, ...], int]]] = {}
                total = 0
                for path, count in members:
                    total += count
                    if depth < len(path):
                        groups.setdefault(path[depth], []).append((path, count))
                for token, group in groups.items():
                    share = sum(count for _, count in group) / total
                    kind = (source, length_bucket(match + depth), int(share * 4))
                    if kind not in rates:
                        rates[kind] = self._hits.rate(kind)
                    estimate = weight * rates[kind]
                    if estimate < LEAST or len(draft) >= most:
                        continue
                    known = len(draft)
                    node = draft.add(token, parent=parent, weight=estimate)
                    if node == known:
                        kinds.append(kind)
                    below.append((node, estimate, depth + 1, group))
            level = below


class Fuse:
    """One tree of a drafter's guesses and of what is retrieved.

    Args:
        drafter: any; `TokenRecycling` if none is given.
        retrieval: any other; `Retrieve` from the prompt and the answer if none is given.
        prune_top: retrieved paths whose first token is not among so many likeliest of the drafter's model are dropped;
            0 keeps all. The drafter tells them by the `root_logits` of its `Drafting` (raw logits behind the text so
            far, set by `propose`). One without them, such as `TokenRecycling`, prunes nothing: its eight guesses are
            too few to rule out what was retrieved (doing so took 9 % more passes in a small trial).
        budget: most retrieved nodes, the best ones.
    """

    name = "rasd"

    def __init__(
        self,
        drafter: Drafter | None = None,
        retrieval: Drafter | None = None,
        *,
        prune_top: int = 10,
        budget: int = 32,
    ) -> None:
        if prune_top < 0 or budget < 1:
            raise ValueError("prune_top is 0 or more, and budget at least 1")
        self.drafter: Drafter = drafter or TokenRecycling()
        self.retrieval: Drafter = retrieval or Retrieve()
        self.prune_top, self.budget = prune_top, budget
        self.hits = Hits(_fused_prior, strength=8)

    def start(self, prompt: Sequence[int], scorer: Any) -> _Fusing:
        return _Fusing(self, self.drafter.start(prompt, scorer), self.retrieval.start(prompt, scorer))


class _Fusing:
    def __init__(self, fuse: Fuse, drafting: Drafting, retrieving: Drafting) -> None:
        self._fuse, self._drafting, self._retrieving = fuse, drafting, retrieving
        self._hits = Hits(base=fuse.hits)
        self._watch = Watch(self._hits)

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        drafted = self._drafting.propose(tokens, most)
        retrieved = self._retrieving.propose(tokens, most)
        logits: Logits | None = getattr(self._drafting, "root_logits", None)
        if self._fuse.prune_top and logits is not None:
            retrieved = prune_by_root(retrieved, logits, self._fuse.prune_top)
        return self._weighed(drafted, retrieved.prune(self._fuse.budget))

    def observe(self, verified: Verified) -> None:
        self._watch.written(verified.tokens)
        self._drafting.observe(verified)
        self._retrieving.observe(verified)

    def finish(self, tokens: Sequence[int]) -> None:
        self._drafting.finish(tokens)
        self._retrieving.finish(tokens)

    def _weighed(self, drafted: Draft, retrieved: Draft) -> Draft:
        """The union; a node's rate is the one measured for what its sources believe of it."""
        fused = drafted.union(retrieved)
        kinds: list[Kind] = []
        here: list[tuple[int, int]] = []  # the node in both sources; -2 where it is missing
        rates: dict[Kind, float] = {}
        for node, (token, parent) in enumerate(zip(fused.tokens, fused.parents, strict=True)):
            above = here[parent] if parent >= 0 else (-1, -1)
            pair = (_child(drafted, above[0], token), _child(retrieved, above[1], token))
            here.append(pair)
            kind = (_tenth(drafted, pair[0]), _tenth(retrieved, pair[1]))
            kinds.append(kind)
            if token == SOFT:
                continue
            if kind not in rates:
                rates[kind] = self._hits.rate(kind)
            fused.weights[node] = rates[kind] * (fused.weights[parent] if parent >= 0 else 1.0)
        self._watch.proposed(fused, kinds)
        return fused


def prune_by_root(retrieved: Draft, logits: Logits, top: int) -> Draft:
    """Of `retrieved`, the paths whose first token is among the `top` likeliest by `logits`."""
    allowed = set(likeliest(logits, top).tolist())
    kept: list[int] = []
    lives: list[bool] = []
    for node, parent in enumerate(retrieved.parents):
        lives.append(lives[parent] if parent >= 0 else retrieved.tokens[node] in allowed)
        if lives[-1]:
            kept.append(node)
    return retrieved.keep(kept)


def _child(draft: Draft, node: int, token: int) -> int:
    """The child of `node`; -2 if there is none, or no node."""
    if node == -2:
        return -2
    child = draft.child(node, token)
    return child if child >= 0 else -2


def _tenth(draft: Draft, node: int) -> int:
    """What a source believes of a node given all above it, in tenths; -1 if it does not guess it."""
    if node < 0:
        return -1
    parent = draft.parents[node]
    above = draft.weights[parent] if parent >= 0 else 1.0
    return min(9, int(10 * draft.weights[node] / above)) if above > 0 else 0


def _fused_prior(kind: Kind) -> float:
    """Both sources wrong is the product of each being wrong."""
    drafted, retrieved = kind  # type: ignore[misc]
    wrong = 1.0
    for tenth in (drafted, retrieved):
        if tenth >= 0:
            wrong *= 1 - (tenth + 0.5) / 10
    return 1 - wrong


def _retrieved_prior(kind: Kind) -> float:
    _, bucket, quarter = kind  # type: ignore[misc]
    return 0.9 * bucket / (bucket + 2) * (0.15, 0.35, 0.6, 0.85, 1.0)[quarter]
