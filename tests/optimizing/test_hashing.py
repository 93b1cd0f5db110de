"""Functional hashing: what counts in a key, and that candidates that behave alike are evaluated once."""

from __future__ import annotations

import json
import math
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request
from thalweg.optimizing import Example, Search, optimize
from thalweg.optimizing.hashing import FunctionalCache, functional_hash
from thalweg.program.budget import Budget
from thalweg.program.spaces import Genome

numbers = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


def truncated(value: float, bits: int) -> float | None:
    """The same policy in plain Python: sign, exponent and the first bits of the mantissa; None is no number."""
    if math.isnan(value):
        return None
    whole = int.from_bytes(struct.pack(">d", value), "big")
    return struct.unpack(">d", ((whole >> (52 - bits)) << (52 - bits)).to_bytes(8, "big"))[0]


@given(st.lists(numbers, max_size=6), st.lists(numbers, max_size=6), st.integers(0, 52))
def test_hashes_are_equal_exactly_where_the_kept_bits_are(a: list[float], b: list[float], bits: int) -> None:
    same = [truncated(one, bits) for one in a] == [truncated(one, bits) for one in b]
    assert (functional_hash(a, bits) == functional_hash(b, bits)) == same


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.integers(0, 52))
def test_cutting_bits_first_changes_no_hash(values: list[float], bits: int) -> None:
    cut = [made for one in values if (made := truncated(one, bits)) is not None]
    assert functional_hash(cut, bits) == functional_hash(values, bits)
    assert all(
        abs(one - made) <= abs(one) * 2.0**-bits or abs(one) < 1e-300 for one, made in zip(values, cut, strict=True)
    )


@given(st.permutations([0.0, 1.0, 2.0, 3.0, 4.0]))
def test_the_order_of_numbers_counts(values: list[float]) -> None:
    assert (functional_hash(values) == functional_hash(sorted(values))) == (values == sorted(values))


def test_zeros_and_nans_have_one_hash_and_infinities_two() -> None:
    odd_nan = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]
    assert functional_hash([0.0]) == functional_hash([-0.0]) != functional_hash([])
    assert functional_hash([math.nan]) == functional_hash([odd_nan]) != functional_hash([math.inf])
    assert functional_hash([math.inf]) != functional_hash([-math.inf])
    with pytest.raises(ValueError, match="mantissa_bits"):
        functional_hash([1.0], 53)


def test_thousands_of_vectors_do_not_collide() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    assert len({functional_hash(one) for one in rng.normal(size=(30_000, 4))}) == 30_000


def test_a_noisy_key_is_evaluated_so_often_and_then_answered_by_the_mean() -> None:
    cache = FunctionalCache(max_evaluations=3)
    asked: list[float] = []

    def noisy() -> float:
        asked.append(float(len(asked)))
        return asked[-1]

    assert [cache.score("k", noisy) for _ in range(5)] == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert (len(asked), cache.hits, cache.misses, cache.saved) == (3, 2, 3, 2)


@pytest.mark.parametrize("forget", [0.0, 1.0])
def test_a_forgotten_key_is_evaluated_again(forget: float) -> None:
    cache = FunctionalCache(forget=forget)
    results = [cache.score("k", lambda number=number: float(number)) for number in range(6)]
    assert results == ([0.0] * 6 if not forget else [0.0, 0.0, 2.0, 2.0, 4.0, 4.0])


# -- in a search ------------------------------------------------------------------------------------------------------


@tw.learned
def sort(text: str) -> Literal["a", "b"]: ...


@tw.learned
def unused(text: str) -> Literal["a", "b"]:
    """Never asked."""
    ...


@tw.flow
def piped(text: str, way: str = tw.choice("one", "two")) -> str:
    if text == "":
        return unused(text)
    return sort(text if way in ("one", "two") else "")


@dataclass(frozen=True)
class Tries:
    """Tries some genomes, made of the first one by functions."""

    changes: tuple[Any, ...]
    name: str = "tries"

    def run(self, search: Search) -> None:
        for one in self.changes:
            search.try_(search.space.default().replace(one))


def says_by_instruction(request: Request) -> Answer:
    """Looks at the length of the instruction modulo 3 only."""
    said = request.messages[0].content.partition("\n")[0]
    kind = len(said) % 3
    text = "a" if kind == 0 or "yes" in request.messages[-1].content else "b"
    return Answer(text, logprob=-0.1 * (1 + len(said) % 2))


EXAMPLES = [Example({"text": f"{'yes' if i % 2 else 'no'} {i}"}, "a", i) for i in range(40)]


def run(program: Any, changes: list[Any], cache: Any, store: Path, calls: list[str]) -> Any:
    def script(request: Request) -> Answer:
        calls.append(request.messages[-1].content)
        return says_by_instruction(request)

    with tw.using(model=ScriptedModel(script, identity="by length"), store=store, cache=False):
        return optimize(
            program, train=EXAMPLES[:2], dev=EXAMPLES[2:], strategy=Tries(tuple(changes)), cache=cache, progress=False
        )


