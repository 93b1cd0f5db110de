"""Metrics that are ready to use, by name: exact, contains, f1, close, fields. See `metric.py` for what a metric is.

Choose `exact` for labels, `contains` where a sentence may surround the answer, `f1` for short free text, `close` for
numbers, `fields` for records. Each says in its feedback what is wrong. Source: f1 is the token F1 of Rajpurkar et al.
2016, "SQuAD". Cost: microseconds.
"""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Mapping
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.example import Example
from thalweg.optimizing.metric import Metric, exact_match
from thalweg.program.score import Score
from thalweg.program.types import jsonable, render_value

TOLERANCE = 0.01  # of `close`, as a share of the right number
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_ARTICLES = frozenset({"a", "an", "the"})


def contains(example: Example, output: Any) -> Score:
    """1 where the label stands somewhere in the output; case and white space do not count."""
    wanted, got = _line(example.label), _line(output)
    right = bool(wanted) and wanted in got
    return Score(float(right), "" if right else f"{wanted!r} is not in the answer {got!r:.200}")


def f1(example: Example, output: Any) -> Score:
    """The harmonic mean of the shares of words that output and label have in common; without case, punctuation and
    articles."""
    wanted, got = _words(example.label), _words(output)
    shared = sum((Counter(wanted) & Counter(got)).values())
    if not wanted or not got:
        value = float(wanted == got)
    else:
        value = 2 * shared / (len(wanted) + len(got))
    said = "" if value == 1 else f"the answer was {_line(output)!r:.200}, right is {_line(example.label)!r:.200}"
    return Score(value, said)


def close(example: Example, output: Any) -> Score:
    """1 where the output is the label's number, up to 1 % of it. Of a text the last number counts."""
    wanted, got = _number(example.label), _number(output)
    if wanted is None or got is None:
        lacking, value = ("label", example.label) if wanted is None else ("answer", output)
        return Score(0.0, f"the {lacking} {value!r:.80} has no number")
    right = math.isclose(wanted, got, rel_tol=TOLERANCE, abs_tol=1e-9)
    return Score(float(right), "" if right else f"the answer was {got:g}, right is {wanted:g}")


def fields(example: Example, output: Any) -> Score:
    """The share of the label's fields (of a data class, or JSON) that the output has right; `parts` has each."""
    wanted, got = _record(example.label), _record(output)
    if not isinstance(wanted, Mapping):
        return exact_match(example, output)
    if not isinstance(got, Mapping):
        return Score(0.0, f"the answer was {got!r:.80}, not a record of {', '.join(wanted)}")
    kinds = wanted.get("$type"), got.get("$type")
    if None not in kinds and kinds[0] != kinds[1]:
        return Score(0.0, f"the answer was of kind {kinds[1]}, right is {kinds[0]}")
    leaves, found = _leaves(wanted), _leaves(got)
    parts = {name: float(_same(value, found.get(name, ...))) for name, value in leaves.items()}
    wrong = [
        f"{name} was {found[name]!r:.80}, right is {leaves[name]!r:.80}" if name in found else f"{name} is missing"
        for name, value in parts.items() if not value
    ]  # fmt: skip
    return Score(sum(parts.values()) / len(parts) if parts else 1.0, "; ".join(wrong), parts)


METRICS: dict[str, Metric] = {
    "exact": exact_match, "contains": contains, "f1": f1, "close": close, "fields": fields,
}  # fmt: skip


def metric_of(metric: Any) -> Metric:
    """The metric that a name stands for; others pass. Raises `SearchError`."""
    if isinstance(metric, str) and metric in METRICS:
        return METRICS[metric]
    if not callable(metric):
        raise SearchError(f"{metric!r:.80} is no metric.", f"Give a function, or a name: {', '.join(METRICS)}.")
    return metric


def _line(value: Any) -> str:
    return " ".join(render_value(value).split()).casefold()


def _words(value: Any) -> list[str]:
    text = _line(value).translate(str.maketrans("", "", string.punctuation))
    return [word for word in text.split() if word not in _ARTICLES]


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, str) and hasattr(value, "__float__"):
        return float(value)
    found = _NUMBER.findall(render_value(value))
    return float(found[-1].replace(",", "")) if found else None


def _record(value: Any) -> Any:
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except ValueError:
            return value
        return read if isinstance(read, dict) else value
    return jsonable(value)


def _leaves(record: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if name == "$type":
            continue
        if isinstance(value, Mapping) and "$value" not in value:
            found |= _leaves(value, f"{under}{name}.")
        else:
            found[f"{under}{name}"] = value["$value"] if isinstance(value, Mapping) else value
    return found


def _same(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, str) and isinstance(got, str):
        return wanted.strip() == got.strip()
    return wanted == got and isinstance(wanted, bool) == isinstance(got, bool)
