"""Rows a second of Outlines over llama.cpp on the same weights: path, accelerate, schema, mails, system message."""

import json
import os
import sys
import time

import llama_cpp
import llama_cpp.llama_cpp as low
import outlines
from outlines.inputs import Chat
from outlines.types import JsonSchema

path, accelerate, schema, mails, system = (
    sys.argv[1],
    int(sys.argv[2]),
    sys.argv[3],
    json.loads(sys.argv[4]),
    json.loads(sys.argv[5])[0],
)
default = low.llama_model_default_params


def same():
    settings = default()
    settings.use_extra_bufts = bool(accelerate)
    return settings


low.llama_model_default_params = llama_cpp.llama_model_default_params = same
threads = len(os.sched_getaffinity(0))
llama = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
model = outlines.from_llamacpp(llama)
generator = outlines.Generator(model, JsonSchema(schema))


def ask(mail):
    chat = Chat([{"role": "system", "content": system}, {"role": "user", "content": f"mail:\n{mail}"}])
    return generator(chat, max_tokens=128, temperature=0)


ask(mails[0])
started = time.perf_counter()
for mail in mails:
    ask(mail)
print(
    json.dumps(
        {
            "rows_per_second": len(mails) / (time.perf_counter() - started),
            "version": outlines.__version__ if hasattr(outlines, "__version__") else "",
        }
    )
)
