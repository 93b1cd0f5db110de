"""Rows and tokens a second of Outlines over llama.cpp on the same weights, under one JSON schema.

Arguments: path of the weights, accelerate (0 or 1), JSON schema, inputs (JSON list), system message.
"""

import importlib.metadata
import json
import os
import sys
import time

import llama_cpp
import llama_cpp.llama_cpp as low
import outlines
from outlines.inputs import Chat
from outlines.types import JsonSchema

path, accelerate, schema, inputs, system = sys.argv[1:6]
inputs = json.loads(inputs)
default = low.llama_model_default_params


def with_same_kernels():
    settings = default()
    settings.use_extra_bufts = accelerate == "1"
    return settings


low.llama_model_default_params = llama_cpp.llama_model_default_params = with_same_kernels
threads = len(os.sched_getaffinity(0))
llama = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
started = time.perf_counter()
generator = outlines.Generator(outlines.from_llamacpp(llama), JsonSchema(schema))
compiled = time.perf_counter() - started


def ask(text):
    chat = Chat([{"role": "system", "content": system}, {"role": "user", "content": text}])
    return generator(chat, max_tokens=128, temperature=0)


def spelled(text):
    return len(llama.tokenize(text.encode(), add_bos=False))


ask(inputs[0])
started = time.perf_counter()
texts = [ask(text) for text in inputs]
seconds = time.perf_counter() - started
print(
    json.dumps(
        {
            "rows_per_second": len(inputs) / seconds,
            "tokens_per_second": sum(map(spelled, texts)) / seconds,
            "compile_seconds": compiled,
            "texts": texts,
            "version": importlib.metadata.version("outlines"),
        }
    )
)
