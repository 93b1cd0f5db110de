"""llama.cpp laid out for trees: one pass scores a whole tree of guesses, bit for bit as if token by token.

Each prefix has a context of its own with one unified cache and flash attention. A row of the cache belongs to every
path through it (its sequence ids), so a tree needs no kernel of its own. Measured with Q8_0 weights (`exact_rows` says
it of others): every row of a pass of 1 to 63 rows has the logits of a pass of its own, in trees too (difference 0.0),
because the attention kernel adds up the cells of a row in the order of the cache and skips masked ones; from 64 rows
another kernel is taken. So passes have at most 63 rows, also those that read prompts, and cells stay in the order of
the tokens: what is accepted off the tree's first path is computed again at the head of the next pass.

Choose it (``load("tree:NAME")``) for one or few answers at a time with a drafter; `LlamaCpp` serves many at once.
Source: llama.cpp (Gerganov and contributors, 2023-). Cost on a CPU: one row reads the weights once; two to four rows
cost about three, sixteen about seven times as much.
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
from numpy.typing import NDArray

from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.bounds import all_in_use, check_room, check_tokens, common
from thalweg.models.cost import seconds
from thalweg.models.llama_probe import LlamaProbe
from thalweg.models.request import Capabilities
from thalweg.models.scorer import SOFT, Forest, Logits, Prefix, Probed, Scores
from thalweg.models.tree_batch import TreeBatch
from thalweg.models.weights import Weights

ROWS = 63  # of one pass: from 64 on the engine takes another attention kernel
PATHS = 62  # of one pass; sequence 0 is the prefix with the tree's first path
GUESSES = ROWS + 1  # cells a context has beyond its tokens, so that guesses never shorten an answer
RESERVED = 4  # tokens of a context that no prefix takes, as in the other layout


@dataclass(eq=False)
class _Trunk:
    """One context with one prefix. `cells` are the tokens whose keys and values it holds, in order."""

    index: int
    context: Any = None
    cells: list[int] = field(default_factory=list)
    owner: Prefix | None = None
    used: int = 0
    partition: str = ""
    first: list[int] = field(default_factory=list)  # nodes of the scored tree's first path, lying behind `cells`
    forest: Forest | None = None


class LlamaTree:
    """A GGUF model as a `Scorer` whose trees cost one pass. One caller at a time.

    Args:
        path, name, identity, context, threads, accelerate, weights: as for `LlamaCpp`.
        streams: prefixes that can be open at once, a context each (made when first used).
        exact_rows: largest pass that was found bit-equal to single rows on this machine (see `measured_exact_rows`).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "",
        identity: str = "",
        streams: int = 4,
        context: int = 2048,
        threads: int | None = None,
        accelerate: bool = False,
        exact_rows: int = ROWS,
        weights: Weights | None = None,
    ) -> None:
        if streams < 1:
            raise ModelError(f"streams={streams} is out of range.", "Choose 1 or more.")
        self.path = os.fspath(path)
        self.name, self.identity = name or os.path.basename(self.path), identity or f"{self.path}+tree"
        self.weights = weights or Weights(self.path, accelerate=accelerate)
        self.context = min(context or self.weights.trained_context, self.weights.trained_context)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.tokenizer = self.weights.vocabulary
        self._trunks = [_Trunk(i) for i in range(streams)]
        self._batch = TreeBatch(ROWS + 1, PATHS + 2)
        self._clock = 0
        self._closed = False
        self.capabilities = Capabilities(
            constraints="exact",
            logits="full",
            branching="mask",
            soft_tokens=True,
            probe=True,
            max_leaves=PATHS,
            max_rows=ROWS,
            exact_rows=exact_rows,
            speculation="exact" if exact_rows >= ROWS else "close",
            snapshot=True,
            context=self.context,
            streams=streams,
        )

    def replica(self) -> LlamaTree:
        return LlamaTree(
            self.path,
            name=self.name,
            identity=self.identity,
            streams=len(self._trunks),
            context=self.context,
            threads=self.threads,
            exact_rows=self.capabilities.exact_rows,
            weights=self.weights.share(),
        )

    def use_threads(self, threads: int) -> None:
        if threads != self.threads:
            self.threads = threads
            for trunk in self._trunks:
                if trunk.context:
                    llama_cpp.llama_set_n_threads(trunk.context, threads, threads)

    def free(self) -> None:
        if self._closed:
            return
        self._closed = True
        if "_thread" in self.__dict__:
            self._thread.shutdown(wait=True)
        for trunk in self._trunks:
            if trunk.context:
                llama_cpp.llama_free(trunk.context)
                trunk.context = None
            if trunk.owner is not None:
                trunk.owner.lane = -1
                trunk.owner = None
        if "prober" in self.__dict__:
            self.prober.free()
        self.weights.release()

    # -- prefixes ---------------------------------------------------------------------------------------------

    @property
    def free_lanes(self) -> int:
        return sum(trunk.owner is None for trunk in self._trunks)

    def open(self, tokens: Sequence[int], partition: str = "") -> Prefix:
        tokens = list(tokens)
        check_tokens(tokens, self.tokenizer.size)
        if not tokens:
            raise ValueError("a prefix has at least one token")
        check_room(self.name, self.context, 0, len(tokens), reserved=RESERVED)
        trunk = self._victim(tokens, partition)
        cached = _shared(trunk, tokens, partition)
        self._cut(trunk, cached)
        prefix = Prefix(tokens, trunk.index, cached)
        trunk.owner, trunk.partition = prefix, partition
        try:
            self._append(trunk, tokens[cached:])
        except ModelError:
            self.close(prefix)
            raise
        return prefix

    def extend(self, prefix: Prefix, tokens: Sequence[int]) -> Prefix:
        trunk = self._trunk(prefix)
        tokens = list(tokens)
        check_tokens(tokens, self.tokenizer.size)
        check_room(self.name, self.context, len(prefix.tokens), len(tokens), reserved=RESERVED)
        self._settle(trunk)
        self._append(trunk, tokens)
        prefix.tokens.extend(tokens)
        return prefix

    def fork(self, prefix: Prefix) -> Prefix:
        trunk = self._trunk(prefix)
        self._settle(trunk)
        twin = self.open(prefix.tokens, trunk.partition)
        twin.cached = len(twin.tokens)
        return twin

    def truncate(self, prefix: Prefix, length: int) -> Prefix:
        if not 1 <= length <= len(prefix.tokens):
            raise ValueError(f"cannot keep {length} of {len(prefix.tokens)} tokens")
        trunk = self._trunk(prefix)
        self._drop(trunk)
        self._cut(trunk, min(length, len(trunk.cells)))
        del prefix.tokens[length:]
        return prefix

    def close(self, prefix: Prefix) -> None:
        trunk = self._trunk(prefix)
        self._drop(trunk)
        trunk.owner = None
        prefix.lane = -1

    # -- scoring ----------------------------------------------------------------------------------------------

    def score(self, forest: Forest) -> Scores:
        started = time.perf_counter()
        check_tokens([token for token in forest.token if token != SOFT], self.tokenizer.size)
        if forest.hidden:
            raise ModelError("This engine gives no hidden states.", 'Use the torch engine: load("torch:NAME").')
        children: dict[int, list[int]] = {}
        roots: dict[int, list[int]] = {}
        for node, parent in enumerate(forest.parent):
            if parent < 0:
                roots.setdefault(forest.root[node], []).append(node)
            else:
                children.setdefault(parent, []).append(node)
        logits: dict[int, Logits] = {}
        rows = 0
        for index, tops in roots.items():
            rows += self._score_tree(forest, forest.prefixes[index], tops, children, logits)
        return Scores(forest, rows, time.perf_counter() - started, logits)

    def submit(self, forest: Forest) -> Future[Scores]:
        return self._thread.submit(self.score, forest)

    def cost(self, rows: int, length: int = 256) -> float:
        return seconds(self, rows)

    @cached_property
    def prober(self) -> LlamaProbe:
        """Looks into early layers, in a context of its own."""
        return LlamaProbe(self.weights, self.name)

    def probe(self, tokens: Sequence[int], layer: int) -> Probed:
        return self.prober(tokens, layer, self.threads)

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix=f"scorer {self.name}")

    def commit(self, scores: Scores, node: int) -> Prefix:
        forest = scores.forest
        path = forest.path(node)
        tokens = [forest.token[i] for i in path]
        if SOFT in tokens:
            raise ValueError("a path with soft tokens cannot be kept")
        prefix = forest.prefix_of(node)
        trunk = self._trunk(prefix)
        kept = 0
        if trunk.forest is forest:
            while kept < min(len(trunk.first), len(path)) and trunk.first[kept] == path[kept]:
                kept += 1
            trunk.cells += tokens[:kept]
            trunk.first = trunk.first[kept:]
            self._drop(trunk)
        prefix.tokens.extend(tokens)  # what has no cell yet is computed with the next tree
        return prefix

    def _score_tree(
        self, forest: Forest, prefix: Prefix, tops: list[int], children: dict[int, list[int]], logits: dict[int, Logits]
    ) -> int:
        """One prefix's tree, as few passes as its size allows. Returns rows computed."""
        trunk = self._trunk(prefix)
        self._drop(trunk)
        order, leaves = _depth_first(tops, children)
        depth: dict[int, int] = {}
        for node in order:
            depth[node] = depth.get(forest.parent[node], -1) + 1
        base = len(prefix.tokens)
        check_room(self.name, self.context, base, max(depth.values()) + 1, reserved=RESERVED)
        pending = prefix.tokens[len(trunk.cells) :]
        if len(pending) + len(order) > self.context + GUESSES - len(trunk.cells):
            raise ContextOverflow(
                f"A tree of {len(order)} tokens does not fit behind {base} tokens of {self.context} in {self.name}.",
                "Score a smaller tree, or load the model with a larger `context`.",
            )
        rows = 0
        for first in range(0, len(leaves), PATHS):
            group = leaves[first : first + PATHS]
            paths: dict[int, list[int]] = {}
            for i, leaf in enumerate(group):
                node = leaf
                while node >= 0:
                    paths.setdefault(node, []).append(i)
                    node = forest.parent[node]
            for i in range(1, len(group)):
                llama_cpp.llama_memory_seq_cp(self._memory(trunk), 0, i, -1, -1)
            todo = [(-1, token, len(trunk.cells) + i, range(len(group)), False) for i, token in enumerate(pending)]
            todo += [
                (node, forest.token[node], base + depth[node], paths[node], forest.want[node] and node not in logits)
                for node in order
                if node in paths
            ]
            for start in range(0, len(todo), ROWS):
                rows += self._pass(trunk, todo[start : start + ROWS], forest, logits)
            trunk.cells += pending
            pending = []
            node_path = forest.path(group[0])
            trunk.first, trunk.forest = node_path, forest
            for i in range(1, len(group)):
                llama_cpp.llama_memory_seq_rm(self._memory(trunk), i, -1, -1)
            if first + PATHS < len(leaves):
                self._drop(trunk)
        return rows

    def _pass(self, trunk: _Trunk, todo: list[Any], forest: Forest, logits: dict[int, Logits]) -> int:
        soft = None
        if any(token == SOFT for _, token, *_ in todo):
            soft = np.stack(
                [forest.soft[node] if token == SOFT else self._embeddings[token] for node, token, *_ in todo]
            )
        tokens, positions = [row[1] for row in todo], [row[2] for row in todo]
        struct = self._batch.fill(tokens, positions, [row[3] for row in todo], [row[4] for row in todo], soft)
        self._decode(trunk, struct)
        for i, (node, _, _, _, want) in enumerate(todo):
            if want:
                pointer = llama_cpp.llama_get_logits_ith(trunk.context, i)
                logits[node] = np.ctypeslib.as_array(pointer, (self.tokenizer.size,)).copy()
        return len(todo)

    def embed(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The embedding rows of tokens, float32 [n, width]: what soft tokens hold."""
        return self._embeddings[list(tokens)]

    @cached_property
    def _embeddings(self) -> NDArray[np.float32]:
        from thalweg.models.gguf import embeddings

        return embeddings(self.path)

    # -- cells ------------------------------------------------------------------------------------------------

    def _append(self, trunk: _Trunk, tokens: list[int]) -> None:
        for start in range(0, len(tokens), ROWS):
            piece = tokens[start : start + ROWS]
            at = len(trunk.cells)
            struct = self._batch.fill(piece, range(at, at + len(piece)), [(0,)] * len(piece), [False] * len(piece))
            self._decode(trunk, struct)
            trunk.cells += piece

    def _settle(self, trunk: _Trunk) -> None:
        """Drop what was scored, and compute accepted tokens that have no cells yet."""
        self._drop(trunk)
        assert trunk.owner is not None
        self._append(trunk, trunk.owner.tokens[len(trunk.cells) :])

    def _drop(self, trunk: _Trunk) -> None:
        """Forget scored rows that were not kept."""
        if trunk.forest is not None:
            trunk.forest, trunk.first = None, []
            llama_cpp.llama_memory_seq_rm(self._memory(trunk), 0, len(trunk.cells), -1)

    def _cut(self, trunk: _Trunk, length: int) -> None:
        if length < len(trunk.cells):
            llama_cpp.llama_memory_seq_rm(self._memory(trunk), 0, length, -1)
            del trunk.cells[length:]

    def _decode(self, trunk: _Trunk, struct: Any) -> None:
        code = llama_cpp.llama_decode(trunk.context, struct)
        if code == 0:
            return
        llama_cpp.llama_memory_clear(self._memory(trunk), False)  # what was half done is unknown: compute it anew
        trunk.cells, trunk.first, trunk.forest = [], [], None
        raise ModelError(
            f"{self.name}: llama.cpp returned {code} for a pass of {self._batch.count} rows.",
            "Shorten the prompt or load the model with a larger `context`; THALWEG_ENGINE_LOG=1 prints its messages.",
        )

    def _memory(self, trunk: _Trunk) -> Any:
        return llama_cpp.llama_get_memory(trunk.context)

    def _victim(self, tokens: list[int], partition: str) -> _Trunk:
        if self._closed:
            raise ModelError(f"{self.name} is closed.", "Load the model again.")
        idle = [trunk for trunk in self._trunks if trunk.owner is None]
        if not idle:
            raise all_in_use(self.name, len(self._trunks))
        self._clock += 1
        trunk = max(idle, key=lambda trunk: (_shared(trunk, tokens, partition), trunk.context is not None, -trunk.used))
        trunk.used = self._clock
        if trunk.context is None:
            trunk.context = self._new_context()
        return trunk

    def _new_context(self) -> Any:
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = self.context + GUESSES
        settings.n_batch = settings.n_ubatch = 64
        settings.n_seq_max = PATHS + 1
        settings.kv_unified = True
        settings.flash_attn_type = 1
        settings.n_threads = settings.n_threads_batch = self.threads
        settings.no_perf = True
        context = llama_cpp.llama_init_from_model(self.weights.model, settings)
        if not context:
            what = f"llama.cpp could not make a context of {self.context} tokens for {self.name}."
            raise ModelError(what, "Lower `context`: memory for keys and values grows with it.")
        return context

    def _trunk(self, prefix: Prefix) -> _Trunk:
        if not 0 <= prefix.lane < len(self._trunks) or self._trunks[prefix.lane].owner is not prefix:
            raise ValueError("this prefix is closed, or belongs to another model")
        return self._trunks[prefix.lane]


def _depth_first(tops: list[int], children: dict[int, list[int]]) -> tuple[list[int], list[int]]:
    """Nodes parents first, a node's first child right behind it; and the leaves in that order."""
    order, leaves, stack = [], [], tops[::-1]
    while stack:
        node = stack.pop()
        order.append(node)
        below = children.get(node)
        if below:
            stack += below[::-1]
        else:
            leaves.append(node)
    return order, leaves


def measured_exact_rows(scorer: Any, sizes: Sequence[int] = (2, 4, 8, 16, 32, ROWS)) -> int:
    """The largest of `sizes` up to which every row of a tree has the logits of a pass of its own; 1 if none."""
    size = scorer.tokenizer.size
    tokens = [100 + (i * 7919) % (size - 100) for i in range(40 + max(sizes))]
    prefix = scorer.open(tokens[:40])
    exact, alone = 1, []
    try:
        for rows in sizes:
            forest = Forest()
            main = rows - rows // 4
            node, chain = -1, []
            for token in tokens[40 : 40 + main]:
                node = forest.add(token, prefix=prefix) if node < 0 else forest.add(token, parent=node)
                chain.append(node)
            for i in range(rows // 4):  # a branch off every second token
                forest.add(tokens[i], parent=chain[2 * i % len(chain)])
            together = scorer.score(forest)
            while len(alone) < main:
                single = Forest()
                step = single.add(tokens[40 + len(alone)], prefix=prefix)
                scores = scorer.score(single)
                alone.append(scores.logits(step).copy())
                scorer.commit(scores, step)
            scorer.truncate(prefix, 40)
            if not all(np.array_equal(together.logits(node), alone[i]) for i, node in enumerate(chain)):
                break
            exact = rows
            alone = []
    finally:
        scorer.close(prefix)
    return exact


def _shared(trunk: _Trunk, tokens: list[int], partition: str) -> int:
    return common(trunk.cells, tokens) if trunk.partition == partition else 0
