"""Exact probabilities under a constraint, without drawing: of every choice at once, or of one given text.

`distribution` scores the whole trie of spellings in one tree pass behind the prompt; only the nodes where spellings
part need logits. `score` walks one text through the constraint in one chain pass. Both give the probabilities that
`generate` draws with at temperature 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.decoding.constraints import Choices, Constraint, restrict
from thalweg.decoding.constraints.choices import Node
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.errors import UnsatisfiableConstraint
from thalweg.models.scorer import Logits


def distribution(last: int, choices: Choices) -> Decoder[list[float]]:
    """Probabilities of ``choices.texts``, in order; they sum to 1."""
    fragment = Fragment([last], [-1], [len(choices.root.children) > 1], uniform=True)
    at: dict[int, int] = {id(choices.root): 0}
    branching = [choices.root] if len(choices.root.children) > 1 else []
    stack = [choices.root]
    while stack:
        node = stack.pop()
        for token, child in node.children.items():
            if not _branches_below(child):
                continue
            fragment.tokens.append(token)
            fragment.parents.append(at[id(node)])
            fragment.wants.append(len(child.children) > 1)
            at[id(child)] = len(fragment.tokens) - 1
            if len(child.children) > 1:
                branching.append(child)
            stack.append(child)
    logits = (yield fragment) if branching else []
    order = sorted(branching, key=lambda node: at[id(node)])
    logprobs = np.zeros(len(choices.texts))
    conditionals = {id(node): _log_softmax(raw, node) for node, raw in zip(order, logits, strict=True)}
    walk: list[tuple[Node, float]] = [(choices.root, 0.0)]
    while walk:
        node, total = walk.pop()
        if node.value >= 0:
            logprobs[node.value] = total
        steps = conditionals.get(id(node))
        for i, child in enumerate(node.children.values()):
            walk.append((child, total + (float(steps[i]) if steps is not None else 0.0)))
    return np.exp(logprobs).tolist()


def _branches_below(node: Node) -> bool:
    while len(node.children) == 1:
        node = next(iter(node.children.values()))
    return len(node.children) > 1


def _log_softmax(logits: Logits, node: Node) -> Any:
    raw = logits[node.ids].astype(np.float64)
    raw -= raw.max()
    return raw - np.log(np.exp(raw).sum())


def score(last: int, constraint: Constraint, text: str, tokenizer: Any) -> Decoder[tuple[float, list[int], int]]:
    """Log-probability of `text`, its tokens, and how many of them were forced."""
    state = constraint.start()
    out: list[int] = []
    forced = 0
    asked: list[tuple[int, Any, int]] = []  # position, allowed, token
    data, written = text.encode(), 0  # bytes, as a token may end inside a character
    if isinstance(constraint, Choices) and text in constraint.texts:
        ahead = [*constraint.spellings[constraint.texts.index(text)], tokenizer.end]
    else:
        ahead = [*tokenizer.encode(text), tokenizer.end]
    while True:
        tokens = state.forced()
        out += tokens
        forced += len(tokens)
        if tokens:
            spelled = b"".join(tokenizer.pieces[token] for token in tokens)
            if not data.startswith(spelled, written):
                raise _not_a_member(text, tokenizer.decode(out))
            written += len(spelled)
            ahead = ahead[len(tokens) :] if ahead[: len(tokens)] == tokens else _spelling(data[written:], tokenizer)
        if state.done:
            break
        token = ahead.pop(0)
        allowed = state.allowed()
        possible = allowed[token] if allowed.dtype == np.bool_ else token in allowed
        if not possible:
            raise _not_a_member(text, tokenizer.decode(out))
        asked.append((len(out), allowed, token))
        state.advance(int(token))
        out.append(int(token))
        written += len(tokenizer.pieces[token])
    if out and out[-1] == tokenizer.end:
        out = out[:-1]
    if tokenizer.decode(out) != text:
        raise _not_a_member(text, tokenizer.decode(out))
    if not asked:
        return 0.0, out, forced
    fragment = Fragment.chain([last, *out], uniform=True, keep=False)
    del fragment.tokens[asked[-1][0] + 1 :], fragment.parents[asked[-1][0] + 1 :]
    fragment.wants = [False] * len(fragment.tokens)
    for position, _, _ in asked:
        fragment.wants[position] = True
    total = 0.0
    for logits, (_, allowed, token) in zip((yield fragment), asked, strict=True):
        ids, kept = restrict(logits, allowed)
        kept = kept.astype(np.float64) - float(kept.max())
        total += float(kept[int(np.searchsorted(ids, token)) if allowed.dtype == np.bool_ else list(ids).index(token)])
        total -= float(np.log(np.exp(kept).sum()))
    return total, out, forced


def _spelling(rest: bytes, tokenizer: Any) -> list[int]:
    """Tokens of what is left, and the end; the bytes of a character that was begun come one by one."""
    begun = len(rest) - len(rest.lstrip(bytes(range(0x80, 0xC0))))
    single = [tokenizer.pieces.index(rest[i : i + 1]) for i in range(begun)]
    return [*single, *tokenizer.encode(rest[begun:].decode()), tokenizer.end]


def _not_a_member(text: str, written: str) -> UnsatisfiableConstraint:
    return UnsatisfiableConstraint(
        f"The value is not one the declared type allows: {text[:80]!r} departs from it after {written[-40:]!r}.",
        "Score a value of the declared type, within its bounds.",
    )
