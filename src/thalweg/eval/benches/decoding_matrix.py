"""Every drafter under every kind of constraint: are the answers those of plain decoding, token for token?

Real mails are asked about under seven kinds of constraint, greedily and (where the engine is exact bit for bit) at
temperature 0.8, first without guesses, then with each drafter. Any difference - a token, the number of forced ones,
the log-probability - fails the bench. Drafts have a fixed size here, so that guessing happens whether it pays or not:
time is the question of the other benches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thalweg.decoding import Guesses, drive, generate, speculate
from thalweg.decoding.budget import Budget
from thalweg.decoding.constraints import AllOf, Constraint, constraint_for
from thalweg.decoding.constraints.hole import hole_format
from thalweg.decoding.constraints.where import len_tokens, matches, stops_at
from thalweg.decoding.drafters import Drafter, drafter_named
from thalweg.decoding.speculate import Speculation
from thalweg.errors import ModelError
from thalweg.eval.benches.samples import mails
from thalweg.eval.benches.speculation import Prompt, rendered, tree_scorer
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Format, Sampling

_HOLE = stops_at("Q", ".", "\n") & (len_tokens("Q") < 24) & matches("Q", r"[^\n]{4,160}[.\n]")
DRAFTERS: tuple[str, ...] = ("prompt_lookup", "token_recycling", "lookahead", "rasd", "prompt_tokens")
SIZE = 12  # guesses a pass
TOKENS = 112

_SCHEMA = """{"type": "object", "required": ["sender", "topic", "kind", "urgent"], "additionalProperties": false,
"properties": {"sender": {"type": "string", "maxLength": 30}, "topic": {"type": "string", "maxLength": 40},
"kind": {"enum": ["question", "announcement", "discussion", "advertisement"]}, "urgent": {"type": "boolean"}}}"""
_LARK = r"""start: clause (" and " clause)? "."
clause: who " " ("asks" | "says" | "offers") " " what
who: "the sender" | "the list" | "somebody"
what: "for help" | "that it works" | "something for sale" | "what to do" """
_ASK = {
    "text": "Summarise this e-mail in one sentence.",
    "choice": "What kind of e-mail is this: an advertisement, a discussion, an announcement or a question?",
    "regex": "Rate this e-mail: importance and tone from 1 to 10, and a date.",
    "json": "Fill in sender, topic, kind and whether it is urgent, as JSON.",
    "grammar": "Say who does what in this e-mail.",
    "conjunction": "Name the topic of this e-mail in a few words, in quotes.",
    "hole": "Quote the first sentence of this e-mail.",
}


def constraints(tokenizer: Any) -> dict[str, Constraint]:
    """One of each kind, compiled for a tokenizer."""
    pattern = r"importance (10|[1-9]), tone (10|[1-9]), (Mon|Tue|Wed|Thu|Fri)day [1-9][0-9]?"
    return {
        "text": constraint_for(Format("text", max_chars=160), tokenizer),
        "choice": constraint_for(Format("choices", choices=tuple(_KINDS)), tokenizer),
        "regex": constraint_for(Format("regex", pattern=pattern), tokenizer),
        "json": constraint_for(Format("json", schema=_SCHEMA), tokenizer),
        "grammar": constraint_for(Format("lark", grammar=_LARK), tokenizer),
        "conjunction": AllOf(
            constraint_for(Format("text", max_chars=80), tokenizer),
            constraint_for(Format("regex", pattern=r'"[A-Za-z][A-Za-z ,\']{3,40}"'), tokenizer),
            end=tokenizer.end,
        ),
        "hole": constraint_for(hole_format(_HOLE), tokenizer),
    }


_KINDS = ("an advertisement", "an advertisement for software", "a discussion", "an announcement", "a question")


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(
        "decoding.matrix",
        "Does any drafter change any answer, under any kind of constraint?",
        lambda: _run(14 if quick else 200),
    )


def _run(count: int) -> Sequence[Figure]:
    found: list[Figure] = []
    for engine, share in (("tree:smollm2-135m:q8_0", 1), ("torch:smollm2-135m", 5)):  # float32 is three times slower
        scorer = tree_scorer(engine)
        try:
            found += _figures(scorer, max(len(_ASK), count // share), engine.split(":")[0])
        finally:
            scorer.free()
    return found


def _figures(scorer: Any, count: int, engine: str) -> list[Figure]:
    kinds = constraints(scorer.tokenizer)
    names = list(kinds)
    texts = [
        (names[i % len(names)], f"{_ASK[names[i % len(names)]]}\n\n{row['mail'][:400]}")
        for i, row in enumerate(mails()[:count])
    ]
    scorer.cost(1)
    drafters: dict[str, Drafter] = {name: drafter_named(name) for name in DRAFTERS}
    budgets = {name: Budget(scorer.cost, max_rows=scorer.capabilities.max_rows, size=SIZE) for name in DRAFTERS}
    wrong = {(name, kind): 0 for name in DRAFTERS for kind in names}
    total = {(name, kind): Speculation() for name in DRAFTERS for kind in names}
    asked = dict.fromkeys(names, 0)
    for i, prompt in enumerate(rendered(scorer, texts)):
        drawn = scorer.capabilities.speculation == "exact" and (i // len(names)) % 2
        sampling = Sampling(temperature=0.8 if drawn else 0.0, seed=i, max_tokens=TOKENS)
        constraint = kinds[prompt.kind]
        asked[prompt.kind] += 1
        plain = _write(scorer, prompt, constraint, sampling)
        for name, drafter in drafters.items():
            guesses = Guesses(drafter.start(prompt.tokens, scorer), budgets[name])
            guessed = _write(scorer, prompt, constraint, sampling, guesses, total[name, prompt.kind])
            wrong[name, prompt.kind] += not _equal(guessed, plain, scorer)
    if any(wrong.values()):
        raise ModelError(
            "Answers differ from plain decoding's: "
            + ", ".join(f"{n} with {name} under {kind}" for (name, kind), n in wrong.items() if n),
            "Report it with the model and its format: the engine or the loop is at fault.",
        )
    figures = [
        Figure(
            "decoding.matrix", f"{engine}: answers that differ from plain decoding", float(sum(wrong.values())), None,
            None, "answers", count * len(DRAFTERS), f"{len(DRAFTERS)} drafters x {len(names)} kinds of constraint",
        )
    ]  # fmt: skip
    for kind in names:
        for name in DRAFTERS:
            counts = total[name, kind]
            figures.append(
                Figure(
                    "decoding.matrix", f"{engine}, {kind}: {name}, tokens a pass", counts.mean_accepted, 1.0,
                    counts.mean_accepted, "tokens", asked[kind],
                    f"forced ones included; {counts.accepted} of {counts.drafted} guesses accepted",
                )
            )  # fmt: skip
    return figures


def _equal(guessed: Any, plain: Any, scorer: Any) -> bool:
    """Tokens and what was forced to the letter; the log-probability bit for bit where the engine is, else to 1e-3."""
    near = 0.0 if scorer.capabilities.exact_rows > 1 else 1e-3
    same = (guessed.tokens, guessed.forced, guessed.closed) == (plain.tokens, plain.forced, plain.closed)
    return same and abs(guessed.logprob - plain.logprob) <= near


def _write(
    scorer: Any,
    prompt: Prompt,
    constraint: Constraint,
    sampling: Sampling,
    guesses: Guesses | None = None,
    counts: Speculation | None = None,
) -> Any:
    settings: dict[str, Any] = {"end": scorer.tokenizer.end, "limit": sampling.max_tokens, "reserve": 30}
    prefix = scorer.open(prompt.tokens[:-1])
    try:
        if guesses is None:
            decoder = generate(prompt.tokens[-1], constraint, sampling, **settings)
        else:
            decoder = speculate(prompt.tokens, constraint, sampling, guesses=guesses, speculation=counts, **settings)
        return replace(drive(decoder, scorer, prefix))
    finally:
        scorer.close(prefix)
