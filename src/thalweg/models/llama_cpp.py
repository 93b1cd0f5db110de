"""llama.cpp behind the `Scorer` interface, through llama-cpp-python's low-level functions.

Each prefix lives in a lane of its own (one KV stream a sequence, `kv_unified=False`), with flash attention off. That
layout was chosen by measuring: with Q8_0 weights the logits of a row are then bit-equal whoever shares the batch and
however the prompt was cut into chunks (0.0 over 2..32 lanes and chunks of 2..320 rows), where flash attention and a
shared cache move them by 0.4 to 1.0. One exception remains: a row that is alone in its lane takes another attention
kernel than rows that come two or more at a time. So prompts are always computed in chunks of two or more rows, steps
of generation alone, and `uniform` scoring pads a lone row with one that is thrown away.

Source: llama.cpp (Gerganov and contributors, 2023-). Cost: a copy of a lane is one memcpy of its KV stream.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import llama_cpp
import numpy as np

from thalweg.errors import ContextOverflow, ModelError, UnsupportedByBackend
from thalweg.models.bounds import all_in_use, check_room, check_tokens, common
from thalweg.models.cost import seconds
from thalweg.models.llama_batch import JUNK_ROWS, Batch, padded, pieces
from thalweg.models.llama_probe import LlamaProbe
from thalweg.models.request import Capabilities
from thalweg.models.scorer import Forest, Logits, Prefix, Probed, Scores
from thalweg.models.weights import Weights

COPY_PAYS_FROM = 12  # tokens: copying a lane costs about as much as computing this many
JUNK_LANES = 3  # a pass over lanes 1 and 5 is split in two unless the lanes between get a row that is thrown away
RESERVED = JUNK_ROWS + 1  # cells of a lane that stay free for padding: a lone row becomes two before


@dataclass(eq=False)
class _Lane:
    """One KV stream. `tokens` are the cells it holds; the first `prompt` of them were computed as a prompt is."""

    index: int
    tokens: list[int] = field(default_factory=list)
    prompt: int = 0
    owner: Prefix | None = None
    used: int = 0
    partition: str = ""
    scored: list[int] = field(default_factory=list)  # nodes of the last scored path, lying behind `tokens`
    forest: Forest | None = None  # the one `scored` belongs to


@dataclass
class _Chain:
    """Rows to compute at the end of one lane."""

    lane: _Lane
    start: int
    tokens: list[int]
    nodes: list[int]  # forest node of each row, -1 where no logits are wanted


class LlamaCpp:
    """A GGUF model as a `Scorer`. One caller at a time.

    Args:
        path: the GGUF file.
        name: how users call it.
        identity: what makes its answers its own (weights digest and format); part of cache keys.
        streams: prefixes that can be open at once (KV memory grows with it).
        context: tokens a prefix may hold; 0 takes what the model was trained for.
        threads: CPU threads; default all cores this process may use.
        accelerate: let the engine repack weights for matrix instructions (AMX and the like). Only after
            `thalweg models prepare` found that it works: one release faults on it when built by GCC 12.
        exact_rows: what was measured for this file on this machine (see `Capabilities`).
        weights: already loaded weights of this file, to share (see `replica`).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "",
        identity: str = "",
        streams: int = 16,
        context: int = 2048,
        threads: int | None = None,
        accelerate: bool = False,
        exact_rows: int = 0,
        weights: Weights | None = None,
    ) -> None:
        if not 1 <= streams <= llama_cpp.llama_max_parallel_sequences():
            most = llama_cpp.llama_max_parallel_sequences()
            raise ModelError(f"streams={streams} is out of range.", f"Choose 1 to {most}.")
        self.path = os.fspath(path)
        self.name, self.identity = name or os.path.basename(self.path), identity or self.path
        self.weights = weights or Weights(self.path, accelerate=accelerate)
        self._model: Any = self.weights.model
        self.context = min(context or self.weights.trained_context, self.weights.trained_context)
        self.threads = threads or len(os.sched_getaffinity(0))
        self._context: Any = self._new_context(streams)
        self._memory: Any = llama_cpp.llama_get_memory(self._context)
        self.tokenizer = self.weights.vocabulary
        self._lanes = [_Lane(i) for i in range(streams)]
        self._batch = Batch(max(2048, 4 * streams))
        self._clock = 0
        self._thread: ThreadPoolExecutor | None = None
        self.capabilities = Capabilities(
            constraints="exact",
            logits="full",
            branching="replicate",
            max_leaves=64,
            max_rows=512,
            exact_rows=exact_rows,
            probe=True,
            speculation="close",
            snapshot=True,
            context=self.context,
            streams=streams,
        )

    def _new_context(self, streams: int) -> Any:
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = self.context * streams
        settings.n_batch = settings.n_ubatch = 512
        settings.n_seq_max = streams
        settings.kv_unified = False
        settings.flash_attn_type = 0
        settings.n_threads = settings.n_threads_batch = self.threads
        settings.no_perf = True
        context = llama_cpp.llama_init_from_model(self._model, settings)
        if not context:
            raise ModelError(
                f"llama.cpp could not make a context of {streams} x {self.context} tokens for {self.name}.",
                "Lower `streams` or `context`: memory for keys and values grows with both.",
            )
        return context

    def replica(self) -> LlamaCpp:
        """Another scorer over the same weights, with a cache of its own."""
        return LlamaCpp(
            self.path,
            name=self.name,
            identity=self.identity,
            streams=len(self._lanes),
            context=self.context,
            threads=self.threads,
            exact_rows=self.capabilities.exact_rows,
            weights=self.weights.share(),
        )

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on; results do not depend on it."""
        if threads != self.threads:
            self.threads = threads
            llama_cpp.llama_set_n_threads(self._context, threads, threads)

    def free(self) -> None:
        """Release weights and cache."""
        if self._context:
            if self._thread is not None:
                self._thread.shutdown()
            llama_cpp.llama_free(self._context)
            if "prober" in self.__dict__:
                self.prober.free()
            self.weights.release()
            self._context = self._model = None
            for lane in self._lanes:
                if lane.owner is not None:
                    lane.owner.lane = -1
                lane.owner = None

    # -- prefixes ---------------------------------------------------------------------------------------------

    def open(self, tokens: Sequence[int], partition: str = "") -> Prefix:
        if not self._context:
            raise ModelError(f"{self.name} is closed.", "Load the model again.")
        tokens = list(tokens)
        check_tokens(tokens, self.tokenizer.size)
        if not tokens:
            raise ValueError("a prefix has at least one token")
        check_room(self.name, self.context, 0, len(tokens), reserved=RESERVED)
        lane, cached = self._lane_for(tokens, partition)
        # A lone row would take another kernel than the rest of a prompt: compute two.
        if len(tokens) - cached == 1 and cached > 0:
            cached -= 1
        self._cut(lane, cached)
        prefix = Prefix(tokens, lane.index, cached)
        lane.owner, lane.partition = prefix, partition
        try:
            self._append_prompt(lane, tokens[cached:])
        except ModelError:
            self.close(prefix)
            raise
        return prefix

    def extend(self, prefix: Prefix, tokens: Sequence[int]) -> Prefix:
        lane = self._lane(prefix)
        tokens = list(tokens)
        check_tokens(tokens, self.tokenizer.size)
        check_room(self.name, self.context, len(prefix.tokens), len(tokens), reserved=RESERVED)
        self._cut(lane, len(prefix.tokens))
        self._append_prompt(lane, tokens)
        prefix.tokens.extend(tokens)
        return prefix

    def fork(self, prefix: Prefix) -> Prefix:
        source = self._lane(prefix)
        target = self._victim()
        self._copy(source, target, len(prefix.tokens))
        target.partition = source.partition
        twin = Prefix(list(prefix.tokens), target.index, len(prefix.tokens))
        target.owner = twin
        return twin

    def truncate(self, prefix: Prefix, length: int) -> Prefix:
        if not 1 <= length <= len(prefix.tokens):
            raise ValueError(f"cannot keep {length} of {len(prefix.tokens)} tokens")
        self._cut(self._lane(prefix), length)
        del prefix.tokens[length:]
        return prefix

    def close(self, prefix: Prefix) -> None:
        lane = self._lane(prefix)
        self._cut(lane, min(lane.prompt, len(lane.tokens)))
        lane.owner = None
        prefix.lane = -1

    @property
    def free_lanes(self) -> int:
        return sum(lane.owner is None for lane in self._lanes)

    # -- scoring ----------------------------------------------------------------------------------------------

    def score(self, forest: Forest) -> Scores:
        started = time.perf_counter()
        if forest.hidden:
            raise UnsupportedByBackend("llama.cpp gives no hidden states here.", 'Load the model as "torch:NAME".')
        check_tokens(forest.token, self.tokenizer.size)
        rounds = self._rounds(forest)
        # Several paths of one prefix are compared with each other: compute them all the same way.
        uniform = {id(forest.prefixes[i]) for i in forest.uniform}
        if len(rounds) > 1:
            uniform |= {id(prefix) for _, prefix, _ in rounds[1]}
        logits: dict[int, Logits] = {}
        rows = 0
        for paths in rounds:
            lone, many = [], []
            for lane, prefix, path in paths:
                shared = 0
                while shared < min(len(lane.scored), len(path)) and lane.scored[shared] == path[shared]:
                    shared += 1
                base = len(prefix.tokens)
                check_room(self.name, self.context, base, len(path), reserved=RESERVED)
                self._cut(lane, base + shared, keep_scored=shared)
                fresh = path[shared:]
                chain = _Chain(
                    lane,
                    base + shared,
                    [forest.token[node] for node in fresh],
                    [node if forest.want[node] and node not in logits else -1 for node in fresh],
                )
                (many if len(fresh) > 1 or id(prefix) in uniform else lone).append(chain)
            for chains, width in ((lone, 1), (many, 2)):
                if chains:
                    rows += self._compute(chains, width, logits)
            for lane, _, path in paths:
                lane.scored, lane.forest = path, forest
        return Scores(forest, rows, time.perf_counter() - started, logits)

    def submit(self, forest: Forest) -> Future[Scores]:
        """`score` on a thread of the scorer's own; one forest at a time."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"scorer {self.name}")
        return self._thread.submit(self.score, forest)

    def cost(self, rows: int, length: int = 256) -> float:
        """Seconds one pass over `rows` rows of one prefix takes here: measured once, then interpolated."""
        return seconds(self, rows)

    def commit(self, scores: Scores, node: int) -> Prefix:
        path = scores.forest.path(node)
        prefix = scores.forest.prefix_of(node)
        lane = self._lane(prefix)
        tokens = [scores.forest.token[i] for i in path]
        if lane.forest is scores.forest and lane.scored[: len(path)] == path:
            length = len(prefix.tokens) + len(path)
            self._cut(lane, length, keep_scored=len(path))
            lane.tokens.extend(tokens)
            lane.scored = []
            prefix.tokens.extend(tokens)
            return prefix
        # Another path of the same prefix was scored last: its cells are gone, compute these again, the same way.
        self._cut(lane, len(prefix.tokens))
        rows = [_Chain(lane, len(prefix.tokens), tokens, [-1] * len(tokens))]
        self._compute(rows, 2 if len(tokens) > 1 or self._is_uniform(scores.forest, prefix) else 1, {})
        lane.tokens.extend(tokens)
        prefix.tokens.extend(tokens)
        return prefix

    def _is_uniform(self, forest: Forest, prefix: Prefix) -> bool:
        """Whether `score` computed a lone row of this prefix as one of two."""
        leaves = [node for node in forest.leaves() if forest.prefix_of(node) is prefix]
        return len(leaves) > 1 or any(forest.prefixes[i] is prefix for i in forest.uniform)

    def _rounds(self, forest: Forest) -> list[list[tuple[_Lane, Prefix, list[int]]]]:
        """Root-to-leaf paths, at most one per prefix a round; deeper common beginnings next to each other."""
        by_prefix: dict[int, list[list[int]]] = {}
        for leaf in forest.leaves():
            path = forest.path(leaf)
            by_prefix.setdefault(forest.root[path[0]], []).append(path)
        rounds: list[list[tuple[_Lane, Prefix, list[int]]]] = []
        for index, paths in by_prefix.items():
            prefix = forest.prefixes[index]
            lane = self._lane(prefix)
            self._cut(lane, len(prefix.tokens))
            for i, path in enumerate(sorted(paths)):
                if i == len(rounds):
                    rounds.append([])
                rounds[i].append((lane, prefix, path))
        return rounds

    def _compute(self, chains: list[_Chain], width: int, logits: dict[int, Logits]) -> int:
        """Run the chains through the engine and collect wanted logits. Returns rows computed."""
        chains.sort(key=lambda chain: chain.lane.index)
        if width == 1:
            lengths = [1] * len(chains)
        else:
            lengths = padded([len(chain.tokens) for chain in chains])
            if sum(lengths) > 480:  # the engine would cut such a pass where it likes
                return (
                    sum(self._compute([chain], width, logits) for chain in chains)
                    if len(chains) > 1
                    else (self._compute_long(chains[0], logits))
                )
        batch, total, gaps = self._batch, 0, []
        batch.clear()
        wanted: list[tuple[int, int]] = []
        previous = chains[0].lane.index - 1
        for chain, length in zip(chains, lengths, strict=True):
            lane = chain.lane
            if width == 1 and 0 < lane.index - previous - 1 <= JUNK_LANES:
                for gap in self._lanes[previous + 1 : lane.index]:
                    if len(gap.tokens) + len(gap.scored) < self.context - 1:
                        batch.add(0, self._filled(gap), gap.index, False)
                        gaps.append(gap)
                        total += 1
            previous = lane.index
            for i in range(length):
                real = i < len(chain.tokens)
                node = chain.nodes[i] if real else -1
                if node >= 0:
                    wanted.append((node, batch.count))
                batch.add(chain.tokens[i] if real else 0, chain.start + i, lane.index, node >= 0)
            total += length
        self._decode()
        for gap in gaps:
            llama_cpp.llama_memory_seq_rm(self._memory, gap.index, self._filled(gap), -1)
        for chain, length in zip(chains, lengths, strict=True):
            if length > len(chain.tokens):
                llama_cpp.llama_memory_seq_rm(self._memory, chain.lane.index, chain.start + len(chain.tokens), -1)
        self._collect(wanted, logits)
        return total

    def _compute_long(self, chain: _Chain, logits: dict[int, Logits]) -> int:
        done = 0
        for size in pieces(len(chain.tokens)):
            self._batch.clear()
            wanted = []
            for i in range(done, done + size):
                if chain.nodes[i] >= 0:
                    wanted.append((chain.nodes[i], self._batch.count))
                self._batch.add(chain.tokens[i], chain.start + i, chain.lane.index, chain.nodes[i] >= 0)
            self._decode()
            self._collect(wanted, logits)
            done += size
        return done

    def _collect(self, wanted: list[tuple[int, int]], logits: dict[int, Logits]) -> None:
        for node, row in wanted:
            pointer = llama_cpp.llama_get_logits_ith(self._context, row)
            logits[node] = np.ctypeslib.as_array(pointer, (self.tokenizer.size,)).copy()

    def _append_prompt(self, lane: _Lane, tokens: list[int]) -> None:
        start = len(lane.tokens)
        done = 0
        for size in pieces(len(tokens)):
            self._batch.clear()
            for i in range(done, done + size):
                self._batch.add(tokens[i], start + i, lane.index, False)
            if size == 1 and start > 0:  # a lone row would take another kernel: compute two, drop the second
                self._batch.add(0, start + 1, lane.index, False)
            self._decode()
            done += size
            if self._batch.count > size:
                llama_cpp.llama_memory_seq_rm(self._memory, lane.index, start + size, -1)
        if lane.prompt == start:
            lane.prompt = start + len(tokens)
        lane.tokens.extend(tokens)

    def _decode(self) -> None:
        code = llama_cpp.llama_decode(self._context, self._batch.struct())
        if code == 0:
            return
        for lane in self._lanes:  # whatever was half done is taken back: lanes hold what we know of
            llama_cpp.llama_memory_seq_rm(self._memory, lane.index, len(lane.tokens), -1)
            lane.scored = []
        if code == 1:
            raise ContextOverflow(
                f"{self.name}: no free cells for {self._batch.count} rows in lanes of {self.context} tokens.",
                "Shorten the prompt, or load the model with a larger `context`.",
            )
        reasons = {2: "the computation was aborted", -1: "the batch was invalid"}
        raise ModelError(
            f"{self.name}: llama.cpp returned {code} ({reasons.get(code, 'a fatal engine error')}).",
            "Try again with fewer `streams`; THALWEG_ENGINE_LOG=1 prints the engine's messages.",
        )

    # -- probing ----------------------------------------------------------------------------------------------

    @cached_property
    def prober(self) -> LlamaProbe:
        """Looks into early layers, in a context of its own; several layers at a time with its `several`."""
        return LlamaProbe(self.weights, self.name)

    def probe(self, tokens: Sequence[int], layer: int) -> Probed:
        """The last queries and all keys of one layer, without the layers above it. Any thread may ask."""
        return self.prober(tokens, layer, self.threads)

    # -- lanes ------------------------------------------------------------------------------------------------

    def _filled(self, lane: _Lane) -> int:
        return len(lane.tokens) + len(lane.scored)

    def _cut(self, lane: _Lane, length: int, *, keep_scored: int = 0) -> None:
        """Keep the first `length` cells; the last `keep_scored` of them are scored, not committed."""
        if length < self._filled(lane):
            llama_cpp.llama_memory_seq_rm(self._memory, lane.index, length, -1)
        del lane.tokens[length - keep_scored :]
        lane.prompt = min(lane.prompt, len(lane.tokens))
        lane.scored = lane.scored[:keep_scored]

    def _copy(self, source: _Lane, target: _Lane, length: int) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, target.index, -1, -1)
        llama_cpp.llama_memory_seq_cp(self._memory, source.index, target.index, -1, -1)
        llama_cpp.llama_memory_seq_rm(self._memory, target.index, length, -1)
        target.tokens, target.scored = source.tokens[:length], []
        target.prompt = min(source.prompt, length)

    def _lane_for(self, tokens: list[int], partition: str) -> tuple[_Lane, int]:
        """A lane to put `tokens` in, and how many of them it already holds."""
        shared = [
            common(lane.tokens[: lane.prompt], tokens) if lane.partition == partition else 0 for lane in self._lanes
        ]
        best = max(range(len(shared)), key=lambda i: shared[i])
        lane = self._victim(prefer=shared)
        if shared[best] >= shared[lane.index] + COPY_PAYS_FROM:
            self._copy(self._lanes[best], lane, shared[best])
            return lane, shared[best]
        return lane, shared[lane.index]

    def _victim(self, prefer: list[int] | None = None) -> _Lane:
        idle = [lane for lane in self._lanes if lane.owner is None]
        if not idle:
            raise all_in_use(self.name, len(self._lanes))
        self._clock += 1
        lane = min(idle, key=lambda lane: (-(prefer[lane.index] if prefer else 0), lane.used))
        lane.used = self._clock
        return lane

    def _lane(self, prefix: Prefix) -> _Lane:
        if not 0 <= prefix.lane < len(self._lanes) or self._lanes[prefix.lane].owner is not prefix:
            raise ValueError("this prefix is closed, or belongs to another model")
        return self._lanes[prefix.lane]
