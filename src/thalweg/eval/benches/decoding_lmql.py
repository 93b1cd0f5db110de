"""What does a query save against prompting in chunks, and do its constraints hold?

Three tasks (odd one out with chain of thought, ReAct over a corpus of 60 pages, sums with a calculator), each as a
query and as the usual loop: ask for 32 tokens, parse, append, send the whole prompt again. Billed tokens are counted as
a provider bills them: every token of every call of the loop; of a query, which stays open, every token of its trace
once, as in the paper. What was computed here, where both sides have a cache of prompts, stands beside it. Then random
constraints over random prompts: how many are broken.
Source: Beurer-Kellner, Fischer and Vechev 2023, "Prompting Is Programming", section 6.
"""

from __future__ import annotations

import ast
import math
import operator
import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import thalweg as tw
from thalweg.decoding.constraints.hole import Hole, avoiding, hole_format
from thalweg.decoding.constraints.where import (
    Length,
    Where,
    contains,
    holds,
    integer,
    len_tokens,
    matches,
    one_of,
    satisfies,
    stops_at,
    stops_before,
)
from thalweg.errors import BudgetExceeded, DeadEnd, UnsatisfiableConstraint
from thalweg.eval.benches.lmql_tasks import (
    ODD_SHOTS,
    REACT_SHOTS,
    SUM_SHOTS,
    Item,
    corpus,
    corpus_questions,
    odd_ones,
    sums,
)
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.request import Format, Message, Request, Sampling
from thalweg.program.query import QueryResult, query
from thalweg.program.session import current, model_in_force

NAME = "decoding.lmql"
CHUNK = 32  # tokens a call of the baseline
CALLS = 8  # of the baseline, an item
FREE = Format("regex", pattern=r"[^\x00-\x08\x0b-\x1f\x7f]+")
PAGES = corpus()
EXPRESSION = re.compile(r"\s*(\d{1,6}) ([+*-]) (\d{1,6}) =")
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(
        NAME, "What does a query save against prompting in chunks?", lambda: _run(*((5, 50) if quick else (25, 1000)))
    )


# -- the tasks as queries -------------------------------------------------------------------------------------------


@query
def odd_one(q: Any, item: Item) -> str:
    q.append(ODD_SHOTS + item.question)
    for word in item.options:
        q(f"A {word} is[KIND]. ", where=stops_before("KIND", ".") & (len_tokens("KIND") <= 6))
    common = stops_before("COMMON", ",") & (len_tokens("COMMON") <= 6)
    odd = one_of("ODD", [f" {word}" for word in item.options])
    return q("Most of them are[COMMON], and a[ODD] is not.", where=common & odd)["ODD"].strip()


@query
def react(q: Any, item: Item) -> str:
    q.append(f"{REACT_SHOTS}Question: {item.question}\n")
    for _ in range(6):
        mode = q("[MODE]:", where=one_of("MODE", ["Tho", "Act", "Fin"]))["MODE"]
        if mode == "Tho":
            q("[THOUGHT]\n", where=stops_before("THOUGHT", "\n") & (len_tokens("THOUGHT") <= 30))
        elif mode == "Act":
            word = q(" Search '[WORD]\n", where=stops_at("WORD", "'") & (len_tokens("WORD") < 12))["WORD"]
            q.append(f"Obs: {_search(word[:-1])}\n")
        else:
            break
    else:
        q.append("Fin:")
    return q(" '[ANSWER]", where=stops_at("ANSWER", "'") & (len_tokens("ANSWER") < 16))["ANSWER"][:-1]


@query
def sum_in_words(q: Any, item: Item) -> str:
    q.append(f"{SUM_SHOTS}Q: {item.question}\nA:")
    for _ in range(4):
        end = stops_at("STEP", "<<", "So the answer", "\n") & (len_tokens("STEP") <= 60)
        if not q("[STEP]", where=end)["STEP"].endswith("<<"):
            break
        what = matches("WHAT", r" [0-9]{1,6} [+*-] [0-9]{1,6} =")
        q.append(f" {_calculate(q('[WHAT]', where=what)['WHAT'])} >>")
    if not q.text.endswith("So the answer"):
        q.append(" So the answer")
    return q(" is [RESULT].", where=stops_before("RESULT", ".") & integer("RESULT", 6))["RESULT"]


# -- the same in chunks ---------------------------------------------------------------------------------------------


@dataclass
class Chunked:
    """A prompt that is sent again and again, and what that cost."""

    model: Any
    text: str
    billed: int = 0
    computed: int = 0
    steps: int = 0
    calls: int = 0

    def more(self) -> str:
        """Up to 32 tokens behind the text; they are appended only by whoever parsed them."""
        sampling = Sampling(max_tokens=CHUNK + 1)
        request = Request((Message("user", self.text),), FREE, sampling, "", self.text, reserve=1)
        answer = self.model.submit(request).result()
        self.billed += answer.usage.prompt_tokens + answer.usage.output_tokens
        self.computed += answer.usage.prompt_tokens - answer.usage.cached_tokens + answer.usage.output_tokens
        self.steps += answer.usage.output_tokens
        self.calls += 1
        return answer.text


