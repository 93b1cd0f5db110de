"""`GrammarAligned`: samples of a grammar behind a prompt, by the sampler of your choice, with their weights.

For studying and measuring; programs say ``f.using(sampler="aligned")`` instead. Samples run through the model's engine
and batch together; `kl_to_exact` enumerates a small grammar and says how far the sampler is from the truth.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, TypeVar

from thalweg.decoding.aligned.answering import Driven
from thalweg.decoding.aligned.asap import asap
from thalweg.decoding.aligned.drawing import Sample
from thalweg.decoding.aligned.exact import Language, divergence, enumerate_language, exact
from thalweg.decoding.aligned.smc import PARTICLES, Population, masked, rejected, smc
from thalweg.decoding.aligned.trie import Trie, Unseen
from thalweg.decoding.constraints import constraint_for
from thalweg.decoding.drive import drive
from thalweg.decoding.fragment import Decoder
from thalweg.errors import BudgetExceeded, ContextOverflow, UnsupportedByBackend
from thalweg.models.chat import render_chat
from thalweg.models.request import Answer, Format, Message, Sampling

Method = Literal["gcd", "asap", "smc", "awrs"]
Prompt = str | Sequence[Message]
T = TypeVar("T")


class GrammarAligned:
    """Draws from a model's distribution over the texts of a grammar.

    Args:
        model: an engine, which advances samples side by side, or a scorer, as `thalweg.models.load` gives it, which
            takes one after the other.
        format: the grammar.
        method: ``gcd`` masks only (the biased baseline); ``asap`` learns from what it drew; ``smc`` and ``awrs`` draw
            weighted populations, by masks or by testing single tokens.
        temperature, top_p, top_k: of the model's law, whose conditional is the target. seed: of the first sample.
        unseen: what ``asap`` takes for the chances of what it never drew, see `Trie`: ``bound`` as published, ``mean``
            as programs use it.
        particles: of one population (``smc``, ``awrs``).
        max_tokens: texts that are longer are not part of the target.
    """

    def __init__(
        self,
        model: Any,
        format: Format,
        method: Method = "asap",
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        unseen: Unseen = "bound",
        particles: int = PARTICLES,
        max_tokens: int = 256,
    ) -> None:
        capabilities = getattr(model, "capabilities", None)
        if getattr(capabilities, "logits", "none") != "full":
            raise UnsupportedByBackend(
                f"{getattr(model, 'name', model)!r} gives no logits over its whole vocabulary.",
                'Load a local model, as `thalweg.models.load("smollm2-135m")`.',
            )
        if method not in ("gcd", "asap", "smc", "awrs"):
            raise ValueError(f"method={method!r}; choose one of gcd, asap, smc, awrs")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature!r}; samples need one above 0")
        self.model = model
        self.format = format
        self.method: Method = method
        self.sampling = Sampling(temperature, top_p, top_k, seed, max_tokens)
        self.unseen: Unseen = unseen
        self.particles = particles
        self.rows = 0  # asked of the model for samples so far
        self.contexts = 0  # the same without those that a population had read before
        self._drawn = itertools.count(seed)
        self._tries: dict[str, Trie] = {}
        self._prompt = ""

    def sample(self, prompt: Prompt, n: int = 1) -> list[Sample]:
        """`n` samples, in the order they were asked for.

        ``gcd`` and ``asap``: each is a draw; cut ones are drawn again. ``smc`` and ``awrs``: the weighted particles of
        populations of at most `particles`; those of weight zero are left out.

        Args:
            prompt: a text that is read as it is, or messages in the model's chat form.

        Raises:
            BudgetExceeded: the length limit cut nearly all draws.
        """
        text = self._remember(prompt)
        return self._populations(text, n) if self.method in ("smc", "awrs") else self._draws(text, n)

    @property
    def trie(self) -> Trie:
        """What ``asap`` learned behind the last prompt."""
        return self._tries.setdefault(self._prompt, Trie(self.unseen))

    def save(self, path: str | PathLike[str]) -> None:
        """Write `trie` as JSON."""
        self.trie.save(path)

    def load(self, path: str | PathLike[str], prompt: Prompt) -> None:
        """Start behind `prompt` from a saved trie, which must be of the same model, format and sampling."""
        self._tries[self._remember(prompt)] = Trie.load(path)

    def language(self, prompt: Prompt | None = None) -> Language:
        """All strings of the grammar in tokens with their exact probabilities behind a prompt (default: the last).

        Raises:
            TypeNotSupported: there are too many.
        """
        text = self._prompt if prompt is None else self._remember(prompt)
        tokenizer = self.model.tokenizer
        constraint = constraint_for(self.format, tokenizer)
        found = enumerate_language(constraint, end=tokenizer.end, limit=self.sampling.max_tokens)
        self.run(text, lambda last, room: exact(last, found, self.sampling))
        return found

    def run(self, prompt: Prompt, decode: Callable[[int, int], Decoder[T]]) -> T:
        """What a coroutine returns that the engine drives behind `prompt`.

        Args:
            decode: makes it, from the prompt's last token (which is not computed yet) and the room left for tokens.
        """
        return self._start(self._remember(prompt), decode)()

    def kl_to_exact(self, prompt: Prompt | None = None) -> float:
        """KL(Q || sampler as it stands) in nats, exactly, for a grammar that can be enumerated.

        For ``gcd`` and ``asap``, whose next draw has a known distribution.
        """
        if self.method in ("smc", "awrs"):
            raise UnsupportedByBackend(
                f"What {self.method} draws has no distribution in closed form.",
                "Compare weighted samples with `language(prompt).log_q()`.",
            )
        found = self.language(prompt)
        return divergence(found.log_q(), found.induced(self.trie if self.method == "asap" else None))

    # -- running ----------------------------------------------------------------------------------------------

    def _remember(self, prompt: Prompt) -> str:
        if not isinstance(prompt, str):
            tokenizer = self.model.tokenizer
            prompt = render_chat(prompt, tokenizer.chat_template, tokenizer.special_tokens)
        self._prompt = prompt
        return prompt

    def _draws(self, text: str, n: int) -> list[Sample]:
        trie = self.trie if self.method == "asap" else None
        end = self.model.tokenizer.end
        constraint = constraint_for(self.format, self.model.tokenizer)
        found: list[Sample] = []
        for _ in range(4):  # what was cut is asked for again
            asked = []
            for seed in itertools.islice(self._drawn, n - len(found)):
                sampling = replace(self.sampling, seed=seed)
                decode = functools.partial(_one, constraint, sampling, trie, end)
                asked.append(self._start(text, decode))
            for one in asked:
                drawn: Sample = one()
                self.rows += drawn.rows
                self.contexts += drawn.rows
                if not drawn.closed:
                    found.append(drawn)
            if len(found) == n:
                return found
        raise BudgetExceeded(
            f"Only {len(found)} of {n} samples ended within {self.sampling.max_tokens} tokens.", "Raise `max_tokens`."
        )

    def _populations(self, text: str, n: int) -> list[Sample]:
        tokenizer = self.model.tokenizer
        constraint = constraint_for(self.format, tokenizer)
        asked = []
        for start in range(0, n, self.particles):
            decode = functools.partial(
                _many,
                constraint,
                replace(self.sampling, seed=next(self._drawn)),
                min(self.particles, n - start),
                rejected if self.method == "awrs" else masked,
                tokenizer.end,
            )
            asked.append(self._start(text, decode))
        found: list[Sample] = []
        for one in asked:
            population: Population = one()
            self.rows += population.rows
            self.contexts += population.contexts
            found += population.samples
        return found

    def _start(self, text: str, decode: Callable[[int, int], Decoder[Any]]) -> Callable[[], Any]:
        """Start a coroutine behind the prompt, driven by the engine. What comes back waits for what it returns."""
        model, made = self.model, []
        if hasattr(model, "score"):  # a scorer: no batching
            return lambda: self._drive(text, decode)

        def decoder(last: int, tokenizer: Any, room: int) -> Decoder[Answer]:
            result = yield from decode(last, room)
            made.append(_with_text(result, tokenizer))
            return Answer("")

        request = Driven((Message("user", text),), self.format, self.sampling, suffix=text, decode=decoder)
        future = model.submit(request)

        def wait() -> Any:
            future.result()
            return made[0]

        return wait

    def _drive(self, text: str, decode: Callable[[int, int], Decoder[Any]]) -> Any:
        scorer = self.model
        tokenizer = scorer.tokenizer
        tokens = tokenizer.encode(text, special=True)
        if tokenizer.adds_bos and tokens[:1] != [tokenizer.bos]:
            tokens.insert(0, tokenizer.bos)
        if len(tokens) < 2:
            raise ContextOverflow("The prompt is empty.", "Give a prompt of two tokens or more.")
        prefix = scorer.open(tokens[:-1])
        try:
            found = drive(decode(tokens[-1], scorer.capabilities.context - len(tokens) - 4), scorer, prefix)
        finally:
            scorer.close(prefix)
        return _with_text(found, tokenizer)


def _one(constraint: Any, sampling: Sampling, trie: Trie | None, end: int, last: int, room: int) -> Decoder[Sample]:
    limit = min(sampling.max_tokens, room)
    try:
        return (yield from asap(last, constraint, sampling, trie, end=end, limit=limit))
    except BudgetExceeded:  # cut with no room to close it: the trie knows
        return Sample("", (), 0.0, float("-inf"), closed=True)


def _many(
    constraint: Any, sampling: Sampling, particles: int, propose: Any, end: int, last: int, room: int
) -> Decoder[Population]:
    limit = min(sampling.max_tokens, room)
    return (yield from smc(last, constraint, sampling, end=end, limit=limit, particles=particles, propose=propose))


def _with_text(result: Any, tokenizer: Any) -> Any:
    if isinstance(result, Sample):
        return replace(result, text=tokenizer.decode(result.tokens))
    if isinstance(result, Population):
        return replace(result, samples=[_with_text(one, tokenizer) for one in result.samples])
    return result
