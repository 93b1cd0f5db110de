"""Rows and tokens a second of Guidance over llama.cpp on the same weights, under one JSON schema.

Arguments: path of the weights, accelerate (0 or 1), JSON schema, inputs (JSON list), system message.
"""

import importlib.metadata
import json
import os
import sys
import time

import llama_cpp
import llama_cpp.llama_cpp as low

path, accelerate, schema, inputs, system_text = sys.argv[1:6]
schema, inputs = json.loads(schema), json.loads(inputs)
default = low.llama_model_default_params


def with_same_kernels():
    settings = default()
    settings.use_extra_bufts = accelerate == "1"
    return settings


low.llama_model_default_params = llama_cpp.llama_model_default_params = with_same_kernels

from guidance import assistant, models, system, user  # noqa: E402
from guidance import json as guided  # noqa: E402

threads = len(os.sched_getaffinity(0))
model = models.LlamaCpp(
    path, echo=False, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False, flash_attn=False
)
encode = llama_cpp.Llama(path, vocab_only=True, verbose=False).tokenize


def ask(text):
    lm = model
    with system():
        lm += system_text
    with user():
        lm += text
    with assistant():
        lm += guided(name="answer", schema=schema, temperature=0.0, max_tokens=128)
    return lm["answer"]


def spelled(text):
    return len(encode(text.encode(), add_bos=False))


ask(inputs[0])
started = time.perf_counter()
texts = [ask(text) for text in inputs]
seconds = time.perf_counter() - started
print(
    json.dumps(
        {
            "rows_per_second": len(inputs) / seconds,
            "tokens_per_second": sum(map(spelled, texts)) / seconds,
            "texts": texts,
            "version": importlib.metadata.version("guidance"),
        }
    )
)
