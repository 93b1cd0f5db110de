"""On the real small model: exact probabilities, frequencies and scores agree; every answer is of its type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from kinds import TYPES, Complaint
from walking import chi_square_limit

import thalweg as tw
from thalweg.errors import BudgetExceeded
from thalweg.models.request import Message, Request, Sampling
from thalweg.program.types import plan


def ask(text: str, annotation: Any, **changes: Any) -> Request:
    output = plan(annotation)
    fields: dict[str, Any] = {
        "prefix": "<|im_start|>user\n", "suffix": f"{text}<|im_end|>\n<|im_start|>assistant\n",
        "reserve": min(128, len(output.minimal.encode()) + 8),
    }  # fmt: skip
    return Request((Message("user", text),), output.format, **(fields | changes))


def finite() -> dict[str, Any]:
    return {name: kind for name, kind in TYPES.items() if plan(kind).values() is not None} | {"two": tuple[bool, bool]}


@pytest.mark.parametrize("name", sorted(finite()))
def test_the_scores_of_all_values_are_the_logarithms_of_the_distribution(model: Any, name: str) -> None:
    annotation = finite()[name]
    texts = plan(annotation).format.choices
    probabilities = model.submit(ask("Choose one.", annotation, want="distribution")).result(60).probabilities
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-9)
    futures = [model.submit(ask("Choose one.", annotation, want="score", target=text)) for text in texts]
    scores = [future.result(60).logprob for future in futures]
    assert math.fsum(map(math.exp, scores)) == pytest.approx(1, abs=1e-4)
    assert scores == pytest.approx([math.log(p) for p in probabilities], abs=1e-4)


def test_300_draws_have_the_frequencies_of_the_distribution(model: Any) -> None:
    annotation = TYPES["literal"]
    texts = plan(annotation).format.choices
    probabilities = np.array(
        model.submit(ask("A mail about cheap pills.", annotation, want="distribution")).result(60).probabilities
    )
    futures = [
        model.submit(ask("A mail about cheap pills.", annotation, sampling=Sampling(temperature=1.0, seed=seed)))
        for seed in range(300)
    ]
    seen = np.zeros(len(texts))
    for future in futures:
        answer = future.result(120)
        place = texts.index(answer.text)
        seen[place] += 1
        assert answer.logprob == pytest.approx(math.log(probabilities[place]), abs=1e-5)
    expected = 300 * probabilities
    assert ((seen - expected) ** 2 / expected).sum() < chi_square_limit(len(texts) - 1)


def test_the_score_of_a_greedy_value_is_what_generating_it_reported(model: Any) -> None:
    """Within 0.5: generation computes lone rows, scoring computes chains (see `models/llama_cpp.py`)."""
    for name in ("dataclass", "range", "pattern", "date", "tuple"):
        answer = model.submit(ask("The parcel came late.", TYPES[name])).result(60)
        scored = model.submit(ask("The parcel came late.", TYPES[name], want="score", target=answer.text)).result(60)
        assert scored.text == answer.text
        if scored.tokens == answer.tokens:
            assert scored.logprob == pytest.approx(answer.logprob, abs=0.5), name
        again = model.submit(ask("The parcel came late.", TYPES[name], want="score", target=answer.text)).result(60)
        assert again.logprob == scored.logprob


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_type_ends_with_a_value_at_any_limit(model: Any, temperature: float) -> None:
    limits = (8, 13, 21, 40)
    asked = [
        (kind, limit, model.submit(ask("A mail.", kind, sampling=Sampling(temperature, 1.0, 0, limit, limit))))
        for kind in TYPES.values() for limit in limits
    ]  # fmt: skip
    ended, spent = 0, []
    for kind, limit, future in asked:
        error = future.exception(120)
        if error is not None:
            assert isinstance(error, BudgetExceeded), (kind, limit, error)
            spent.append((kind, limit))
            continue
        answer = future.result()
        plan(kind).decode(answer.text)
        assert answer.finish in ("complete", "closed")
        ended += 1
    assert ended > 0.8 * len(asked), spent


def test_greedy_choices_take_branches_by_their_own_probability(model: Any) -> None:
    answer = model.submit(ask("Staff was rude.", Complaint.__annotations__ and TYPES["enum"])).result(60)
    assert answer.text in plan(TYPES["enum"]).format.choices
    assert 0 < math.exp(answer.logprob) <= 1


def test_equal_seeds_give_equal_draws_and_other_seeds_others(model: Any) -> None:
    @tw.learned
    def name(kind: str) -> str:
        """Invent a name."""

    with tw.using(model=model, cache=False, max_tokens=8):
        first, again, other = (name.sample("ship", n=6, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(set(first)) > 1
