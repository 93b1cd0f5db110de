"""Critics say whether an answer will do. A sound one is any `check(inputs, value)`; `SelfCritique` is the model itself.

Choose a checker wherever code can tell; a model that judges its own answers may pass wrong ones and refuse right ones.
`review` makes one `Critique` of whatever a critic says, and `counted` is the one place where calls and tokens of a loop
are counted, so that loops of different kinds can be compared at equal cost. Source: Stechly, Marquez and Kambhampati,
2023, "GPT-4 doesn't know it's wrong". Cost: of a checker its own; of `SelfCritique` one call, two if it names faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from thalweg.errors import TypeNotSupported, UnsupportedByBackend
from thalweg.program import Learned
from thalweg.program.budget import Spent
from thalweg.program.journal import scope_in_force
from thalweg.program.procedure import derived
from thalweg.program.score import Score, Verdict
from thalweg.program.strategy import Direct
from thalweg.program.types import render_value


class Checker(Protocol):
    """A critic that is code. A plain function `check(inputs, value)` will do too.

    It may also have ``describe(inputs, value, violation) -> str``, the words for one violation, and
    ``mislead(inputs, value, random) -> violation``, one that does not hold (for controls of what feedback is worth).
    """

    def check(self, inputs: Mapping[str, Any], value: Any) -> Verdict | Score | bool:
        """What is found about a value. The witness of a `Verdict` is one violation, or a list of them."""
        ...


Critic: TypeAlias = Any  # a Checker, a function of (inputs, value), or what has `review` as SelfCritique


@dataclass(frozen=True)
class Critique:
    """What a critic says of one answer.

    Args:
        passed: whether it will do. rank: compares answers of one critic; more is better.
        violations: what is wrong, as the critic knows it. faults: the same in words.
    """

    passed: bool
    rank: tuple[float, ...]
    violations: tuple[Any, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelfCritique:
    """The model as the critic of its own answers: a yes or no, and where `faults` lists them, which fault.

    Args:
        faults: of the inputs, the sentences of which it is to choose one where it finds an answer wrong (at most 512);
            None: it only says that the answer is wrong.
        instruction: of the verdict. threshold: probability of "correct" from which an answer passes.
    """

    faults: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    instruction: str = "Check the proposed answer to the task. Is it correct?"
    threshold: float = 0.5

    def review(self, ask: Learned[..., Any], inputs: Mapping[str, Any], value: Any) -> Critique:
        """The model's opinion of `value`; `ask` is the function whose answer it is."""
        shown = {**inputs, "proposed_answer": ask.signature.output.encode(value)}
        task = ask.parameters.instruction
        said = f"{self.instruction}\n\nThe task: {task}" if task else self.instruction
        judge = derived(ask, "judge", instruction=said, output=bool, more={"proposed_answer": str})
        correct = probability_of_yes(judge.using(strategy=Direct()), shown)
        passed, faults = correct >= self.threshold, ()
        if not passed and self.faults is not None and (options := tuple(self.faults(inputs))):
            which = derived(
                ask, "fault", instruction=f"The proposed answer to the task is wrong. What is wrong with it?\n\n{task}",
                output=Literal[options], more={"proposed_answer": str},
            )  # fmt: skip
            faults = (which.using(strategy=Direct(), temperature=0.0)(**shown),)
        return Critique(passed, (float(passed), correct), faults, faults)


def probability_of_yes(question: Learned[..., Any], inputs: Mapping[str, Any]) -> float:
    """Probability of True under a yes-or-no question; 0 or 1 from a model that tells no probabilities."""
    return yes_probabilities(question, [inputs])[0]


def yes_probabilities(question: Learned[..., Any], rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """`probability_of_yes` for many inputs, asked side by side."""
    try:
        tables = [question.submit_distribution(**row) for row in rows]
        return [float(table.result().get(True, 0.0)) for table in tables]
    except UnsupportedByBackend:
        answers = [question.using(temperature=0.0).submit(**row) for row in rows]
        return [float(answer.result()) for answer in answers]


def review(critic: Critic, ask: Learned[..., Any], inputs: Mapping[str, Any], value: Any) -> Critique:
    """One opinion of any critic.

    Raises:
        TypeError: the critic is none, or says something that is neither a Verdict, a Score nor a bool.
    """
    if hasattr(critic, "review"):
        return critic.review(ask, inputs, value)
    found = _checking(critic)(inputs, value)
    if isinstance(found, Verdict):
        passed = found.at_least("tested")
        witness = found.witness
        violations = () if passed or witness is None else tuple(witness) if isinstance(witness, list) else (witness,)
        faults = tuple(describe(critic, inputs, value, one) for one in violations)
        if not faults and not passed and found.evidence:
            faults = (found.evidence,)
        return Critique(passed, (*map(float, found.rank), -float(len(violations))), violations, faults)
    if isinstance(found, Score):
        passed = float(found) >= 1.0
        faults = (found.feedback,) if found.feedback and not passed else ()
        return Critique(passed, (float(found),), faults, faults)
    if isinstance(found, bool) or str(getattr(found, "dtype", "")) == "bool":
        return Critique(bool(found), (float(found),))
    raise TypeError(f"the critic returned {found!r:.80}; return a Verdict, a Score or a bool")


def describe(critic: Critic, inputs: Mapping[str, Any], value: Any, violation: Any) -> str:
    """A violation in the critic's words, or as it is shown in prompts."""
    words = getattr(critic, "describe", None)
    return render_value(violation) if words is None else words(inputs, value, violation)


def checked(critic: Critic) -> Critic:
    """The critic, once it is clear that it is one. Raises `TypeError`."""
    if not hasattr(critic, "review"):
        _checking(critic)
    return critic


def _checking(critic: Critic) -> Callable[[Mapping[str, Any], Any], Any]:
    check = getattr(critic, "check", critic)
    if isinstance(critic, type) or not callable(check):
        raise TypeError(
            f"{critic!r:.80} is no critic; give a function of (inputs, value), an object with `check`, or "
            "SelfCritique()"
        )
    return check


class Bill:
    """Calls and tokens since `counted` began, however the answers were obtained, so that a cache changes no search."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = answers
        self.checks = 0

    @property
    def spent(self) -> Spent:
        used = [one.usage for _, one in self._answers]
        tokens = sum(usage.prompt_tokens + usage.output_tokens for usage in used)
        return Spent(len(used), tokens, 0.0, self.checks)


@contextmanager
def counted() -> Iterator[Bill]:
    """Count the calls made inside, in the place of the run that a procedure has for itself."""
    place = scope_in_force(None)
    before, mine = place.answers, []
    place.answers = mine
    try:
        yield Bill(mine)
    finally:
        place.answers = before
        before.extend(mine)


def with_input(ask: Learned[..., Any], name: str) -> Learned[..., Any]:
    """`ask` with one more text input, its worked examples kept as they are.

    Raises:
        TypeNotSupported: it has an input of that name.
    """
    if any(one.name == name for one in ask.signature.inputs):
        raise TypeNotSupported(
            f"`{ask.name}` has an input {name!r}, which the strategy needs for itself.", "Rename the input."
        )
    return derived(ask, more={name: str}, demonstrations=ask.parameters.demonstrations)
