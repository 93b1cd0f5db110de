"""`Hole`: the texts a query's hole may hold: a grammar for what is regular, finality for counts and predicates.

Masks are the grammar's, less the tokens after which the rest is finally false, and, when a count is used up, less those
after which the hole cannot end at once. They are sound. Where they leave nothing a `DeadEnd` says how far the writing
came, and the same format with that way to `avoid` is the next attempt (`avoiding`): bounded backtracking that every
record can replay. Cost: the grammar's mask; 0.2 ms more where something is counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints.finality import Bools, Pieces, Written, at_end, evaluate, follow
from thalweg.decoding.constraints.grammar import Grammar, GrammarState
from thalweg.decoding.constraints.lowering import lower
from thalweg.decoding.constraints.where import Where, from_data, leaves, to_data
from thalweg.errors import DeadEnd, ModelError
from thalweg.models.request import Format
from thalweg.models.scorer import Logits

Allowed = NDArray[np.int64] | NDArray[np.bool_]
_LOOSEN = "Loosen the constraint, or say in the prompt what is wanted."


def hole_format(where: Where) -> Format:
    """The format of a hole under `where`, an expression about it alone."""
    lower(where)  # what cannot be lowered shows where it is declared
    data, checks = to_data(where)
    return Format("where", grammar=json.dumps({"where": data, "avoid": []}), checks=checks)


def avoiding(format: Format, dead: DeadEnd, step: int) -> Format:
    """The format without the way into a dead end: its last token, or `step` > 1 tokens before its end."""
    data = json.loads(format.grammar)
    data["avoid"].append(list(dead.tokens[: max(1, len(dead.tokens) - step + 1)]))
    return replace(format, grammar=json.dumps(data))


class Hole:
    """Constraint of a hole over the vocabulary of `tokenizer`."""

    uniform = False

    def __init__(self, format: Format, tokenizer: Any) -> None:
        data = json.loads(format.grammar)
        self.where = from_data(data["where"], format.checks)
        self.avoid = tuple(tuple(path) for path in data["avoid"])
        self.tokenizer = tokenizer
        lowered = lower(self.where)
        self.free, self.rest = lowered.free, lowered.rest
        self.stops = tuple(phrase.encode() for phrase in (*lowered.at, *lowered.before))
        self.before = tuple(phrase.encode() for phrase in lowered.before)
        self.grammar = Grammar(Format("lark", grammar=lowered.grammar), tokenizer)
        self.pieces = _pieces_of(tokenizer)
        self.begun = tuple({phrase[:length] for phrase in self.before for length in range(1, len(phrase))})
        # Then a value after a token is the value if the hole ends with it.
        counted = [] if self.rest is None else [leaf.op == "count" for leaf in leaves(self.rest)]
        self.counts_only = not self.before and all(counted)
        # Tokens that end inside a character, where a hole may end with one that is not ASCII.
        inside = not self.stops or any(phrase[-1] >= 0x80 for phrase in self.stops)
        self.open_ended = self.pieces.open_ended & inside
        self.closing = [tokenizer.encode(phrase.decode())[0] for phrase in self.stops]
        self._endings = Suffixes(self.stops, self.pieces.pieces)
        pieces = self.pieces.pieces
        self.begins = np.array([bool(self.begun) and piece.endswith(self.begun) for piece in pieces], np.bool_)
        self.begun_across = Suffixes(self.begun, pieces, across=True)
        self.without_begun = Pieces([self._without_begun(piece) for piece in pieces] if self.begun else pieces)

    def start(self) -> HoleState:
        return HoleState(self, self.grammar.start(), Written(), [])

    def value(self, data: bytes) -> bytes:
        """What the hole holds when `data` was written to its end."""
        for phrase in self.before:
            if data.endswith(phrase):
                return data[: -len(phrase)]
        return data

    def endings(self, written: bytes) -> NDArray[np.int64]:
        """Tokens that complete a stop phrase behind `written`."""
        return self._endings.behind(written)

    def _without_begun(self, data: bytes) -> bytes:
        """`data` without the longest beginning of a phrase at its end."""
        return data[: len(data) - max((len(phrase) for phrase in self.begun if data.endswith(phrase)), default=0)]


class Suffixes:
    """Tokens that make a text end with one of `phrases`: those that end with one, and those that complete one.

    Args:
        across: the latter only.
    """

    def __init__(self, phrases: tuple[bytes, ...], pieces: Sequence[bytes], *, across: bool = False) -> None:
        self.phrases = phrases
        self._longest = max(map(len, phrases), default=0)
        self._alone: list[int] = []
        self._parts: list[tuple[int, bytes]] = []
        for token, piece in enumerate(pieces if phrases else ()):
            if not across and piece.endswith(phrases):
                self._alone.append(token)
            elif piece and any(len(phrase) > len(piece) and phrase.endswith(piece) for phrase in phrases):
                self._parts.append((token, piece))

    def behind(self, written: bytes) -> NDArray[np.int64]:
        tail = written[-self._longest :]
        completing = [token for token, piece in self._parts if (tail + piece).endswith(self.phrases)]
        return np.array(self._alone + completing, np.int64)


class HoleState:
    def __init__(self, hole: Hole, grammar: GrammarState, written: Written, tokens: list[int]) -> None:
        self._hole = hole
        self._grammar = grammar
        self._written = written
        self._tokens = tokens
        self._ended = False

    @property
    def done(self) -> bool:
        if self._ended or (self._hole.stops and self._written.data.endswith(self._hole.stops)):
            return True
        if not self._grammar.done:
            return False
        if self._may_end(self._written):
            return True
        raise self._dead_end()

    def forced(self) -> list[int]:
        """What the grammar forces, as far as the rest allows it."""
        hole = self._hole
        if self.done:
            return []
        if hole.rest is None and not hole.avoid:
            tokens = self._grammar.forced()
            for token in tokens:
                self._wrote(token)
            return tokens
        taken: list[int] = []
        for token in self._grammar.fork().forced():
            if self.done or not self.allowed()[token]:
                break
            self.advance(token)
            taken.append(token)
        return taken

    def allowed(self) -> Bools:
        hole = self._hole
        mask = self._grammar.allowed()
        end = hole.tokenizer.end
        if hole.stops:
            mask[end] = False  # such a hole ends with its phrase
        if hole.rest is not None:
            ending = bool(mask[end]) and self._may_end(self._written)
            mask[end] = False
            mask = self._narrowed(mask, hole.rest)
            mask[end] = ending
        for path in hole.avoid:
            if path[:-1] == tuple(self._tokens):
                mask[path[-1]] = False
        if not mask.any():
            raise self._dead_end()
        return mask

    def _narrowed(self, mask: Bools, rest: Where) -> Bools:
        """Less what the rest finally refuses, or leaves no room to complete."""
        hole, written = self._hole, self._written
        value, final = follow(rest, written, hole.pieces, mask)
        kept = mask & (value | ~final)
        if hole.begun:  # the end of what is written may be the beginning of a phrase that is dropped
            unsure = mask & ~kept & hole.begins
            value_without, final_without = follow(rest, written, hole.without_begun, unsure)
            kept |= unsure & (value_without | ~final_without)
            for token in hole.begun_across.behind(written.data):
                if mask[token] and not kept[token]:
                    kept[token] = self._possible_without_phrase(written.then(hole.pieces.pieces[token]), rest)
        last, full = self._last(kept, rest)
        if last.any():
            kept &= ~last | self._completing(last)
        if full.any():
            kept &= ~full | hole.open_ended | self._completing(full & ~hole.open_ended)
        if hole.stops:
            # There the value is settled, whatever could still grow.
            endings = hole.endings(written.data)
            if hole.counts_only:
                kept[endings] = mask[endings] & value[endings]
            else:
                for token in endings[mask[endings]].tolist():
                    kept[token] = self._may_end(written.then(hole.pieces.pieces[token]))
        return kept

    def _possible_without_phrase(self, written: Written, rest: Where) -> bool:
        value, finality = evaluate(rest, Written(self._hole._without_begun(written.data), written.tokens))
        return value or finality != "fin"

    def _last(self, mask: Bools, rest: Where) -> tuple[Bools, Bools]:
        """Tokens after which there may be no further token, and those after which there may be no new character."""
        last, full = np.zeros_like(mask), np.zeros_like(mask)
        for part in rest.parts if rest.op == "and" else (rest,):
            if part.op != "count" or part.data[2] is None:
                continue
            unit, _, most = part.data
            if unit == "tokens" and self._written.tokens + 1 >= most:
                last |= mask
            elif unit == "chars" and not self._hole.before:  # a phrase that is dropped does not count
                full |= mask & (self._written.chars + self._hole.pieces.added(unit, self._written) >= most)
        return last, full

    def _completing(self, mask: Bools) -> Bools:
        """Tokens of `mask` after which the hole may end, or has ended."""
        hole = self._hole
        kept = np.zeros_like(mask)
        if hole.stops:
            endings = hole.endings(self._written.data)
            kept[endings] = mask[endings]
            return kept
        if hole.free:
            return mask
        matcher = self._grammar.fork()._matcher
        for token in np.flatnonzero(mask).tolist():
            if not matcher.consume_token(token):
                raise ModelError("The constraint engine refused a token that it had allowed.", "Report this.")
            kept[token] = matcher.is_accepting()
            matcher.rollback(1)
        return kept

    def advance(self, token: int) -> None:
        if token == self._hole.tokenizer.end:
            self._ended = True
            return
        self._grammar.advance(token)
        self._wrote(token)

    def _wrote(self, token: int) -> None:
        if token == self._hole.tokenizer.end:
            self._ended = True
            return
        self._written = self._written.then(self._hole.pieces.pieces[token])
        self._tokens.append(token)

    def shortest(self, allowed: Allowed, logits: Logits) -> int:
        for token in (self._hole.tokenizer.end, *self._hole.closing):
            if allowed[token]:
                return token
        return int(np.where(allowed, logits, -np.inf).argmax())

    def fork(self) -> HoleState:
        made = HoleState(self._hole, self._grammar.fork(), self._written, list(self._tokens))
        made._ended = self._ended
        return made

    def _may_end(self, written: Written) -> bool:
        rest = self._hole.rest
        return rest is None or at_end(rest, Written(self._hole.value(written.data), written.tokens))

    def _dead_end(self) -> DeadEnd:
        return DeadEnd(
            f"After {self._written.text[-60:]!r} nothing can follow that satisfies {self._hole.where}.",
            _LOOSEN,
            tokens=tuple(self._tokens),
        )


def _pieces_of(tokenizer: Any) -> Pieces:
    found = getattr(tokenizer, "_counted_pieces", None)
    if found is None:
        found = tokenizer._counted_pieces = Pieces(tokenizer.pieces)
    return found