def chunked_odd(chunks: Chunked, item: Item) -> str:
    chunks.text = ODD_SHOTS + item.question
    said = ""
    while chunks.calls < CALLS and "\n" not in said and "odd one is" not in said:
        more = chunks.more()
        said += more
        chunks.text += more
    found = re.search(r"So the odd one is ([a-z]+)[^a-z]", said)
    if found:
        return found[1]
    thought = re.split(r" So the odd one|\n", said)[0]
    chunks.text = f"{ODD_SHOTS}{item.question}{thought} So the odd one is"
    answer = chunks.more()
    return next(iter(re.findall(r"[a-z]+", answer)), "")


def chunked_react(chunks: Chunked, item: Item) -> str:
    chunks.text = f"{REACT_SHOTS}Question: {item.question}\n"
    pending = ""
    while chunks.calls < CALLS:
        pending += chunks.more()
        while "\n" in pending or re.search(r"'[^'\n]*'", pending):
            found = re.match(r"(?:Act: Search|Fin:) '([^'\n]*)'", pending)
            if found and pending.startswith("Fin"):
                return found[1]
            if found:
                chunks.text += f"{found[0]}\nObs: {_search(found[1])}\n"
                pending = ""  # what was written behind it knew nothing of the page
                break
            line, cut, pending = pending.partition("\n")
            chunks.text += line + cut
            if not cut:
                break
        if pending and not re.search(r"['\n]", pending):
            chunks.text, pending = chunks.text + pending, ""
    return ""


def chunked_sum(chunks: Chunked, item: Item) -> str:
    start = chunks.text = f"{SUM_SHOTS}Q: {item.question}\nA:"
    while chunks.calls < CALLS:
        written = chunks.text[len(start) :] + chunks.more()
        calculated = 0
        for found in re.finditer(r"<<" + EXPRESSION.pattern, written):
            result = f" {_calculate(found[0][2:])} >>"
            if not written.startswith(result, found.end()):
                chunks.text = start + written[: found.end()] + result
                calculated = 1
                break
        if calculated:
            continue
        chunks.text = start + written
        answer = re.search(r"So the answer is (-?\d+)", written)
        if answer and len(written) > answer.end():
            return answer[1]
        if "\nQ:" in written:
            break
    return ""


def _search(word: str) -> str:
    title = word.strip().removeprefix("the ").strip()
    return PAGES.get(title) or PAGES.get(title.title()) or "There is no such page."


def _calculate(expression: str) -> int:
    found = EXPRESSION.match(expression)
    assert found is not None
    return OPERATORS[found[2]](
        ast.literal_eval(found[1].lstrip("0") or "0"), ast.literal_eval(found[3].lstrip("0") or "0")
    )


# -- the measurement ------------------------------------------------------------------------------------------------

TASKS: dict[str, tuple[Callable[[], list[Item]], Any, Callable[[Chunked, Item], str], float]] = {
    "odd one out": (odd_ones, odd_one, chunked_odd, 0.26),
    "ReAct": (corpus_questions, react, chunked_react, 0.60),
    "sums with a calculator": (sums, sum_in_words, chunked_sum, 0.60),
}


def _run(count: int, pairs: int) -> Sequence[Figure]:
    figures: list[Figure] = []
    with tw.using(cache=False, journal=False, progress=False, model="smollm2-135m"):
        model = model_in_force(current())
        for name, (items, asked, loop, bar) in TASKS.items():
            figures += _task(name, items()[:count], asked, loop, bar, model)
        figures.append(_violations(pairs, model))
    return figures


