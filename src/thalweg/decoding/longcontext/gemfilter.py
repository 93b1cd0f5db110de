"""GemFilter: a model's own early layers choose the tokens of a long prompt that matter; only those are read in full.

Pass 1 runs layers up to about a third over everything and looks at what the question's queries attend to; pass 2 reads
the kept tokens, in order and at fresh positions, and answers under any constraint. What was read can be inspected as
passages of the input. Choose it for questions about long documents; not where everything matters (summaries, counts).

Source: Shi, Ming, Nguyen, Liang and Joty, 2024, "Discovering the gems in early layers". Cost: layers 0 to `layer` of a
full prompt, then a prompt of `keep` tokens; the cache of the answer holds those alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from thalweg.decoding.aligned.answering import Driven
from thalweg.decoding.constraints import constraint_for
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.generate import generate
from thalweg.decoding.longcontext.calibrate import Calibration, calibrate
from thalweg.decoding.longcontext.layout import Laid, Span, lay_out
from thalweg.decoding.longcontext.selecting import Rule, select
from thalweg.errors import ContextOverflow, ModelError, UnsupportedByBackend
from thalweg.models.request import Answer, Format, Message, Sampling, Usage

QUESTION = 24  # most tokens of the input's last line that count as the question
SPARE = 16  # tokens of a context for the shortest answer


@dataclass(frozen=True)
class Selection:
    """What is read of a text. `kept` are indices of the prompt's tokens, template and question among them."""

    text: str
    selected: list[Span]
    kept: tuple[int, ...]
    tokens: tuple[int, ...] = field(repr=False)  # the whole prompt, template included

    @property
    def share(self) -> float:
        """Of the prompt's tokens, those that are read."""
        return len(self.kept) / len(self.tokens)


@dataclass(frozen=True)
class Found:
    """An answer, the passages it rests on, and what it cost (`usage.prompt_tokens` are those of the second pass)."""

    text: str
    selected: list[Span]
    usage: Usage
    probed_tokens: int  # of the first pass; 0 where everything was read
    logprob: float = float("nan")
    finish: Literal["complete", "closed"] = "complete"


