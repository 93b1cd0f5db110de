"""`Trace`: what a query has written so far; calling it appends text and fills the holes in it.

A hole is ``[NAME]`` in capitals, declared by the `where` of the same call; brackets nobody speaks of are text, so that
what comes from outside cannot open one. Special tokens in the text are defused. Models that show no tokens write freely
and are checked, three times at most.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from thalweg.decoding.constraints.hole import avoiding, hole_format
from thalweg.decoding.constraints.lowering import lower
from thalweg.decoding.constraints.where import Where, by_hole, holds
from thalweg.decoding.samplers import uniform_number
from thalweg.errors import DeadEnd, TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.request import Answer, Format, Message, Request, Sampling
from thalweg.program.journal import submit_call
from thalweg.program.prompt import _defuse
from thalweg.program.query import QueryUsage, hole_seed, too_many_holes
from thalweg.program.session import Session, decoder_in_force, model_in_force

HOLE = re.compile(r"\[([A-Z][A-Z0-9_]*)\]")
MAX_TOKENS = 128  # of a hole, unless the session or the call says otherwise
MAX_CHARS = 1000  # of a hole without constraints
ATTEMPTS = 8  # ways out of dead ends, each twice as far back as the one before
TRIES = 3  # of models that can only be checked


class Filled(dict[str, str]):
    """The holes of one text."""

    def __missing__(self, name: str) -> str:
        raise KeyError(f"[{name}] is no hole of this text: declare it by `where`, for instance any_text({name!r})")


class Trace:
    """The trace of one run of a query, `q` in its function."""

    def __init__(self, name: str, session: Session, temperature: float, max_holes: int) -> None:
        self.name = name
        self.text = ""
        self.vars: dict[str, str] = {}
        self.distributions: dict[str, dict[str, float]] = {}
        self.usage = QueryUsage()
        self._session = session
        self._model = model_in_force(session)
        self._temperature = temperature
        self._max_holes = max_holes
        self._holes = 0
        self._read = 0  # tokens of the trace the model has seen

    def __call__(
        self,
        template: str,
        where: Where | None = None,
        *,
        distribution: str = "",
        max_tokens: int | None = None,
        **more: Where,
    ) -> Filled:
        """Append `template`, filling the holes that `where` declares, left to right.

        Args:
            where: constraints of the holes, joined by `&`.
            distribution: name of a finite hole whose probabilities are wanted (`Trace.distributions`).
            max_tokens: of each hole; near it the hole is closed the shortest way.

        Raises:
            UnsatisfiableConstraint: nothing was found that satisfies a constraint.
            BudgetExceeded: more holes than the query may fill.
        """
        if more:
            raise TypeError(f"unknown argument {next(iter(more))!r}; there are: where, distribution, max_tokens")
        declared = by_hole(where) if where is not None else {}
        names = [name for name in HOLE.findall(template) if name in declared]
        absent = [name for name in (*declared, *filter(None, [distribution])) if name not in names]
        if absent:
            raise TypeNotSupported(
                f"`{self.name}` declares the hole {absent[0]}, and [{absent[0]}] is not in {template!r:.80}.",
                "Write the hole into the text in capitals, and constrain it by `where`.",
            )
        filled = Filled()
        start = 0
        for match in HOLE.finditer(template):
            if match[1] not in declared:
                continue
            self.append(template[start : match.start()])
            start = match.end()
            text = self._fill(match[1], declared[match[1]], match[1] == distribution, max_tokens)
            filled[match[1]] = self.vars[match[1]] = text
        self.append(template[start:])
        return filled

    def append(self, text: str) -> None:
        """Append text as it is: what looks like a hole is none."""
        tokenizer = getattr(self._model, "tokenizer", None)
        self.text += text if tokenizer is None else _defuse(text, tokenizer)

    # -- one hole ---------------------------------------------------------------------------------------------------

    def _fill(self, name: str, where: Where, table: bool, max_tokens: int | None) -> str:
        if self._holes >= self._max_holes:
            raise too_many_holes(self.name, self._max_holes)
        self._holes += 1
        try:
            lowered = lower(where)
            format = self._format(where)
        except (TypeNotSupported, UnsatisfiableConstraint) as error:
            raise type(error)(f"In the hole [{name}] of `{self.name}`: {error.what}", error.remedy) from None
        if table:
            return self._distributed(name, where, format)
        seed = hole_seed(self._session.seed or 0, self._holes)
        limit = max_tokens or self._session.max_tokens or MAX_TOKENS
        if format.kind == "text" and not hasattr(self._model, "tokenizer"):
            text = self._checked(name, where, format, seed, limit)
        else:
            closing = max((len(phrase) for phrase in (*lowered.at, *lowered.before)), default=0)
            text = self._written(name, where, format, Sampling(self._temperature, seed=seed, max_tokens=limit), closing)
        for phrase in lowered.before:
            if format.kind == "where" and text.endswith(phrase):
                text = text[: -len(phrase)]
                break
        self.append(text)
        return text

    def _format(self, where: Where) -> Format:
        parts = where.parts if where.op == "and" else (where,)
        tokenizer = getattr(self._model, "tokenizer", None)
        listed = next((part for part in parts if part.op == "one_of"), None)
        if listed is not None:
            texts = [
                text
                for text in listed.data[0]
                if all(holds(one, text, len(tokenizer.encode(text)) if tokenizer else None) for one in parts)
            ]
            if not texts:
                raise UnsatisfiableConstraint(f"No text satisfies {where}.", "Loosen one of the constraints.")
            return Format("choices", choices=tuple(texts))
        if tokenizer is None or all(part.op == "any" for part in parts):
            return Format("text", max_chars=MAX_CHARS)
        return hole_format(where)

    def _request(self, format: Format, sampling: Sampling, want: Any = "value", reserve: int = 4) -> Request:
        tokenizer = getattr(self._model, "tokenizer", None)
        begin = ""
        if tokenizer is not None and len(self.text) < 32 and len(tokenizer.encode(self.text)) < 2:
            begin = tokenizer.special_tokens.get("bos_token", "") + "\n\n \n"  # a model must read something first
        text = self.text if tokenizer is not None else ""
        return Request(
            (Message("user", self.text),), format, sampling, begin, text, want, "", reserve,
            decoder_in_force(self._session, self._model), self._session.lossless or "exact",
        )  # fmt: skip

    def _written(self, name: str, where: Where, format: Format, sampling: Sampling, closing: int) -> str:
        """The hole's text; dead ends are left by ways further and further back."""
        for attempt in range(ATTEMPTS):
            try:
                answer = self._ask(name, where, self._request(format, sampling, reserve=min(16, 4 + closing)))
                return answer.text
            except DeadEnd as dead:
                self.usage = replace(self.usage, decoder_calls=self.usage.decoder_calls + 1)
                if not dead.tokens:
                    break
                format = avoiding(format, dead, 2**attempt)
            except (TypeNotSupported, UnsatisfiableConstraint) as error:
                raise type(error)(
                    f"In the hole [{name}] of `{self.name}`, under {where}: {error.what}", error.remedy
                ) from error
        raise UnsatisfiableConstraint(
            f"In the hole [{name}] of `{self.name}` nothing was found that satisfies {where}.",
            "Loosen the constraint, or say in the prompt what is wanted.",
        )

    def _checked(self, name: str, where: Where, format: Format, seed: int, limit: int) -> str:
        """From a model that shows no tokens: write, cut at the stop phrase, check, and try again."""
        lowered = lower(where)
        for attempt in range(TRIES):
            temperature = self._temperature if not attempt else max(self._temperature, 0.7)
            sampling = Sampling(temperature, seed=seed + attempt, max_tokens=limit)
            text = self._ask(name, where, self._request(format, sampling)).text
            ends = [(text.find(one), one) for one in (*lowered.at, *lowered.before) if one in text]
            if ends:
                at, phrase = min(ends)
                text = text[: at + (len(phrase) if phrase in lowered.at else 0)]
            if holds(where, text):
                return text
        raise UnsatisfiableConstraint(
            f"In the hole [{name}] of `{self.name}`: {TRIES} answers of {self._model.name} broke {where}.",
            "Use a local model, whose tokens can be constrained, or loosen the constraint.",
        )

    def _distributed(self, name: str, where: Where, format: Format) -> str:
        if format.kind != "choices":
            raise TypeNotSupported(
                f"The hole [{name}] of `{self.name}` has no table of probabilities: {where} is not finite.",
                "Declare it by one_of(...).",
            )
        seed = hole_seed(self._session.seed or 0, self._holes)
        answer = self._ask(name, where, self._request(format, Sampling(), "distribution"))
        table = dict(zip(format.choices, answer.probabilities, strict=True))
        self.distributions[name] = table
        text = answer.text
        if self._temperature > 0:
            left = uniform_number(seed, 0)
            for text, probability in table.items():  # noqa: B007 - the last one when rounding leaves something
                left -= probability
                if left < 0:
                    break
        self.append(text)
        return text

    def _ask(self, name: str, where: Where, request: Request) -> Answer:
        def decode(answer: Answer) -> tuple[Answer, str]:
            return answer, answer.text

        def inputs() -> str:
            return json.dumps({"hole": name, "where": str(where)})

        value = submit_call(name, request, self._model, self._session, inputs=inputs, decode=decode)
        answer: Answer = value.result()
        self._count(answer, request)
        return answer

    def _count(self, answer: Answer, request: Request) -> None:
        usage = answer.usage
        local = bool(answer.prompt_tokens)
        fresh = max(0, usage.prompt_tokens - self._read) if local else usage.prompt_tokens
        self._read = usage.prompt_tokens + usage.output_tokens
        before = self.usage
        self.usage = QueryUsage(
            before.model_calls + (1 if request.want != "value" else usage.output_tokens - usage.forced_tokens),
            before.decoder_calls + 1,
            before.billable_tokens + fresh + usage.output_tokens,
            before.computed_tokens + usage.prompt_tokens - usage.cached_tokens + usage.output_tokens,
            before.forced_tokens + usage.forced_tokens,
        )
