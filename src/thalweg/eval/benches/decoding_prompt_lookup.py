"""Prompt lookup on text that copies: ours against llama-cpp-python's, and each against its own plain decoding.

The same weights, prompts and thread count; the peer runs in a process of its own and answers in turns with us, so both
see the same machine. Seconds are of writing, the prompt's reading left out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.decoding.budget import Budget
from thalweg.decoding.drafters.lookahead import Lookahead
from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.errors import ModelError
from thalweg.eval.benches import speculation as bench
from thalweg.eval.benches.peers import peer_python
from thalweg.eval.benches.speculation_texts import COPYING, prompts
from thalweg.eval.benchmark import Benchmark, Figure

NAME = "decoding.prompt_lookup"


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "How fast is our prompt lookup beside llama-cpp-python's?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    scorer = bench.tree_scorer(anew=not quick)
    peer = _Peer.start(scorer.path)
    try:
        return _figures(scorer, peer, quick)
    finally:
        scorer.free()
        if peer is not None:
            peer.close()


def _figures(scorer: Any, peer: _Peer | None, quick: bool) -> list[Figure]:
    texts = [one for one in prompts() if one[0] in COPYING]
    limit = 32 if quick else 128
    free = bench.Free(scorer.tokenizer)
    scorer.cost(1)
    drafters = {"prompt lookup": PromptLookup(), "lookahead": Lookahead()}
    budgets = {name: Budget(scorer.cost, max_rows=scorer.capabilities.max_rows) for name in drafters}
    asked = bench.rendered(scorer, texts[:: 8 if quick else 1])
    ours = dict.fromkeys(("plain", *drafters), 0.0)
    theirs = {"plain": 0.0, "prompt lookup": 0.0}
    tokens = wrong = peer_wrong = 0
    passes = dict.fromkeys(drafters, 0)
    for prompt in asked:
        plain, _, seconds, _ = bench.write(scorer, prompt.tokens, free, limit=limit)
        ours["plain"] += seconds
        tokens += len(plain)
        for name, drafter in drafters.items():
            made, counts, seconds, _ = bench.write(scorer, prompt.tokens, free, drafter, budgets[name], limit=limit)
            ours[name] += seconds
            passes[name] += counts.passes
            wrong += made != plain
        if peer is not None:
            answers = []
            for name, guess in (("plain", False), ("prompt lookup", True)):
                answer = peer.ask(prompt.tokens, limit, guess)
                theirs[name] += answer["seconds"]
                answers.append(answer["written"])
            peer_wrong += answers[0] != answers[1]
    found = [
        Figure(NAME, "answers that differ from plain decoding", float(wrong), float(peer_wrong) if peer else None, None,
               "answers", len(asked), "baseline: llama-cpp-python's prompt lookup against its own plain decoding"),
    ]  # fmt: skip
    for name in drafters:
        found.append(
            Figure(NAME, f"{name}: tokens a second of writing", tokens / ours[name], tokens / ours["plain"],
                   ours["plain"] / ours[name], "tokens/s", len(asked),
                   f"baseline: our plain decoding; {tokens / max(1, passes[name]):.2f} tokens a pass")
        )  # fmt: skip
        if peer is not None:
            found.append(
                Figure(NAME, f"{name}, against llama-cpp-python's prompt lookup", tokens / ours[name],
                       tokens / theirs["prompt lookup"], theirs["prompt lookup"] / ours[name], "tokens/s", len(asked),
                       f"llama-cpp-python {peer.version}, 10 guesses; its own plain decoding takes "
                       f"{theirs['plain'] / theirs['prompt lookup']:.2f} times its seconds")
            )  # fmt: skip
    if wrong:
        raise ModelError(
            f"{NAME}: {wrong} answers differ from plain decoding's.",
            "Report it with the model and its format: the engine or the loop is at fault.",
        )
    return found


class _Peer:
    """The peer's process: a line of JSON each way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.version = json.loads(self._line())["version"]

    @classmethod
    def start(cls, path: str) -> _Peer | None:
        python, script = peer_python(), Path("benchmarks/peers/llama_cpp_lookup.py")
        if python is None or not script.exists():
            return None
        process = subprocess.Popen(
            [str(python), str(script), path, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            return cls(process)
        except (ValueError, KeyError):
            process.kill()
            return None

    def ask(self, tokens: list[int], new: int, guess: bool) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps({"tokens": tokens, "new": new, "guess": guess}), file=self.process.stdin, flush=True)
        return json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
