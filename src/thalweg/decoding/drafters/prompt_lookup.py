"""Prompt lookup: what followed the last tokens the last time they stood in the prompt or the answer.

Choose it where answers quote (retrieved passages, edits, translations of names); it needs nothing and learns nothing.
It guesses one chain, the continuation of the longest match; its weights come from how often matches of that length were
continued in this answer and in those before. Source: Saxena 2023, "Prompt lookup decoding"; Yang et al. 2023,
"Inference with reference". Cost: 20 to 100 microseconds a step, three dictionary entries a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.decoding.drafters.draft import Draft, Verified
from thalweg.decoding.drafters.hits import Hits, Kind, Watch, length_bucket


class PromptLookup:
    """Guesses the continuation of the longest earlier match of the last tokens.

    Args:
        longest: matches are told apart up to this length (longer ones count as this long).
        shortest: matches below this length guess nothing.
        draft: most tokens of a guess.
    """

    name = "prompt_lookup"

    def __init__(self, *, longest: int = 32, shortest: int = 1, draft: int = 31) -> None:
        if not 1 <= shortest <= longest or draft < 1:
            raise ValueError("prompt lookup needs 1 <= shortest <= longest and draft >= 1")
        self.longest, self.shortest, self.draft = longest, shortest, draft
        self.hits = Hits(match_prior, strength=8)

    def start(self, prompt: Sequence[int], scorer: Any) -> _Lookup:
        return _Lookup(self, prompt)


class _Lookup:
    def __init__(self, drafter: PromptLookup, prompt: Sequence[int]) -> None:
        self._drafter = drafter
        self._text = Occurrences(drafter.longest)
        self._text.follow(prompt)
        self._hits = Hits(base=drafter.hits)
        self._watch = Watch(self._hits)

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        self._text.follow(tokens)
        draft = Draft()
        found = self._text.matches(1)
        if not found or found[0][0] < self._drafter.shortest:
            return draft
        length, position = found[0]
        kinds, node, weight = [], -1, 1.0
        for depth, token in enumerate(self._text.after(position, min(most, self._drafter.draft))):
            kind = ("text", length_bucket(length + depth))
            weight *= self._hits.rate(kind)
            node = draft.add(token, parent=node, weight=weight)
            kinds.append(kind)
        self._watch.proposed(draft, kinds)
        return draft

    def observe(self, verified: Verified) -> None:
        self._watch.written(verified.tokens)

    def finish(self, tokens: Sequence[int]) -> None:
        """Nothing is kept but the counts."""


def match_prior(kind: Kind) -> float:
    """How often a match of a length bucket is continued, before anything is known: .3, .48, .58, ... .83."""
    bucket = kind[1]  # type: ignore[index]
    return 0.92 * bucket / (bucket + 2)


class Occurrences:
    """Where the last tokens of a growing text stood before, by their last one, two and three tokens."""

    def __init__(self, longest: int = 32, candidates: int = 64) -> None:
        self.tokens: list[int] = []
        self._longest, self._candidates = longest, candidates
        self._ends: dict[tuple[int, ...], list[int]] = {}  # last tokens -> positions right behind them

    def follow(self, tokens: Sequence[int]) -> None:
        """Take in what `tokens` has beyond the text so far. It must begin with that text."""
        for token in tokens[len(self.tokens) :]:
            self.tokens.append(token)
            end = len(self.tokens)
            for n in (1, 2, 3):
                if end >= n:
                    self._ends.setdefault(tuple(self.tokens[end - n :]), []).append(end)

    def matches(self, most: int) -> list[tuple[int, int]]:
        """(length, position) of earlier places that share the last `length` tokens, the longest first, then the latest.

        `position` is right behind the match. Only the latest places are looked at (`candidates`), at most `most` given.
        """
        text, end = self.tokens, len(self.tokens)
        for n in (3, 2, 1):
            ends = self._ends.get(tuple(text[end - n :]), ()) if end >= n else ()
            if len(ends) > 1:  # the last of them is the end of the text itself
                break
        else:
            return []
        found = []
        for position in ends[-2 : -self._candidates - 2 : -1]:
            length, limit = n, min(self._longest, position)
            while length < limit and text[position - 1 - length] == text[end - 1 - length]:
                length += 1
            found.append((length, position))
        if most == 1:
            return [max(found)]
        found.sort(reverse=True)
        return found[:most]

    def after(self, position: int, most: int) -> list[int]:
        """The `most` tokens from `position` on; at the end of the text it goes on as the text would repeat itself."""
        piece = self.tokens[position : position + most]
        if len(piece) == most:
            return piece
        period = self.tokens[position:]
        return [period[i % len(period)] for i in range(most)]
