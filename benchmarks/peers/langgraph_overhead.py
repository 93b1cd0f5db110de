"""Microseconds per step of LangGraph's functional API (entrypoint, task), with a checkpointer, outside any model."""

import json
import statistics
import time
from importlib.metadata import version

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task

STEPS, RUNS = 50, 12


@task
def step(question: str) -> bool:
    return len(question) > 3


def workflow(questions: list) -> int:
    return sum(step(question).result() for question in questions)


times = []
for run in range(RUNS):
    compiled = entrypoint(checkpointer=InMemorySaver())(workflow)
    questions = [f"How long is question number {run}-{i}?" for i in range(STEPS)]
    started = time.perf_counter()
    compiled.invoke(questions, {"configurable": {"thread_id": str(run)}})
    times.append(1e6 * (time.perf_counter() - started) / STEPS)
print(json.dumps({"median_us": statistics.median(times[2:]), "version": version("langgraph")}))