class GemFilter:
    """Answers questions about texts of which only a part is read in full.

    Args:
        model: a local engine whose scorer can `probe`.
        layer: the one that chooses, or "calibrate": measured once for each model with planted facts.
        keep: tokens of the input that are read, the question among them; the chat template's come on top.
        pool: neighbours a score is averaged over, odd: passages instead of lone tokens. Published: 5.
        rule: ``attention`` (default) or ``product``, the published one; see `selecting`.
        heads: those of the layer that choose; empty for all; ignored when the layer is calibrated.

    Raises:
        UnsupportedByBackend: the model cannot be probed.
        ModelError: it has no such layer.
        ContextOverflow: `keep` tokens do not fit its context.
    """

    def __init__(
        self,
        model: Any,
        layer: int | Literal["calibrate"] = "calibrate",
        keep: int = 512,
        pool: int = 15,
        *,
        rule: Rule = "attention",
        heads: Sequence[int] = (),
    ) -> None:
        name = getattr(model, "name", repr(model))
        if not getattr(getattr(model, "capabilities", None), "probe", False) or not hasattr(model, "scorer"):
            raise UnsupportedByBackend(
                f"{name} cannot be probed: its early layers are out of reach.", "Use an `Engine` over a local model."
            )
        if keep < 1 or pool < 1 or pool % 2 == 0:
            raise ValueError(f"keep={keep!r}, pool={pool!r}; both are at least 1, and pool is odd")
        if rule not in ("attention", "product"):
            raise ValueError(f"rule={rule!r}; choose attention or product")
        context = model.capabilities.context
        if keep > context - SPARE:
            raise ContextOverflow(
                f"keep={keep} does not fit the {context}-token context of {name} with an answer.",
                "Keep fewer tokens, or load the model with a larger `context`.",
            )
        self.model, self.keep, self.pool = model, keep, pool
        self.rule: Rule = rule
        self.calibration: Calibration | None = None
        if layer == "calibrate":
            self.calibration = calibrate(model.scorer, rule=rule, pool=pool, window=QUESTION)
            self.layer, self.heads = self.calibration.layer, self.calibration.heads
        else:
            self.layer, self.heads = _checked_layer(model.scorer, layer), tuple(heads)

    def select(self, text: str) -> Selection:
        """What would be read of `text`, whose last line is the question. Generates nothing.

        Raises:
            ContextOverflow: the text is longer than the model was trained for.
        """
        return self._select(lay_out(text, self.model.tokenizer))

    def generate(
        self,
        text: str,
        *,
        format: Format | None = None,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Found:
        """Answer the question in the last line of `text` about what stands before it.

        Args:
            format: the texts that may be answered; free text without.
            max_tokens: most tokens of the answer. temperature, seed: how they are drawn (greedy).
        """
        laid = lay_out(text, self.model.tokenizer)
        chosen = self._select(laid)
        read = [chosen.tokens[i] for i in chosen.kept]
        sampling = Sampling(temperature=temperature, seed=seed, max_tokens=max_tokens)
        answer = answer_behind(self.model, laid, read, format or Format("text", max_chars=8 * max_tokens), sampling)
        probed = 0 if len(chosen.kept) == len(chosen.tokens) else len(chosen.tokens)
        return Found(answer.text, chosen.selected, answer.usage, probed, answer.logprob, answer.finish)

    def _select(self, laid: Laid) -> Selection:
        tokens, first, size = laid.tokens, len(laid.head), len(laid.body)
        if size <= self.keep:
            spans = [Span(0, len(laid.text), laid.text, 1.0)] if laid.text else []
            return Selection(laid.text, spans, tuple(range(len(tokens))), tuple(tokens))
        asked = laid.question(min(QUESTION, self.keep))
        probed = self.model.scorer.probe(tokens, self.layer)
        best, scores = select(
            probed,
            (first, first + size - asked),
            self.keep - asked,
            rule=self.rule,
            window=asked + len(laid.tail),
            heads=self.heads,
            pool=self.pool,
        )
        inside = [int(i) - first for i in best]
        body = inside + list(range(size - asked, size))
        top = float(scores.max(initial=0.0))  # the question is read whatever its score
        marks = [float(scores[i]) for i in inside] + [top] * asked
        kept = (*range(first), *(first + i for i in body), *range(first + size, len(tokens)))
        return Selection(laid.text, laid.spans(body, marks), kept, tuple(tokens))


def answer_behind(model: Any, laid: Laid, read: list[int], format: Format, sampling: Sampling) -> Answer:
    """The answer of an engine that reads exactly the tokens `read`, which begin with the template's head.

    The request's own prompt is that head; the rest goes in front of what the decoder computes first, which the engine
    reads as it reads prompts. So no token is written out as text and tokenised again.
    """

    def decode(last: int, tokenizer: Any, room: int) -> Decoder[Answer]:
        rest = read[len(laid.head) :]
        constraint = constraint_for(format, tokenizer)
        limit = min(sampling.max_tokens, room - len(rest))
        if limit < SPARE // 2:
            raise ContextOverflow(
                f"{len(read)} tokens to read leave no room for an answer in {model.name}.", "Keep fewer tokens."
            )
        reserve = min(16 if format.kind in ("json", "lark", "where") else 2, limit // 2)  # to close brackets; to end
        writing = generate(rest[-1], constraint, sampling, end=tokenizer.end, limit=limit, reserve=reserve)
        made = yield from _read_first([last, *rest[:-1]], writing)
        usage = Usage(output_tokens=len(made.tokens), forced_tokens=made.forced)
        finish = "closed" if made.closed else "complete"
        return Answer(tokenizer.decode(made.tokens), made.logprob, tuple(made.tokens), finish=finish, usage=usage)

    request = Driven((Message("user", laid.text),), format, sampling, prefix=laid.template, decode=decode)
    answer = model.submit(request).result()
    return replace(answer, prompt_tokens=tuple(read), usage=replace(answer.usage, prompt_tokens=len(read)))


def _read_first(tokens: list[int], writing: Decoder[Any]) -> Decoder[Any]:
    """`writing` with `tokens` read in front of its first fragment."""
    try:
        fragment = next(writing)
        if fragment.uniform:  # computed in its own way, so apart
            yield Fragment.chain(tokens, want=False)
        else:
            fragment = Fragment.chain([*tokens, *fragment.tokens])
        while True:
            fragment = writing.send((yield fragment))
    except StopIteration as stop:
        return stop.value


def _checked_layer(scorer: Any, layer: int) -> int:
    prober = getattr(scorer, "prober", None)
    count = prober.layers if prober is not None else scorer.decoder.config.layers
    if not 0 <= layer < count:
        raise ModelError(f"{scorer.name} has no layer {layer}.", f'Choose 0 to {count - 1}, or "calibrate".')
    return layer