def test_an_instruction_that_renders_alike_is_never_evaluated_twice(tmp_path: Path) -> None:
    calls: list[str] = []
    cache = FunctionalCache()
    # Without an instruction the prompt says this by itself.
    study = run(sort, [{"sort/instruction": "Work out `sort` from the inputs."}], cache, tmp_path, calls)
    assert len(calls) == 38 + 2 and study.trials[1].same_as == 0 and study.saved == cache.saved == 38
    assert study.trials[1].score == study.trials[0].score
    assert study.spent.evaluations == 38


def test_reordered_keys_of_a_genome_are_one_candidate(tmp_path: Path) -> None:
    demonstration = {"inputs": {"text": "yes"}, "output": "a"}
    space = tw.space(sort)
    one = Genome.from_json({"choices": {"sort/demonstrations": [demonstration], "sort/instruction": "go"}}, space)
    other = json.loads(
        json.dumps(
            {"choices": {"sort/instruction": "go", "sort/demonstrations": [dict(reversed(demonstration.items()))]}}
        )
    )
    assert Genome.from_json(other, space).digest == one.digest
    calls: list[str] = []
    study = run(sort, [one.values, other["choices"]], None, tmp_path, calls)
    assert len(study.trials) == 2


def test_what_a_flow_never_asks_is_seen_on_probes(tmp_path: Path) -> None:
    calls: list[str] = []
    cache = FunctionalCache(probes=10)
    study = run(piped, [{"piped.unused/instruction": "Other words."}, {"piped/way": "two"}], cache, tmp_path, calls)
    assert [one.same_as for one in study.trials] == [None, 0, 0]
    assert study.saved == 2 * 28 and len(calls) == 38 + 2 * 10 + 2
    assert study.spent.evaluations == 38 + 2 * 10


@pytest.mark.parametrize(("seen", "hits"), [("likelihoods", 0), ("outputs", 1)])
def test_likelihoods_tell_candidates_apart_that_answer_alike(tmp_path: Path, seen: Any, hits: int) -> None:
    cache = FunctionalCache(probes=10, seen=seen)
    # Both lengths leave nothing by 3 (the same answers), and different rests by 2 (other likelihoods).
    study = run(sort, [{"sort/instruction": "x" * 9}, {"sort/instruction": "x" * 12}], cache, tmp_path, [])
    assert cache.hits == hits and study.trials[2].same_as == (1 if hits else None)


def test_with_a_cache_a_search_taken_up_again_goes_the_same_way(tmp_path: Path) -> None:
    rng = random.Random(0)
    changes = [{"sort/instruction": "x" * rng.randint(1, 12)} for _ in range(30)]
    calls: list[str] = []
    first = run(sort, changes, FunctionalCache(probes=10, seen="outputs", forget=0.3), tmp_path, calls)
    asked = len(calls)
    again = run(sort, changes, FunctionalCache(probes=10, seen="outputs", forget=0.3), tmp_path, calls)
    assert len(calls) == asked and first.saved > 0
    assert [(one.genome, one.score, one.same_as) for one in first.trials] == [
        (one.genome, one.score, one.same_as) for one in again.trials
    ]
    assert (first.saved, first.spent.evaluations) == (again.saved, again.spent.evaluations)


def test_traces_of_a_twin_are_those_of_the_trial_that_it_is_like(tmp_path: Path) -> None:
    found: list[Any] = []

    @dataclass(frozen=True)
    class Looks(Tries):
        def run(self, search: Search) -> None:
            super().run(search)
            found.extend(search.trace(search.trials[-1].genome, search.dev[-1]))

    with tw.using(model=ScriptedModel(says_by_instruction), store=tmp_path):
        optimize(
            sort, train=EXAMPLES[:2], dev=EXAMPLES[2:], cache=FunctionalCache(), progress=False,
            strategy=Looks(({"sort/instruction": "Work out `sort` from the inputs."},)),
        )  # fmt: skip
    assert [one.inputs for one in found] == [{"text": "yes 39"}]


def test_a_search_that_only_meets_what_it_knows_does_not_idle_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.optimizing.search.IDLE_TRIES", 30)

    @dataclass(frozen=True)
    class Endless(Tries):
        def run(self, search: Search) -> None:
            number = 0
            while True:
                number += 1
                search.try_(search.space.default().replace({"piped.unused/instruction": f"{number}"}))

    with tw.using(model=ScriptedModel(says_by_instruction), store=tmp_path):
        study = optimize(
            piped, train=EXAMPLES[:2], dev=EXAMPLES[2:14], strategy=Endless(()), progress=False,
            cache=FunctionalCache(probes=1), budget=Budget(evaluations=100_000),
        )  # fmt: skip
    assert study.stop_reason == "idle" and study.spent.evaluations < 400
