"""Edits: rewordings of an instruction made from the function's own types and examples; no model is asked.

Names the answers that are possible, puts the inputs' names in, shortens, reorders and drops sentences, and says which
words go with which answer in the training examples. Choose it where no model writes well enough, and as the control for
those that do: whatever a written instruction gains must be more than this. Source: after Prasad et al. 2023, "GrIPS:
Gradient-free, Edit-based Instruction Search". Cost: nothing is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.proposers.proposer import cleaned, in_force
from thalweg.optimizing.proposers.words import telling_words
from thalweg.optimizing.search import Search

_MOST_LABELS = 24


@dataclass(frozen=True)
class Edits:
    """Rewordings by templates.

    Args:
        words: words of the training examples that are named for each answer; 0 names none.
    """

    words: int = 4
    name: str = "Edits"

    def propose(self, search: Search, path: str, n: int) -> list[str]:
        now = in_force(search, path)
        signature = search.functions[path].signature
        labels = labels_of(signature)
        inputs = _listed([one.name.replace("_", " ") for one in signature.inputs], "and") or "case"
        what = signature.name.replace("_", " ")
        sentences = [one for one in re.split(r"(?<=[.!?])\s+", now.strip()) if one]
        made: list[str] = []
        if labels:
            either = _listed(labels, "or")
            made += [
                f"{now} Answer with one of: {', '.join(labels)}.",
                f"Which fits the {inputs} best: {either}?",
                f"Classify the {inputs} as {either}.",
            ]
            made += [f"{now} {said}" for said in self._hints(search, path)]
            made += [
                f"Choose the {what} of the {inputs}: {either}.",
                f"Read the {inputs}. {now} The answer is {either}.",
                f"The {inputs} is about one of these: {', '.join(labels)}. Say which.",
                f"{now} Possible answers are {_listed(list(reversed(labels)), 'and')}.",
            ]
            made += [f"Classify the {inputs}. {said}" for said in self._hints(search, path)]
        made += [
            f"Read the {inputs} carefully. {now}",
            f"{now} Be exact.",
            f"Give the {what} for the {inputs}.",
            f"You are an expert. {now}",
            f"What is the {what} of the {inputs}?",
        ]
        if len(sentences) > 1:
            made += [" ".join(sentences[:at] + sentences[at + 1 :]) for at in range(len(sentences))]
            made += [" ".join(reversed(sentences)), " ".join([*sentences[1:], sentences[0]])]
        made += [f"{now} {one.name}: {one.description}." for one in signature.inputs if one.description]
        return cleaned(made, known=[now])[:n]

    def _hints(self, search: Search, path: str) -> list[str]:
        if not self.words or len(search.functions) > 1:
            return []
        found = telling_words(search.train, search.names, self.words)
        if not found:
            return []
        return [
            "Words that tell: " + "; ".join(f"{label}: {', '.join(words)}" for label, words in found.items()) + ".",
            " ".join(f"Say {label} for such as {_listed(words[:2], 'or')}." for label, words in found.items()),
        ]


def labels_of(signature: Any) -> list[str]:
    """The texts of a function's possible answers, none where they are too many to name."""
    values = signature.output.values()
    if values is None or not 1 < len(values) <= _MOST_LABELS:
        return []
    return [signature.output.encode(one).strip('"') for one in values]


def _listed(texts: Sequence[str], word: str) -> str:
    texts = list(texts)
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}" if len(texts) > 1 else "".join(texts)
