"""Transformers' `generate` over a folder of weights: FOLDER DTYPE THREADS. Answers a line of JSON for each line read.

Read: {"tokens": [...], "new": n}. Answered: seconds until the first token, seconds a token after it, the tokens.
"""

import json
import sys
import time

import torch
import transformers

folder, dtype, threads = sys.argv[1:4]
torch.set_num_threads(int(threads))
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
model.generation_config.eos_token_id = None  # texts of a given length, whatever is written


def generate(tokens: torch.Tensor, new: int) -> tuple[float, list[int]]:
    started = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
        )
    return time.perf_counter() - started, out[0, tokens.shape[1] :].tolist()


print(json.dumps({"version": transformers.__version__}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    tokens = torch.tensor([job["tokens"]])
    first, _ = generate(tokens, 1)
    all_of_it, written = generate(tokens, job["new"])
    step = (all_of_it - first) / (job["new"] - 1)
    print(json.dumps({"first_s": first, "step_s": step, "written": written}), flush=True)
