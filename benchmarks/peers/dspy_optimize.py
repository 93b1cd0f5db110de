"""DSPy's few-shot search over a task, through an OpenAI-compatible server.

    python dspy_optimize.py URL TASK.json CANDIDATES THREADS

TASK.json: {"inputs": [names], "labels": [values] or null, "instruction": text, "train": [...], "dev": [...], "test":
[...]} with rows {"inputs": {...}, "label": value}. Prints one line of JSON: scores, metric calls, tokens, seconds,
failed outputs.
"""

import json
import sys
import threading
import time
from typing import Literal

import dspy

url, place, candidates, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with open(place, encoding="utf-8") as file:
    task = json.load(file)
lock = threading.Lock()
counts = {"metric": 0}


class Counting(dspy.LM):
    """Adds up what the server says was used."""

    used = {"calls": 0, "prompt": 0, "output": 0}

    def forward(self, *args, **kwargs):
        found = super().forward(*args, **kwargs)
        usage = found.usage
        with lock:
            self.used["calls"] += 1
            self.used["prompt"] += usage.prompt_tokens
            self.used["output"] += usage.completion_tokens
        return found


lm = Counting("openai/smollm2-135m", api_base=f"{url}/v1", api_key="none", max_tokens=96, temperature=0.0, cache=False)
dspy.configure(lm=lm)
dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)

fields = {name: (str, dspy.InputField()) for name in task["inputs"]}
kind = Literal[tuple(task["labels"])] if task["labels"] else str
fields["answer"] = (kind, dspy.OutputField())
program = dspy.Predict(dspy.Signature(fields, task["instruction"]))


def examples(rows):
    return [dspy.Example(**row["inputs"], answer=row["label"]).with_inputs(*task["inputs"]) for row in rows]


def plain(text):
    text = str(text).strip().strip(".").lower()
    for article in ("a ", "an ", "the "):
        text = text.removeprefix(article)
    return text


def metric(example, prediction, trace=None):
    with lock:
        counts["metric"] += 1
    return plain(example.answer) == plain(getattr(prediction, "answer", ""))


def score(compiled, rows):
    """Scores of rows, and how many gave no output of the type."""
    failed = 0

    def one(example):
        try:
            return float(plain(compiled(**example.inputs()).answer) == plain(example.answer)), 0
        except Exception:
            return 0.0, 1

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(one, rows))
    failed = sum(bad for _, bad in found)
    return [value for value, _ in found], failed


train, dev, test = (examples(task[part]) for part in ("train", "dev", "test"))
before, failed_before = score(program, test)
lm.used.update(calls=0, prompt=0, output=0)
started = time.perf_counter()
optimizer = dspy.BootstrapFewShotWithRandomSearch(
    metric=metric,
    max_bootstrapped_demos=4,
    max_labeled_demos=4,
    num_candidate_programs=candidates,
    num_threads=threads,
    max_errors=10_000,
)
compiled = optimizer.compile(program, trainset=train, valset=dev)
seconds = time.perf_counter() - started
searched = dict(lm.used)
after, failed = score(compiled, test)
print(
    json.dumps(
        {
            "before": before,
            "after": after,
            "failed_before": failed_before,
            "failed": failed,
            "seconds": seconds,
            "metric_calls": counts["metric"],
            "version": dspy.__version__,
            **searched,
        }
    )
)
