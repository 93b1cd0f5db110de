"""Rules: an instruction grows by sentences that are made from failures; no model is asked.

A failure whose right answer is known gives "If the text has 'x', it is y.", with the word of its inputs that tells its
label best in the training examples; one that is not gives the metric's own feedback as a note. Choose it for reflective
search without a model that writes. Source: the rule step of SIMBA (DSPy 2025), with words for the model's advice.
Cost: nothing is asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.optimizing.proposers.proposer import Failing, cleaned
from thalweg.optimizing.proposers.words import odds, words_of
from thalweg.optimizing.search import Search


@dataclass(frozen=True)
class Rules:
    """Sentences appended to an instruction.

    Args:
        most: sentences of this form that an instruction may have; the oldest goes when there would be more.
    """

    most: int = 4
    name: str = "Rules"

    def reflect(self, search: Search, path: str, instruction: str, failing: Sequence[Failing], turn: int) -> list[str]:
        made: list[str] = []
        rules = [said for one in failing if (said := self._rule(search, one))]
        if len(rules) > 1:
            made.append(self._with(instruction, rules[: self.most]))
        made += [self._with(instruction, [one]) for one in rules]
        made += [
            self._with(instruction, [f"Note: {one.feedback.strip().rstrip('.')}."]) for one in failing if one.feedback
        ]
        return cleaned(made, known=[instruction])

    def _rule(self, search: Search, one: Failing) -> str:
        label = one.example.label
        if not isinstance(label, str | bool | int) or len(str(label)) > 40:
            return ""
        own: Counter[str] = Counter()
        others: Counter[str] = Counter()
        for other in search.train:
            (own if other.label == label else others).update(words_of(other, search.names))
        words = words_of(one.example, search.names)
        if not words:
            return ""
        word = max(words, key=lambda word: (odds(own[word], own, others[word], others), -words.index(word)))
        return f'If it has "{word}", the answer is {label}.'

    def _with(self, instruction: str, sentences: Sequence[str]) -> str:
        old = re.findall(r'If it has "[^"]+", the answer is [^.]+\.', instruction)
        plain = instruction
        for one in old:
            plain = plain.replace(one, "").strip()
        plain = re.sub(r"\s{2,}", " ", plain)
        rules = [one for one in sentences if one.startswith("If it has")]
        notes = [one for one in sentences if one not in rules and one not in plain]
        kept = [*(one for one in old if one not in rules), *rules][-self.most :]
        return " ".join([plain, *notes, *kept]).strip()
