"""`FunctionalCache`: candidates that behave alike are evaluated once, however they are written.

In a search a candidate is known by the exact requests it would make (free; calls nothing), and else by what it does on
some examples of dev, which it would be evaluated on anyway. By itself it caches any function of anything that gives
floats. Choose it for searches by mutation, where many candidates are one program in other words; it gains nothing where
each candidate is new. Source: Gillard et al. 2023, "Unified Functional Hashing in Automatic Machine Learning".
Cost: a rendering per example of dev for each candidate (about 0.1 ms); nothing is asked that would not be anyway.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from thalweg.errors import Error
from thalweg.models.request_codec import answer_from_json, request_key
from thalweg.program import Learned
from thalweg.program import state as states
from thalweg.program.session import current, model_in_force
from thalweg.program.strategy import Direct, is_procedure

if TYPE_CHECKING:
    from thalweg.optimizing.example import Example
    from thalweg.optimizing.search import Search
    from thalweg.optimizing.trial import Trial
    from thalweg.program.spaces import Genome

_MARK = "\u2983inputs\u2984"


def functional_hash(values: Iterable[float], mantissa_bits: int = 24) -> str:
    """16 hexadecimal digits that name a sequence of numbers.

    Args:
        values: in order, which counts; 0.0 and -0.0 are one, all nan are one.
        mantissa_bits: of 52 that count, the rest is cut off: 24 forgets differences below 6e-8 of a number.

    Raises:
        ValueError: bits outside 0 to 52.
    """
    import numpy as np

    if not 0 <= mantissa_bits <= 52:
        raise ValueError(f"mantissa_bits={mantissa_bits!r}; give 0 to 52")
    numbers = np.asarray(values if hasattr(values, "__array__") else list(values), dtype="<f8").ravel()
    kept = numbers.view("<u8") & np.uint64((2**64 - 1) ^ (2 ** (52 - mantissa_bits) - 1))
    kept[kept == np.uint64(2**63)] = 0  # -0.0, also what becomes it by cutting
    kept[np.isnan(numbers)] = 2**64 - 1  # at few bits it would become infinity
    # The hash folds its input in order, so that it is the sequential mix of the paper in one call.
    return hashlib.blake2b(kept.tobytes(), digest_size=8).hexdigest()


@dataclass(eq=False)
class FunctionalCache:
    """Knows candidates by how they behave.

    Args:
        probes: examples of dev on which behaviour is looked at; fewer make false hits (two that differ elsewhere).
        mantissa_bits: of numbers that count. max_evaluations: a key is evaluated so often before it is answered from
            here; above 1 evens out noise. forget: probability that a key is dropped after it has answered, so that a
            lucky measurement does not stay.
        seen: of a candidate's behaviour: ``likelihoods`` its outputs and how likely the model found each answer (no
            false hits to speak of), ``outputs`` its outputs alone (more hits, some of them false).
        seed: of what is forgotten outside of searches.

    Attributes:
        hits, misses: candidates. saved: evaluations that were not made. saved_seconds: what they would have taken.
    """

    probes: int = 64
    mantissa_bits: int = 24
    max_evaluations: int = 1
    forget: float = 0.0
    seen: Literal["likelihoods", "outputs"] = "likelihoods"
    seed: int = 0
    hits: int = field(default=0, init=False)
    misses: int = field(default=0, init=False)
    saved: int = field(default=0, init=False)
    saved_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.probes < 1 or self.max_evaluations < 1 or not 0 <= self.forget <= 1:
            raise ValueError("give probes and max_evaluations from 1, forget from 0 to 1")
        functional_hash((), self.mantissa_bits)
        self._means: dict[str, tuple[float, int]] = {}
        self._seconds = [0.0, 0]
        self._rng = random.Random(self.seed)
        self._searches: WeakKeyDictionary[Search, _Known] = WeakKeyDictionary()

    # -- by itself ----------------------------------------------------------------------------------------------------

    def key(self, values: Iterable[float]) -> str:
        """The key of what a candidate gave on its probes."""
        return functional_hash(values, self.mantissa_bits)

    def score(self, key: str, evaluate: Callable[[], float]) -> float:
        """The score of the candidates with this key: the mean of up to `max_evaluations` evaluations."""
        mean, count = self._means.get(key, (0.0, 0))
        if count >= self.max_evaluations:
            self._answered()
            self.saved += 1
            self.saved_seconds += self._seconds[0] / max(1, self._seconds[1])
            if self.forget and self._rng.random() < self.forget:
                del self._means[key]
            return mean
        started = time.perf_counter()
        found = evaluate()
        self._seconds = [self._seconds[0] + time.perf_counter() - started, self._seconds[1] + 1]
        self.misses += 1
        mean += (found - mean) / (count + 1)
        self._means[key] = mean, count + 1
        return mean

    def _answered(self) -> None:
        self.hits += 1

    # -- in a search --------------------------------------------------------------------------------------------------

    def twin(self, search: Search, genome: Genome) -> Trial | None:
        """An earlier trial that behaves like a candidate, None where there is none. May evaluate it on probes."""
        known = self._of(search)
        exact = exact_key(search, genome)
        trial = self._hit(search, known, exact)
        behaviour = None
        if trial is None:
            probes = spread(search.dev, self.probes)
            if probes:
                behaviour = self.behaviour(search, genome, probes)
                trial = self._hit(search, known, behaviour)
        known.keys[genome.digest] = [one for one in (exact, behaviour) if one is not None]
        if trial is None:
            self.misses += 1
            return None
        self._answered()
        return trial

    def keep(self, search: Search, trial: Trial) -> None:
        """Remember how a trial behaved."""
        known = self._of(search)
        for key in known.keys.pop(trial.genome.digest, ()):
            first, count = known.trials.get(key, (trial.number, 0))
            known.trials[key] = first, count + 1

    def spared(self, evaluations: int, seconds: float = 0.0) -> None:
        """Told by the search how many evaluations a twin made unnecessary."""
        self.saved += evaluations
        self.saved_seconds += seconds

    def behaviour(self, search: Search, genome: Genome, probes: Sequence[Example]) -> str | None:
        """The key of what a candidate does on probes; None where it fails on one, which may have had other reasons."""
        found = search.evaluate(genome, probes)
        if found.failed:
            return None
        parts = [[row.output for row in found.rows], functional_hash(found.scores, self.mantissa_bits)]
        if self.seen == "likelihoods":
            numbers: list[float] = []
            for one in probes:
                for call in search.journal.calls(genome.digest, one.digest):
                    if call.answer is not None:
                        answer = answer_from_json(call.answer)
                        numbers += [answer.logprob, *answer.probabilities]
            parts.append(functional_hash(numbers, self.mantissa_bits))
        return "behaviour " + _digest(parts)

    def _of(self, search: Search) -> _Known:
        known = self._searches.get(search)
        if known is None:
            known = self._searches[search] = _Known()
            self.hits = self.misses = self.saved = 0
            self.saved_seconds = 0.0
        return known

    def _hit(self, search: Search, known: _Known, key: str | None) -> Trial | None:
        if key is None or key not in known.trials:
            return None
        number, count = known.trials[key]
        if count < self.max_evaluations:
            return None
        if self.forget and search.rng(f"forget {self.hits}").random() < self.forget:
            del known.trials[key]
        return search.trials[number]


@dataclass
class _Known:
    """What is known in one search: (first trial, evaluations) by key, and keys of candidates under way by digest."""

    trials: dict[str, tuple[int, int]] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)


def exact_key(search: Search, genome: Genome) -> str | None:
    """The key of the exact requests that a candidate would make; equal ones cannot behave otherwise. None where they
    are not known without running it: for strategies of several questions, and without a model."""
    try:
        program = search.bound(genome)
        if not isinstance(program, Learned):
            return _flow_key(search, genome, program)
        session = program.own.over(current())
        if session.mode not in (None, "model") or is_procedure(session.strategy or Direct()):
            return None
        model = model_in_force(session)
        names = search.scoring.inputs
        requests = [program.request(**names(one)) for one in {one.digest: one for one in search.dev}.values()]
        return "requests " + _digest([request_key(one, model.identity) for one in requests])
    except (Error, TypeError, ValueError):  # evaluated, it fails as a candidate does
        return None


def _flow_key(search: Search, genome: Genome, program: Any) -> str | None:
    """By what each learned function's prompt holds around its inputs, and by all choices that are no such text."""
    prompts: dict[str, Any] = {}
    marked = bool(search.space.markers)
    with states.binding(program.bound):
        for path, one in program.learned().items():
            session = one.own.over(program.own.over(current()))
            strategy = session.strategy or Direct()
            if session.mode not in (None, "model") or is_procedure(strategy):
                return None
            marks = {each.name: _MARK for each in one.signature.inputs}
            messages = strategy.messages(one.signature, one.parameters, marks)
            # A choice may put another strategy in the place of this one, which could read the bare text.
            raw = one.parameters.instruction if marked else ""
            prompts[path] = [[each.role, each.content] for each in messages], one.parameters.adapter, raw
    active = search.space.active(genome.values)
    rest = {
        path: genome.values[path]
        for path, one in search.space.items()
        if path in active and (not one.implicit or one.setting is not None)
    }
    return "prompts " + _digest([prompts, rest])


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """`count` different examples at even distances; none where there are not more than that, as nothing is saved."""
    distinct = list({one.digest: one for one in examples}.values())
    if len(distinct) <= count:
        return []
    return [distinct[index * len(distinct) // count] for index in range(count)]


def _digest(parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
