"""What a language model is asked and what it answers: `Request` -> `Answer`.

The one currency between the program (which knows types), the scheduler (which knows the workload) and the models
(which know tokens). Pure data: frozen, comparable, hashable by `Request.digest`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Format:
    """The set of texts an answer may be; exactly one of the six kinds.

    - ``text``: free text of 1 to `max_chars` characters (no control characters but newline and tab);
    - ``regex``: texts which match `pattern` as a whole (bounded: matches are at most `max_chars` long);
    - ``json``: compact JSON (", " and ": " separators) valid under `schema`;
    - ``choices``: one of the listed `choices`, which are texts, all different, none empty;
    - ``lark``: texts of the context-free grammar `grammar` in Lark notation, which starts at ``start``;
    - ``where``: what a query's hole may hold, `grammar` being data of the `decoding` room and `checks` the functions it
      refers to (local models only).
    """

    kind: Literal["text", "regex", "json", "choices", "lark", "where"]
    max_chars: int = 0
    pattern: str = ""
    schema: str = ""  # canonical JSON text, so that the object stays hashable
    choices: tuple[str, ...] = ()
    grammar: str = ""
    checks: tuple[Any, ...] = field(default=(), compare=False)  # callables; `grammar` holds digests of their code

    @property
    def digest(self) -> str:
        parts = (self.kind, str(self.max_chars), self.pattern, self.schema, *self.choices)
        if self.grammar:
            parts += (self.grammar,)
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()

    def schema_object(self) -> dict[str, Any]:
        return json.loads(self.schema)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy. The draw is a function of `seed` and the position alone.

    `sampler` is ``masked`` (forbidden tokens are cut away at every step), or one that approaches the model's own
    distribution over the allowed texts: ``aligned`` (learns from one draw to the next, which its draws depend on too),
    ``smc``, ``awrs`` (a fixed population a draw). Local models only; see ``thalweg.decoding.aligned``.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0: no limit
    seed: int = 0
    max_tokens: int = 512
    sampler: Literal["masked", "aligned", "smc", "awrs"] = "masked"


@dataclass(frozen=True, slots=True)
class Hint:
    """What a scheduler may know of a call beside its tokens. Changes no answer, so it identifies no request.

    Args:
        app: the program run, session or table the call belongs to.
        partition: cached prompts are shared among calls of one partition only (a tenant, a label).
        objective: ``latency`` somebody waits for this very call; ``throughput`` the whole it belongs to counts.
        depth: calls that still follow on the longest way to the answer that was asked for.
        group: calls of one group are wanted together: their last one counts.
        rank: place in a plan of the whole workload; smaller goes first, -1 unplanned.
        expected: tokens the answer is expected to have; 0 unknown.
    """

    app: str = ""
    partition: str = ""
    objective: Literal["throughput", "latency"] = "throughput"
    depth: int = 0
    group: str = ""
    rank: int = -1
    expected: int = 0


NO_HINT = Hint()


@dataclass(frozen=True)
class Request:
    """One call of a language model.

    Args:
        messages: the conversation; always present (remote models need it).
        prefix: prompt text that other calls of the same function share; local models compute it once.
        suffix: the rest of the prompt text. ``prefix + suffix`` is exactly what a local model reads; empty for models
            that render their own template. The boundary lies right behind a special token, so the two parts may be
            tokenised apart.
        format: the texts that may be answered.
        sampling: how tokens are drawn.
        want: ``value`` one answer; ``distribution`` the probability of every one of ``format.choices``;
            ``score`` the log-probability of `target` under the constrained distribution.
        target: the text to score.
        reserve: tokens kept back for closing the value when `max_tokens` comes near.
        decoder: the drafter that guesses tokens ahead: ``plain`` none, ``auto`` what the engine finds best, or a name.
            Guesses do not change answers, so this is not part of what identifies a request.
        lossless: ``exact`` refuses a drafter where the engine's rounding could change an answer, ``argmax`` accepts it;
            ``distribution`` keeps the distribution of answers but not which of them a seed draws, and accepts more
            guesses of a drafter that knows its own probabilities (`DraftModel`).
        stop: the answer ends before the first of these texts (free text only).
        logprobs: how many of the likeliest tokens are reported at each drawn one, see `Answer.token_logprobs`; -1 none.
            Does not change the answer, and stored answers do not keep it.
        hint: what a scheduler may know.
    """

    messages: tuple[Message, ...]
    format: Format
    sampling: Sampling = field(default_factory=Sampling)
    prefix: str = ""
    suffix: str = ""
    want: Literal["value", "distribution", "score"] = "value"
    target: str = ""
    reserve: int = 16
    decoder: str = field(default="plain", compare=False)
    lossless: Literal["exact", "argmax", "distribution"] = field(default="exact", compare=False)
    stop: tuple[str, ...] = ()
    logprobs: int = field(default=-1, compare=False)
    hint: Hint = field(default=NO_HINT, compare=False)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer, its natural log-probability where it was drawn (0 where it was forced), and the likeliest
    tokens there, by falling log-probability under the constrained distribution at temperature 1."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Counters of one call. Prompt tokens = cached + computed; output tokens = sampled + forced."""

    prompt_tokens: int = 0
    cached_tokens: int = 0  # prompt tokens not recomputed
    output_tokens: int = 0
    forced_tokens: int = 0  # output tokens that needed no sampling step
    seconds: float = 0.0  # from submission to answer, waiting included
    drafted_tokens: int = 0  # guesses scored
    accepted_tokens: int = 0  # guesses that were right
    passes: int = 0  # of the model, where guesses were made


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Args:
        text: the answer, a member of the request's format.
        logprob: natural log-probability of `text` under the constrained distribution at temperature 1 (nan: unknown).
        tokens: token ids of `text` (empty for remote models).
        prompt_tokens: token ids of the prompt (empty for remote models).
        probabilities: aligned with ``format.choices`` when ``want == "distribution"``.
        finish: ``complete``, or ``closed`` when the length limit made the decoder close the value early.
        token_logprobs: aligned with `tokens` when the request asked for them (local models only).
    """

    text: str
    logprob: float = float("nan")
    tokens: tuple[int, ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    finish: Literal["complete", "closed"] = "complete"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    token_logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a model can do, as data. A method that needs more fails when it is configured, saying which field.

    Args:
        constraints: ``exact`` masks tokens itself; ``server`` asks the server for structured output and checks;
            ``none`` can only check afterwards.
        logits: ``full`` whole vocabulary, ``topk`` the few a server returns, ``none``.
        branching: how a tree of candidates is scored: ``mask`` one pass with a tree mask, ``replicate`` a copy of
            the state per leaf, ``none`` one chain per call.
        speculation: whether guesses can be checked: ``exact`` rows of one prefix that come together have, bit for bit,
            the logits of rows that come alone; ``greedy`` within 1e-4 (torch in float32): the likeliest token is the
            same, but a draw from the far tail may not be; ``close`` up to visible rounding; ``none`` not at all.
        exact_rows: largest batch whose rows are bit-equal to the same rows computed alone; 0 means never.
        context: most tokens of prompt and answer together; 0 means unknown.
        streams: requests advanced side by side.
    """

    constraints: Literal["exact", "server", "none"] = "none"
    logits: Literal["full", "topk", "none"] = "none"
    branching: Literal["mask", "replicate", "none"] = "none"
    soft_tokens: bool = False
    probe: bool = False
    gradients: bool = False
    routes: bool = False
    max_leaves: int = 1
    max_rows: int = 1
    exact_rows: int = 0
    speculation: Literal["exact", "greedy", "close", "none"] = "none"
    snapshot: bool = False
    context: int = 0
    streams: int = 1
