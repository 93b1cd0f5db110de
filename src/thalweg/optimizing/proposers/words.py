"""Words that tell a label: those that stand in its training examples far more often than in the others.

Scores by log-odds with a smoothing count, after Monroe, Colaresi and Quinn 2008, "Fightin' Words". Cost: one pass.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from thalweg.optimizing.example import Example

_WORD = re.compile(r"[^\W\d_]{3,}")
_PLAIN = frozenset(
    "the and for that with from this not are was has have had but you your our their his her its they them who which "
    "what when where there here how why can could would will shall may might must one two any all some other into "
    "than then over under also used use been being were very such more most only about after before between".split()
)


def words_of(example: Example, names: Sequence[str]) -> list[str]:
    """The words of an example's text inputs, each once, in order."""
    texts = [value for name in names if isinstance(value := example.row.get(name), str)]
    found = [word for text in texts for word in _WORD.findall(text.casefold()) if word not in _PLAIN]
    return list(dict.fromkeys(found))


def telling_words(examples: Sequence[Example], names: Sequence[str], n: int) -> dict[str, list[str]]:
    """At most `n` telling words for each label that is a short text, in the order in which labels come."""
    counts: dict[str, Counter[str]] = {}
    for one in examples:
        if isinstance(one.label, str | bool | int) and len(str(one.label)) <= 40:
            counts.setdefault(str(one.label), Counter()).update(words_of(one, names))
    if len(counts) < 2:
        return {}
    found: dict[str, list[str]] = {}
    for label, own in counts.items():
        others = sum((each for other, each in counts.items() if other != label), Counter())
        scores = {word: odds(count, own, others[word], others) for word, count in own.items()}
        best = sorted(scores, key=lambda word: (-scores[word], word))
        if chosen := [word for word in best if scores[word] > 0][:n]:
            found[label] = chosen
    return found


def odds(count: int, own: Counter[str], elsewhere: int, others: Counter[str]) -> float:
    """Log-odds of a word in divisions of its error: large where it is both frequent here and rare elsewhere."""
    here, there = count + 0.1, elsewhere + 0.1
    total, rest = sum(own.values()) + 1.0, sum(others.values()) + 1.0
    return (math.log(here / (total - here + 1)) - math.log(there / (rest - there + 1))) / math.sqrt(
        1 / here + 1 / there
    )
