"""`Question`: what a person is asked, as data that any process can show and check an answer against.

It carries the format of the expected type, so that an answer is checked where it is given, by a process that need not
know the type; the run that asked reads the answer with the type itself, validators and all.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from thalweg.errors import DataError, Error, TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.format_check import AnswerError, read_answer
from thalweg.models.request import Format
from thalweg.program.types import TypePlan, jsonable, plan

_YES = {"y": "true", "yes": "true", "n": "false", "no": "false"}


@dataclass(frozen=True)
class Question:
    """A question that waits for a person.

    Args:
        run, path: the step that asks. text: the question. payload: what it is about, as JSON data.
        expects: the expected answer in words. format: the texts an answer may be.
        asked: when (seconds since 1970; 0 while it is being asked). refused: why the last answer was not taken.
    """

    run: str
    path: str
    text: str
    payload: Any
    expects: str
    format: Format
    asked: float = 0.0
    refused: str | None = None
    type: TypePlan[Any] | None = field(default=None, compare=False, repr=False)  # in the process that asks

    @property
    def choices(self) -> tuple[str, ...]:
        """The possible answers, where they are listed."""
        return self.format.choices

    @property
    def is_yes_or_no(self) -> bool:
        return set(self.choices) == {"true", "false"}

    def read(self, text: str) -> str:
        """The text of the format that an answer's text stands for. Raises `DataError` saying why it is none."""
        if self.is_yes_or_no:
            text = _YES.get(text.strip().lower(), text)
        try:
            found = read_answer(text, self.format)
        except AnswerError as error:
            raise self._refusal(f"{text[:80]!r} {error}") from None
        if self.type is not None:
            self.value(found)
        return found

    def value(self, text: str) -> Any:
        """The value of a text of the format. Raises `DataError`: the type's own validators have the last word."""
        assert self.type is not None
        try:
            return self.type.decode(text)
        except (DataError, UnsatisfiableConstraint) as error:
            raise self._refusal(error.what) from None

    def write(self, value: Any) -> str:
        """The text of the format for a value, or for a text that stands for it. Raises `DataError`."""
        if self.type is not None:
            try:
                return self.type.encode(value)
            except (DataError, UnsatisfiableConstraint, UnicodeError):
                pass
        if isinstance(value, str):
            return self.read(value)
        return self.read(_plain(value))

    def _refusal(self, reason: str) -> DataError:
        reason = reason.rstrip(".")
        return DataError(
            f"The answer to {self.text[:80]!r} ({self.path} of {self.run}) is refused: {reason}.",
            f"Answer with {self.expects}.",
        )

    def to_json(self) -> str:
        return json.dumps(
            {"text": self.text, "payload": self.payload, "expects": self.expects,
             "format": dataclasses.asdict(self.format)}
        )  # fmt: skip

    @classmethod
    def from_json(cls, run: str, path: str, text: str, asked: float = 0.0, refused: str | None = None) -> Question:
        record = json.loads(text)
        form = record["format"]
        form["choices"] = tuple(form["choices"])
        return cls(run, path, record["text"], record["payload"], record["expects"], Format(**form), asked, refused)


def question_of(run: str, path: str, text: str, hint: Any, payload: Any) -> Question:
    """A question for a value of a type. Raises `TypeNotSupported` for types without a text form."""
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{path}: the question is {text!r}.", "Ask with a text.")
    answers = plan(hint, name=f"the answer to {text[:40]!r}")
    return Question(run, path, text, jsonable(payload), answers.describe(), answers.format, type=answers)


def _plain(value: Any) -> str:
    """JSON or bare text of a value whose type the question's process knows and this one may not."""
    try:
        return plan(type(value)).encode(value)
    except (Error, TypeError):
        return json.dumps(jsonable(value))


__all__ = ["Question", "TypeNotSupported", "question_of"]
