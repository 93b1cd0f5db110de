"""llama-cpp-python's own prompt lookup: MODEL.gguf THREADS. Answers a line of JSON for each line read.

Read: {"tokens": [...], "new": n, "guess": bool}. Answered: {"seconds": s, "written": [...]} of greedy decoding, the
prompt's reading left out.
"""

import json
import sys
import time

import llama_cpp
from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

path, threads = sys.argv[1:3]
common = {
    "model_path": path, "n_ctx": 1024, "n_threads": int(threads), "n_threads_batch": int(threads), "verbose": False,
}  # fmt: skip
models = {
    True: llama_cpp.Llama(draft_model=LlamaPromptLookupDecoding(num_pred_tokens=10), logits_all=True, **common),
    False: llama_cpp.Llama(**common),
}
print(json.dumps({"version": llama_cpp.__version__}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    model = models[job["guess"]]
    written: list[int] = []
    started = time.perf_counter()
    for token in model.generate(job["tokens"], temp=0.0, repeat_penalty=1.0, reset=True):
        if not written:
            started = time.perf_counter()  # the first token ends the prompt's reading
        written.append(token)
        if token == model.token_eos() or len(written) == job["new"]:
            break
    print(json.dumps({"seconds": time.perf_counter() - started, "written": written}), flush=True)
