"""Rows a second of Outlines over llama.cpp on the same weights.

Arguments: path of the weights, accelerate (0 or 1), JSON schema, mails (JSON list), system message (JSON list of one).
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

path, accelerate, schema, mails, system = sys.argv[1:6]
mails, system = json.loads(mails), json.loads(system)[0]
default = low.llama_model_default_params


def with_same_kernels():
    settings = default()
    settings.use_extra_bufts = accelerate == "1"
    return settings


low.llama_model_default_params = llama_cpp.llama_model_default_params = with_same_kernels
threads = len(os.sched_getaffinity(0))
llama = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
generator = outlines.Generator(outlines.from_llamacpp(llama), JsonSchema(schema))


def ask(mail):
    chat = Chat([{"role": "system", "content": system}, {"role": "user", "content": f"mail:\n{mail}"}])
    return generator(chat, max_tokens=128, temperature=0)


def is_valid(text):
    try:
        return set(json.loads(text)) == set(json.loads(schema)["required"])
    except ValueError:
        return False


ask(mails[0])
started = time.perf_counter()
texts = [ask(mail) for mail in mails]
seconds = time.perf_counter() - started
print(
    json.dumps(
        {
            "rows_per_second": len(mails) / seconds,
            "valid": sum(map(is_valid, texts)),
            "n": len(mails),
            "version": importlib.metadata.version("outlines"),
        }
    )
)