def _task(name: str, items: list[Item], asked: Any, loop: Any, bar: float, model: Any) -> list[Figure]:
    made: list[QueryResult[str]] = []
    theirs: list[tuple[Chunked, str]] = []

    def in_chunks(item: Item) -> tuple[Chunked, str]:
        chunks = Chunked(model, "")
        return chunks, loop(chunks, item)

    def ask(block: list[Item]) -> None:
        made.extend(asked.map([{"item": item} for item in block], fail_fast=True))

    def ask_in_chunks(block: list[Item]) -> None:
        with ThreadPoolExecutor(8) as pool:
            theirs.extend(pool.map(in_chunks, block))

    # Whoever comes second finds the other's prompts in the cache: each side is second in one half.
    half = (len(items) + 1) // 2
    for block, first, second in ((items[:half], ask, ask_in_chunks), (items[half:], ask_in_chunks, ask)):
        first(block)
        second(block)
    n = len(items)
    ours_right = [result.value == item.answer for result, item in zip(made, items, strict=True)]
    theirs_right = [answer == item.answer for (_, answer), item in zip(theirs, items, strict=True)]
    pairs = (
        ("billed tokens", [one.usage.billable_tokens for one in made], [one.billed for one, _ in theirs],
         f"bar {bar:.0%}"),
        ("computed tokens", [one.usage.computed_tokens for one in made], [one.computed for one, _ in theirs],
         "both with this engine's cache of prompts"),
        ("model steps", [one.usage.model_calls for one in made], [one.steps for one, _ in theirs], ""),
        ("calls", [one.usage.decoder_calls for one in made], [one.calls for one, _ in theirs],
         "a call of the query reads on where the last one ended"),
    )  # fmt: skip
    figures = []
    for what, ours, base, said in pairs:
        mine, other = sum(ours) / n, sum(base) / n
        unit = "calls" if what == "calls" else "tokens"
        note = "; ".join(filter(None, ("an item", f"{1 - mine / other:.0%} saved", said)))
        figures.append(Figure(NAME, f"{name}: {what}", mine, other, other / mine if mine else None, unit, n, note))
    p = mcnemar(ours_right, theirs_right)
    right, base_right = sum(ours_right) / n, sum(theirs_right) / n
    ratio = right / base_right if base_right else None
    figures.append(Figure(NAME, f"{name}: accuracy", right, base_right, ratio, "share", n, f"McNemar p = {p:.2f}"))
    return figures


def mcnemar(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Exact two-sided p-value of McNemar's test for paired answers (1947)."""
    only_one = sum(a and not b for a, b in zip(one, other, strict=True))
    only_other = sum(b and not a for a, b in zip(one, other, strict=True))
    n, k = only_one + only_other, min(only_one, only_other)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def _violations(count: int, model: Any) -> Figure:
    """Random constraints over random prompts, sampled; every answer is checked apart from how it was made."""
    dice = random.Random(5)
    prompts = [ODD_SHOTS, REACT_SHOTS, SUM_SHOTS, "Dear Sir,", "def main():\n    ", *PAGES.values()]
    cases = [(random_constraint(dice), dice.choice(prompts), seed) for seed in range(count)]
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda case: _holds(case[0], case[1], case[2], model), cases))
    answered = sum(one is not None for one in found)
    broken = sum(one is False for one in found)
    note = f"bar 0; {count - answered} of {count} ended in an error that names the constraint"
    return Figure(NAME, "constraints broken", broken, None, None, "answers", answered, note)


def _holds(where: Where, prompt: str, seed: int, model: Any) -> bool | None:
    try:
        format = hole_format(where)
        for attempt in range(8):
            request = Request((Message("user", prompt),), format, Sampling(1.0, seed=seed, max_tokens=48), "", prompt)
            try:
                answer = model.submit(request).result()
            except DeadEnd as dead:
                if not dead.tokens:
                    return None
                format = avoiding(format, dead, 2**attempt)
                continue
            value = Hole(hole_format(where), model.tokenizer).value(answer.text.encode()).decode()
            parts = where.parts if where.op == "and" else (where,)
            stop = next((part for part in parts if part.op in ("stops_at", "stops_before")), None)
            return all(holds(part, value, len(answer.tokens)) for part in parts) and (
                stop is None or any(answer.text.endswith(phrase) for phrase in stop.data[0])
            )
    except (UnsatisfiableConstraint, BudgetExceeded):
        pass
    return None


def _has_vowel(text: str) -> bool:
    return any(letter in text for letter in "aeiou")


def random_constraint(dice: random.Random) -> Where:
    """One to three constraints of all kinds."""
    unit = dice.choice(["chars", "tokens", "words"])
    least = dice.randint(0, 3)
    count = Length("A", unit).between(least, least + dice.randint(3, 12))  # type: ignore[arg-type]
    letters = "etaoinshr ,."
    parts = [
        count,
        matches(
            "A",
            dice.choice([r"[A-Z][a-z ]{2,20}", r"[a-z]+( [a-z]+)*", r" ?[0-9]{1,4}", r"[^,\n]+", r"(yes|no|may.*)"]),
        ),
        contains("A", dice.choice(letters)),
        ~contains("A", dice.choice(letters)),
        contains("A", "a") | (len_tokens("A") <= 5),
        integer("A"),
        satisfies("A", _has_vowel),
        satisfies("A", _has_vowel, "inc"),
    ]
    where = dice.choice(parts)
    for part in dice.sample(parts, dice.randint(0, 1)):
        where = where & part
    if dice.random() < 0.5:
        stop = dice.choice([stops_at, stops_before])
        where = where & stop("A", *dice.sample(["'", ".", "\n", " the", ", "], dice.randint(1, 2)))
    return where
