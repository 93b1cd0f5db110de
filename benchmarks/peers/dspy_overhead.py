"""Microseconds per call of DSPy's Predict over a dummy language model, outside any model."""

import json
import statistics
import time

import dspy
from dspy.utils import DummyLM

CALLS = 1500
lm = DummyLM([{"label": "short"}] * (CALLS + 10))
dspy.configure(lm=lm, disable_history=True)
dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
predict = dspy.Predict("question -> label")
times = []
for i in range(CALLS):
    started = time.perf_counter()
    predict(question=f"How long is question number {i}?")
    times.append(time.perf_counter() - started)
print(json.dumps({"median_us": 1e6 * statistics.median(times[CALLS // 10 :]), "version": dspy.__version__}))
