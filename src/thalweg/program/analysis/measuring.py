"""`measure_errors`: how wrong a function's single calls are, and how long their answers, by the size of what they read.

Choose it where there are examples with right answers: what `analyze` says of a whole answer's error is made of these
(see `errors`). The calls go through journal and cache like any others: a measurement that was cut off goes on where it
stopped, and one that is repeated asks the model nothing. Source: Chen et al. 2024, "On the design and analysis of
LLM-based algorithms", whose E(m) this is. Cost: one call an example.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from thalweg.errors import DataError, EndpointError, Error, ModelNotFound, NonDeterminism, RunBusy, StoreError
from thalweg.models.request import Answer, Request
from thalweg.program.analysis.errors import ErrorOf, calibrated
from thalweg.program.journal import inside, scope_in_force
from thalweg.program.learned import Learned
from thalweg.program.mapping import map_rows
from thalweg.program.session import current, model_in_force, store_in_force
from thalweg.program.signature import row_inputs
from thalweg.program.strategy import is_procedure
from thalweg.program.types import jsonable
from thalweg.program.value import Failure, Value

Metric = Callable[[Any, Any], Any]
NOT_OF_THE_ANSWER = (StoreError, RunBusy, ModelNotFound, NonDeterminism)


@dataclass(frozen=True)
class LabelledRow:
    """A row with its right answer, as a metric gets it where the examples were pairs."""

    row: Mapping[str, Any]
    label: Any

    def __getitem__(self, name: str) -> Any:
        return self.row[name]


@dataclass(frozen=True)
class MeasuredCall:
    """One call on one example.

    Args:
        size: of what it read. label, output: right and given; output is None where the call failed, and `failure` why.
        error: 1 less the metric, 1 of a failed call. prompt: its tokens. drawn: tokens that the model drew for the
            answer. Both are nan where they are not known.
    """

    size: float
    label: Any
    output: Any
    error: float
    prompt: float
    drawn: float
    failure: str = ""


@dataclass(frozen=True)
class MeasuredErrors:
    """Errors of a function's calls by size. Called with a size it gives the error there: linear between measured sizes,
    constant beyond them.

    Args:
        function: its name. calls: in the order of the examples. points: most sizes told apart.
        format, prefix: by which its requests are known: the digest of its format, and what all prompts begin with.
    """

    function: str
    calls: tuple[MeasuredCall, ...]
    points: int
    format: str = field(default="", repr=False)
    prefix: str = field(default="", repr=False)

    def __call__(self, size: float) -> float:
        return self._of_size(size)

    @cached_property
    def sizes(self) -> tuple[tuple[MeasuredCall, ...], ...]:
        """The calls by rising size: equal sizes together, and neighbours where there are more sizes than `points`."""
        equal: dict[float, list[MeasuredCall]] = {}
        for one in sorted(self.calls, key=lambda one: one.size):
            equal.setdefault(one.size, []).append(one)
        if len(equal) <= self.points:
            return tuple(map(tuple, equal.values()))
        groups: list[list[MeasuredCall]] = [[]]
        done = 0
        for same in equal.values():
            if groups[-1] and done >= len(groups) * len(self.calls) / self.points:
                groups.append([])
            groups[-1] += same
            done += len(same)
        return tuple(map(tuple, groups))

    def by_size(self, statistic: Callable[[Sequence[MeasuredCall]], float]) -> dict[float, float]:
        """A number of the calls of each size, as `calibrated` takes it: a bias, a spread, a share of misses."""
        return {statistics.fmean(one.size for one in group): statistic(group) for group in self.sizes}

    @property
    def errors(self) -> dict[float, float]:
        """Mean error by size."""
        return self.by_size(_error)

    @property
    def failed(self) -> int:
        """Calls without an answer."""
        return sum(bool(one.failure) for one in self.calls)

    def at_prompt(self, tokens: float) -> float:
        """The error of a call whose prompt has so many tokens; nan where prompts were not counted."""
        return self._of_prompt(tokens)

    def length(self, tokens: float) -> float:
        """Tokens drawn for the answer to a prompt of so many tokens; nan where they were not counted."""
        return self._of_length(tokens)

    @cached_property
    def _of_size(self) -> ErrorOf:
        return calibrated(self.errors)

    @cached_property
    def _of_prompt(self) -> ErrorOf:
        return self._by_prompt(lambda one: one.error)

    @cached_property
    def _of_length(self) -> ErrorOf:
        return self._by_prompt(lambda one: one.drawn)

    def _by_prompt(self, reading: Callable[[MeasuredCall], float]) -> ErrorOf:
        found: dict[float, list[float]] = {}
        for group in self.sizes:
            prompt, value = _mean(one.prompt for one in group), _mean(reading(one) for one in group)
            if prompt == prompt and value == value:
                found.setdefault(prompt, []).append(value)
        if not found:
            return lambda tokens: math.nan
        return calibrated({prompt: statistics.fmean(values) for prompt, values in found.items()})

    def __str__(self) -> str:
        lines = [("size", "calls", "error", "+-", "prompt", "drawn", "failed")]
        for size, group in zip(self.errors, self.sizes, strict=True):
            off = [one.error for one in group]
            spread = statistics.stdev(off) / math.sqrt(len(off)) if len(off) > 1 else math.nan
            prompt, drawn = _mean(one.prompt for one in group), _mean(one.drawn for one in group)
            lines.append((
                f"{size:.4g}", str(len(group)), f"{statistics.fmean(off):.3f}", _number(spread), _number(prompt, 0),
                _number(drawn, 1), str(sum(bool(one.failure) for one in group)),
            ))  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def measure_errors(
    function: Learned[..., Any],
    examples: Iterable[Any],
    *,
    size_of: Callable[[Any], float] | None = None,
    metric: Metric | None = None,
    points: int = 8,
) -> MeasuredErrors:
    """Ask the model in force about every example, and note how wrong its answers are.

    Args:
        function: whose calls are measured.
        examples: pairs (inputs, right answer), inputs as `map` takes a row, or `Example`s (see `examples_of`).
        size_of: from an example to the size of its call; default: tokens of the prompt.
        metric: ``metric(example, output)`` -> number or bool, 1 where the answer is right; default: whether it equals
            the example's label. A call that fails has the error 1.
        points: most sizes told apart; examples of more are put together with their neighbours.

    Raises:
        DataError: no examples, inputs that do not fit, no size, or a metric that gives no finite number.
        EndpointError: the server did not answer; what it had answered is in the cache.
    """
    if points < 1:
        raise DataError(f"points={points} tells no sizes apart.", "Give at least 1.")
    session = function.own.over(current())
    model = None if session.mode == "python" else model_in_force(session)
    single = model is not None and not is_procedure(session.strategy)
    names = [entry.name for entry in function.signature.inputs]
    rows, inputs = [], []
    for index, example in enumerate(examples):
        row, given = _labelled(example, names, index)
        args, kwargs = row_inputs(names, given, index)
        rows.append(row)
        inputs.append(function.signature.bind(args, kwargs))
    if not rows:
        raise DataError(f"There are no examples to measure `{function.name}` on.", "Give at least one.")
    requests = [function._request(one, session, model) if single else None for one in inputs]
    prompts = [_prompt(one, model) for one in requests]
    sizes = [prompts[i] if size_of is None else float(size_of(row)) for i, row in enumerate(rows)]
    for index, size in enumerate(sizes):
        if not math.isfinite(size):
            raise DataError(f"Example {index} has no size.", "Give `size_of`, a finite number of each example.")

    root = scope_in_force(store_in_force(session) if session.journal is not False else None)
    path = root.next("measure_errors")
    answers: list[list[tuple[Request, Answer]]] = [[] for _ in rows]
    broken: list[BaseException] = []  # what says nothing of an answer; the rest need not be asked then

    def note(done: Future[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not _of_the_answer(error):
            broken.append(error)

    def submit(index: int) -> Value[Any]:
        if broken:
            raise broken[0]
        place = root.child(f"{path}/{index}")
        place.answers = answers[index]
        with inside(place):
            value = function.submit(**inputs[index])
        value.add_done_callback(note)
        return value

    outputs = map_rows(
        submit, ["index"], range(len(rows)), (), fail_fast=False, session=session, title=f"measuring {function.name}"
    )
    calls = []
    for i, output in enumerate(outputs):
        drawn = _drawn(answers[i], function.signature.output.format.digest)
        if isinstance(output, Failure):
            if not _of_the_answer(output.error):
                raise output.error
            failure = f"{type(output.error).__name__}: {output.error}"
            calls.append(MeasuredCall(sizes[i], rows[i].label, None, 1.0, prompts[i], drawn, failure))
        else:
            wrong = 1.0 - _score(metric or _equal, rows[i], output)
            calls.append(MeasuredCall(sizes[i], rows[i].label, output, wrong, prompts[i], drawn))
    prefix = requests[0].prefix if requests[0] is not None else ""
    return MeasuredErrors(function.name, tuple(calls), points, function.signature.output.format.digest, prefix)


def _labelled(example: Any, names: Sequence[str], index: int) -> tuple[Any, Any]:
    """What the metric gets, and the inputs."""
    if hasattr(example, "label") and callable(getattr(example, "inputs", None)):
        return example, example.inputs(names)
    if isinstance(example, tuple) and len(example) == 2:
        row, label = example
        args, kwargs = row_inputs(list(names), row, index)
        return LabelledRow({**dict(zip(names, args, strict=False)), **kwargs}, label), row
    raise DataError(
        f"Example {index} is a {type(example).__name__}, neither a pair (inputs, right answer) nor an `Example`.",
        "Read tables with `thalweg.optimizing.examples_of`.", row=index,
    )  # fmt: skip


def _of_the_answer(error: BaseException) -> bool:
    """Whether a failure of a call says that its answer was bad; else that it was not to be had."""
    if isinstance(error, EndpointError):
        return error.fault == "answer"
    return isinstance(error, Error) and not isinstance(error, NOT_OF_THE_ANSWER)


def _prompt(request: Request | None, model: Any) -> float:
    return float(len(model.prompt_tokens(request))) if request and hasattr(model, "prompt_tokens") else math.nan


def _drawn(answers: Sequence[tuple[Request, Answer]], format: str) -> float:
    """Mean tokens that were drawn for the answers of a format."""
    usages = [answer.usage for request, answer in answers if request.format.digest == format]
    return _mean(float(one.output_tokens - one.forced_tokens) for one in usages if one.output_tokens)


def _mean(values: Iterable[float]) -> float:
    """Of those that are known."""
    known = [one for one in values if one == one]
    return statistics.fmean(known) if known else math.nan


def _error(calls: Sequence[MeasuredCall]) -> float:
    return statistics.fmean(one.error for one in calls)


def _equal(example: Any, output: Any) -> bool:
    return jsonable(example.label) == jsonable(output)


def _score(metric: Metric, example: Any, output: Any) -> float:
    found = metric(example, output)
    try:
        score = float(found)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        name = getattr(metric, "__name__", type(metric).__name__)
        raise DataError(f"The metric `{name}` returned {found!r:.60}, which is no score.", "Return a number or a bool.")
    return score


def _number(value: float, digits: int = 3) -> str:
    return "" if value != value else f"{value:.{digits}f}"
