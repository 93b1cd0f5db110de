"""Is our decoder in torch worth having beside transformers, and how near is it to what the memory gives?

The same weights in the same number format, greedy, in turns: this engine in this process, transformers' `generate` in
its own environment (`make peers`), one batch of one. In float32 the texts must be the same. One row has to read all
weights, so tokens a second cannot exceed bytes a second over bytes of weights; the bench measures that limit too, and
what a tree costs in one pass against its paths one by one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thalweg.eval.benches.peers import peer_python
from thalweg.eval.benchmark import Benchmark, Figure, compare

NAME = "torch.decoder"
PROMPTS = (
    "The Amazon rainforest is the largest rainforest in the world. It covers most of the Amazon basin. " * 9,
    "Question: name three rivers of Europe and the seas they flow into.\nAnswer:",
    "def fibonacci(n):\n    \"\"\"The n-th Fibonacci number.\"\"\"\n",
)  # fmt: skip
Job = dict[str, Any]


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "How fast is our torch decoder against transformers?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    figures: list[Figure] = []
    for dtype in ("float32", "bfloat16"):
        figures += _against_transformers(dtype, threads, repeats=2 if quick else 5, new=16 if quick else 64)
    figures += _tree(threads, repeats=3 if quick else 7)
    return figures


def _against_transformers(dtype: str, threads: int, *, repeats: int, new: int) -> Iterator[Figure]:
    from thalweg.models import load

    scorer = load("torch:smollm2-135m", dtype=dtype, threads=threads, streams=1, context=1024)
    jobs = [{"tokens": scorer.tokenizer.encode(text), "new": new} for text in PROMPTS]
    ours: list[Job] = []
    peers: list[Job] = []
    with tempfile.TemporaryDirectory() as folder, _transformers(scorer.weights, dtype, threads, folder) as peer:
        for turn in range(repeats + 1):
            for job in jobs:
                mine = _write(scorer, **job)
                other = peer(job) if peer else None
                if other and dtype == "float32" and mine["written"] != other["written"]:
                    raise AssertionError(f"float32 texts differ from transformers': {mine} {other}")
                if turn:  # the first warms up
                    ours.append(mine)
                    peers += [other] if other else []
        version = peer.version if peer else ""
    same = sum(a["written"] == b["written"] for a, b in zip(ours, peers, strict=False))
    note = (
        f"transformers {version}, {threads} threads, {same} of {len(peers)} texts identical"
        if peers
        else "transformers is not here (make peers)"
    )
    long = len(jobs[0]["tokens"])
    for figure, key, count, every in (
        ("decode", "step_s", 1, 1),
        (f"prompt of {long} tokens", "first_s", long, len(jobs)),
    ):
        mine, its = [1 / one[key] * count for one in ours[::every]], [1 / one[key] * count for one in peers[::every]]
        value, base = statistics.median(mine), statistics.median(its) if its else None
        ratios = [a / b for a, b in zip(mine, its, strict=True)] if its else []
        spread = f", spread of the ratio {min(ratios):.2f}..{max(ratios):.2f}" if ratios else ""
        ratio = statistics.median(ratios) if ratios else None
        yield Figure(NAME, f"{figure}, {dtype}", value, base, ratio, "tokens/s", len(mine), note + spread)
    limit = _bytes_a_second() / scorer.weights.bytes
    found = statistics.median(1 / one["step_s"] for one in ours)
    yield Figure(NAME, f"limit by memory, {dtype}", found, limit, found / limit, "tokens/s", len(ours),
                 f"{scorer.weights.bytes / 1e6:.0f} MB of weights a token; baseline is the limit")  # fmt: skip
    scorer.free()


def _write(scorer: Any, tokens: list[int], new: int) -> Job:
    """Greedy text of this engine, timed as the peer times its own."""
    from thalweg.models.scorer import Forest

    scorer.close(scorer.open([0]))  # nothing of the prompt is in the cache
    written: list[int] = []
    started = time.perf_counter()
    first = 0.0
    prefix = scorer.open(tokens[:-1])
    token = tokens[-1]
    for _ in range(new):
        forest = Forest()
        node = forest.chain(prefix, [token])
        scores = scorer.score(forest)
        token = int(scores.logits(node).argmax())
        scorer.commit(scores, node)
        written.append(token)
        first = first or time.perf_counter() - started
    step = (time.perf_counter() - started - first) / (new - 1)
    scorer.close(prefix)
    return {"first_s": first, "step_s": step, "written": written}


def _tree(threads: int, *, repeats: int) -> Iterator[Figure]:
    """A tree of three branches a node, four deep (cut at 30 nodes), against its paths one after the other."""
    import numpy as np

    from thalweg.models import load
    from thalweg.models.scorer import Forest

    scorer = load("torch:smollm2-135m", dtype="bfloat16", threads=threads, streams=1, context=1024)
    prefix = scorer.open(scorer.tokenizer.encode(PROMPTS[0]))
    tree = Forest()
    nodes = [tree.add(1000, prefix=prefix)]
    for i in range(1, 30):
        nodes.append(tree.add(1000 + i, parent=nodes[(i - 1) // 3]))
    leaves = tree.leaves()
    chains = []
    for leaf in leaves:
        chain = Forest()
        chain.chain(prefix, [tree.token[node] for node in tree.path(leaf)])
        chains.append((leaf, chain))
    at_once = scorer.score(tree)
    one = scorer.score(chains[0][1])
    apart = float(np.abs(at_once.logits(leaves[0]) - one.logits(len(chains[0][1]) - 1)).max())
    single = Forest()
    single.chain(prefix, [1000])
    measured = compare(
        lambda: scorer.score(tree), lambda: [scorer.score(chain) for _, chain in chains], repeats=repeats
    )
    rows = compare(lambda: scorer.score(tree), lambda: scorer.score(single), repeats=repeats)
    yield Figure(NAME, "tree of 30 nodes in one pass", 1e3 * measured.median_a, 1e3 * measured.median_b, measured.ratio,
                 "ms", repeats, f"bfloat16; baseline its {len(leaves)} paths one by one; logits differ by at most "
                 f"{apart:.3f}; one row costs {1e3 * rows.median_b:.1f} ms")  # fmt: skip
    scorer.free()


def _bytes_a_second() -> float:
    """How fast this machine reads memory that is in no cache: the best of five sums over 256 MB."""
    import torch

    block = torch.ones(64 * 2**20)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        block.sum()
        best = min(best, time.perf_counter() - started)
    return block.nbytes / best


# -- the peer ---------------------------------------------------------------------------------------------------


class _Peer:
    """A process that answers a job a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.version: str = self._answer()["version"]

    def __call__(self, job: Job) -> Job:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Job:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def _transformers(weights: Any, dtype: str, threads: int, folder: str) -> Iterator[_Peer | None]:
    """Transformers over the same weights; None where it is not here."""
    python, script = peer_python(), Path("benchmarks/peers/torch_decoder.py")
    if python is None or not script.exists():
        yield None
        return
    if subprocess.run([str(python), "-c", "import transformers, torch"], capture_output=True, check=False).returncode:
        yield None
        return
    _publish(weights, Path(folder))
    command = [str(python), str(script), folder, dtype, str(threads)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield _Peer(process)
        finally:
            process.terminate()


def _publish(weights: Any, folder: Path) -> None:
    """The weights as transformers reads them: matrices apart, rotated pairs half a head apart."""
    from safetensors.torch import save_file

    c, tensors = weights.config, weights.tensors

    def halves(rows: Any) -> Any:
        return rows.view(-1, c.head_width // 2, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)

    out = {"model.embed_tokens": tensors["embed"], "model.norm": tensors["norm"]}
    for i in range(c.layers):
        mine, its = f"layers.{i}", f"model.layers.{i}"
        sizes = [c.heads * c.head_width, c.kv_heads * c.head_width, c.kv_heads * c.head_width]
        q, k, v = tensors[f"{mine}.qkv"].split(sizes)
        gate, up = tensors[f"{mine}.gate_up"].split(c.ffn)
        for name, tensor in {
            "self_attn.q_proj": halves(q), "self_attn.k_proj": halves(k), "self_attn.v_proj": v,
            "self_attn.o_proj": tensors[f"{mine}.o"], "mlp.gate_proj": gate, "mlp.up_proj": up,
            "mlp.down_proj": tensors[f"{mine}.down"], "input_layernorm": tensors[f"{mine}.norm_attention"],
            "post_attention_layernorm": tensors[f"{mine}.norm_ffn"],
        }.items():  # fmt: skip
            out[f"{its}.{name}"] = tensor
    dtype = weights.tensors["embed"].dtype
    ready = {f"{name}.weight": tensor.to(dtype).clone().contiguous() for name, tensor in out.items()}
    save_file(ready, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": c.width,
        "intermediate_size": c.ffn, "num_hidden_layers": c.layers, "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads, "head_dim": c.head_width, "vocab_size": c.vocabulary,
        "max_position_embeddings": c.context, "rms_norm_eps": c.eps, "rope_theta": c.rope_base,
        "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
