"""The torch engine behind the `Scorer` protocol: a forest is scored in one pass, whatever its shape.

All rows of all prefixes go through the linear layers together; a tree is held apart by its attention mask, so the
branches of a prefix cost rows, not passes. Logits are computed for the nodes that want them alone. Committing a path
moves its keys and values into token order. A row's logits depend on its batch-mates by rounding only (about 1e-5 in
float32), not bit for bit: `capabilities.exact_rows` is 0. In float32 the likeliest token is
the same (`speculation` is greedy).

The CUDA path (`device="cuda"`) is the same code without packed layers; it has not been run on a GPU.

Source: Miao et al., 2023, "SpecInfer" (trees in one pass). Cost of a pass: the weights read once, and about 25 calls of
torch a layer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.bounds import all_in_use, check_room, check_tokens, common
from thalweg.models.cost import seconds
from thalweg.models.request import Capabilities
from thalweg.models.scorer import SOFT, Forest, Logits, Prefix, Probed, Scores
from thalweg.models.torch.adapters import Adapter
from thalweg.models.torch.cache import Cells, Pass, Segment
from thalweg.models.torch.decoder import Batch, Decoder
from thalweg.models.torch.rows import ROWS, Rows, passes
from thalweg.models.torch.weights import Weights

SPARE = 512  # cells of a stream behind the context, for the branches of trees


@dataclass(eq=False)
class _Lane:
    """One stream. `tokens` are the cells it holds; the nodes of `forest` scored last lie behind the first `base`."""

    index: int
    tokens: list[int] = field(default_factory=list)
    owner: Prefix | None = None
    used: int = 0
    partition: str = ""
    forest: Forest | None = None
    base: int = 0
    nodes: dict[int, int] = field(default_factory=dict)  # node -> its cell behind `base`


class TorchLM:
    """A decoder of ours as a `Scorer`. One caller at a time.

    Args:
        weights: see `load_weights`.
        name: how users call it.
        identity: what makes its answers its own; part of cache keys.
        streams: prefixes that can be open at once.
        context: tokens a prefix may hold; 0 takes what the model was trained for.
        threads: CPU threads; default all cores this process may use.
        decoder: the decoder of another scorer over the same weights, to share its packed layers and adapters.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        name: str = "torch",
        identity: str = "",
        streams: int = 16,
        context: int = 2048,
        threads: int | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        if streams < 1:
            raise ModelError(f"streams={streams} is out of range.", "Choose at least 1.")
        self.name, self.identity = name, identity or name
        self.weights, self.tokenizer = weights, weights.tokenizer
        self.decoder = decoder or Decoder(weights.config, weights.tensors)
        self.decoder.pack()
        trained = weights.config.context
        self.context = min(context or trained, trained)
        self.threads = threads or len(os.sched_getaffinity(0))
        self._lanes = [_Lane(i) for i in range(streams)]
        self._cells: Cells | None = Cells(self.decoder, streams, self.context + SPARE)
        self._clock = 0
        self._executor: ThreadPoolExecutor | None = None
        self.capabilities = Capabilities(
            constraints="exact",
            logits="full",
            branching="mask",
            soft_tokens=True,
            probe=True,
            gradients=True,
            max_leaves=ROWS,
            max_rows=ROWS,
            exact_rows=0,
            speculation="greedy" if self.decoder.dtype == torch.float32 else "close",
            snapshot=True,
            context=self.context,
            streams=streams,
        )

    def replica(self) -> TorchLM:
        """Another scorer over the same weights, with a cache of its own."""
        return self._like(self.decoder, self.identity)

    def adapted(self, adapter: Adapter, *, name: str) -> TorchLM:
        """A replica with the additions of `adapter`, called `name`: give another for each training of it."""
        return self._like(self.decoder.adapted(adapter), f"{self.identity}+{name}")

    def _like(self, decoder: Decoder, identity: str) -> TorchLM:
        self._alive()
        return TorchLM(
            self.weights.share(),
            name=self.name,
            identity=identity,
            streams=len(self._lanes),
            context=self.context,
            threads=self.threads,
            decoder=decoder,
        )

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from now on; results do not depend on it beyond rounding."""
        self.threads = threads

    def free(self) -> None:
        """Release weights and cache."""
        if self._cells is None:
            return
        if self._executor is not None:
            self._executor.shutdown()
        self._cells = None
        self.weights.release()
        for lane in self._lanes:
            if lane.owner is not None:
                lane.owner.lane = -1
            lane.owner = None

    # -- prefixes ---------------------------------------------------------------------------------------------

    def open(self, tokens: Sequence[int], partition: str = "") -> Prefix:
        tokens = list(tokens)
        check_tokens(tokens, self.tokenizer_size)
        if not tokens:
            raise ValueError("a prefix has at least one token")
        check_room(self.name, self.context, 0, len(tokens))
        cells = self._alive()
        shared = [common(lane.tokens, tokens) if lane.partition == partition else 0 for lane in self._lanes]
        lane = self._victim(shared)
        best = max(range(len(shared)), key=lambda i: shared[i])
        if shared[best] > shared[lane.index]:
            with torch.inference_mode():
                cells.copy(best, lane.index, shared[best])
            lane.tokens = tokens[: shared[best]]
        cached = max(shared[best], shared[lane.index])
        self._cut(lane, cached)
        prefix = Prefix(tokens, lane.index, cached)
        lane.owner, lane.partition = prefix, partition
        try:
            self._append(lane, tokens[cached:])
        except BaseException:
            self.close(prefix)
            raise
        return prefix

    def extend(self, prefix: Prefix, tokens: Sequence[int]) -> Prefix:
        lane = self._lane(prefix)
        tokens = list(tokens)
        check_tokens(tokens, self.tokenizer_size)
        check_room(self.name, self.context, len(prefix.tokens), len(tokens))
        self._cut(lane, len(prefix.tokens))
        self._append(lane, tokens)
        prefix.tokens.extend(tokens)
        return prefix

    def fork(self, prefix: Prefix) -> Prefix:
        source, cells = self._lane(prefix), self._alive()
        target = self._victim([0] * len(self._lanes))
        with torch.inference_mode():
            cells.copy(source.index, target.index, len(prefix.tokens))
        target.tokens, target.partition = list(prefix.tokens), source.partition
        self._cut(target, len(target.tokens))
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
        self._cut(lane, len(lane.tokens))
        lane.owner = None
        prefix.lane = -1

    @property
    def free_lanes(self) -> int:
        return sum(lane.owner is None for lane in self._lanes)

    # -- scoring ----------------------------------------------------------------------------------------------

    def score(self, forest: Forest) -> Scores:
        started = time.perf_counter()
        groups = self._place(forest)
        logits: dict[int, Logits] = {}
        hidden: dict[int, NDArray[np.float32]] = {}
        with self._computing():
            for rows in passes(groups):
                self._compute(forest, rows, logits, hidden)
        return Scores(forest, len(forest), time.perf_counter() - started, logits, hidden)

    def commit(self, scores: Scores, node: int) -> Prefix:
        forest = scores.forest
        path, prefix = forest.path(node), forest.prefix_of(node)
        lane, cells = self._lane(prefix), self._alive()
        tokens = [forest.token[i] for i in path]
        if SOFT in tokens:
            raise ValueError("a path with soft tokens cannot be committed: a prefix holds tokens of the vocabulary")
        if lane.forest is forest and lane.base == len(prefix.tokens):
            with torch.inference_mode():
                cells.gather(lane.index, lane.base, [lane.nodes[i] for i in path])
            lane.tokens.extend(tokens)
            self._cut(lane, len(lane.tokens))
        else:  # another forest was scored since: its rows lie there now
            check_room(self.name, self.context, len(prefix.tokens), len(tokens))
            self._cut(lane, len(prefix.tokens))
            self._append(lane, tokens)
        prefix.tokens.extend(tokens)
        return prefix

    def submit(self, forest: Forest) -> Future[Scores]:
        """`score` on a thread of the scorer's own; one forest at a time."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"scorer {self.name}")
        return self._executor.submit(self.score, forest)

    def cost(self, rows: int, length: int = 256) -> float:
        """Seconds one pass over `rows` rows takes here, at a short prefix: measured once, then interpolated."""
        return seconds(self, rows)

    def embed(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The embedding rows of `tokens` as soft tokens hold them (what enters the first layer), float32 [n, width]."""
        check_tokens(tokens, self.tokenizer_size)
        with torch.inference_mode():
            return self.decoder.embed(torch.tensor(tokens, device=self.decoder.device)).float().cpu().numpy()

    def probe(self, tokens: Sequence[int], layer: int) -> Probed:
        """Queries and keys of one layer over a prompt of any length, without running the layers above it."""
        decoder, tokens = self.decoder, list(tokens)
        self._alive()
        check_tokens(tokens, self.tokenizer_size)
        if not tokens:
            raise ValueError("a prompt has at least one token")
        if not 0 <= layer < len(decoder.layers):
            raise ModelError(f"{self.name} has no layer {layer}.", f"Choose 0 to {len(decoder.layers) - 1}.")
        if len(tokens) > decoder.config.context:
            raise ContextOverflow(
                f"{len(tokens)} tokens are more than the {decoder.config.context} {self.name} was trained for.",
                "Probe a shorter prompt.",
            )
        with self._computing():
            batch = Batch(decoder, 1, len(tokens), None, None)
            x = decoder.run(decoder.embed(torch.tensor(tokens, device=decoder.device)), batch, layers=layer)
            q, k, _ = batch.heads(layer, decoder.qkv(layer, x))
            return Probed(layer, q[0].float().cpu().numpy(), k[0].float().cpu().numpy())

    def _place(self, forest: Forest) -> list[Rows]:
        """Check the forest and give every node a cell behind its prefix."""
        self._alive()
        size, width = self.tokenizer_size, self.decoder.config.width
        members: list[list[int]] = [[] for _ in forest.prefixes]
        root, depth = forest.root[:], [0] * len(forest)
        for node, (token, parent) in enumerate(zip(forest.token, forest.parent, strict=True)):
            if not 0 <= token < size:
                row = forest.soft.get(node)
                if token != SOFT or row is None:
                    raise ValueError(f"token {token} is outside the vocabulary of {size}")
                if np.shape(row) != (width,):
                    raise ValueError(f"soft token {node} has shape {np.shape(row)}; an embedding row is [{width}]")
            if parent >= 0:
                root[node], depth[node] = root[parent], depth[parent] + 1
            members[root[node]].append(node)
        groups = []
        for prefix, nodes in zip(forest.prefixes, members, strict=True):
            if not nodes:
                continue
            lane, base = self._lane(prefix), len(prefix.tokens)
            check_room(self.name, self.context, base, 1 + max(depth[node] for node in nodes))
            if base + len(nodes) > self.context + SPARE:
                raise ModelError(
                    f"A tree of {len(nodes)} nodes does not fit behind a prefix of {base} tokens in {self.name}.",
                    f"Score at most {SPARE} nodes a prefix at a time.",
                )
            self._cut(lane, base)
            lane.forest, lane.base = forest, base
            lane.nodes = {node: cell for cell, node in enumerate(nodes)}
            groups.append(
                Rows(lane.index, base, nodes, np.array([base + depth[node] for node in nodes]), forest.parent)
            )
        return groups

    def _compute(
        self,
        forest: Forest,
        parts: list[tuple[Rows, int, int]],
        logits: dict[int, Logits],
        hidden: dict[int, NDArray[np.float32]],
    ) -> None:
        """One pass over parts (group, first row, last row) of groups."""
        decoder, cells = self.decoder, self._alive()
        nodes = [node for group, first, last in parts for node in group.nodes[first:last]]
        positions = np.concatenate([group.positions[first:last] for group, first, last in parts])
        segments, row = [], 0
        for group, first, last in parts:
            segments.append(group.segment(row, first, last))
            row += last - first
        tokens = [forest.token[node] for node in nodes]
        x = decoder.embed(torch.tensor([max(token, 0) for token in tokens], device=decoder.device))
        if forest.soft:
            for row, node in enumerate(nodes):
                if tokens[row] == SOFT:
                    x[row] = torch.from_numpy(np.asarray(forest.soft[node], np.float32)).to(x)
        x = decoder.run(x, Pass(decoder, cells, segments, positions))
        picked = [row for row, node in enumerate(nodes) if forest.want[node] or node in forest.hidden]
        if not picked:
            return
        if len(picked) < len(nodes):
            x = x[torch.tensor(picked, device=x.device)]
        x = decoder.normed(x)
        wanted = [i for i, row in enumerate(picked) if forest.want[nodes[row]]]
        if forest.hidden:
            states = x.float().cpu().numpy()
            hidden.update({nodes[row]: states[i] for i, row in enumerate(picked) if nodes[row] in forest.hidden})
        if wanted:
            if len(wanted) < len(picked):
                x = x[torch.tensor(wanted, device=x.device)]
            values = decoder.output(x).float().cpu().numpy()
            logits.update({nodes[picked[i]]: values[k] for k, i in enumerate(wanted)})

    def _append(self, lane: _Lane, tokens: list[int]) -> None:
        """Compute keys and values of `tokens` behind what the lane holds; the last layer's output is not needed."""
        decoder, cells = self.decoder, self._alive()
        with self._computing():
            for first in range(0, len(tokens), ROWS):
                piece = tokens[first : first + ROWS]
                start = len(lane.tokens)
                positions = np.arange(start, start + len(piece))
                seen = np.tri(len(piece), start + len(piece), start, dtype=bool) if len(piece) > 1 else None
                attend = Pass(decoder, cells, [Segment(lane.index, 0, len(piece), start, seen, positions)], positions)
                x = decoder.run(
                    decoder.embed(torch.tensor(piece, device=decoder.device)), attend, layers=len(decoder.layers) - 1
                )
                attend.keep(len(decoder.layers) - 1, decoder.qkv(len(decoder.layers) - 1, x))
                lane.tokens.extend(piece)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Without gradients, with this scorer's number of threads, which torch keeps for each thread of the process."""
        before = torch.get_num_threads()
        if before != self.threads:
            torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            if before != self.threads:
                torch.set_num_threads(before)

    # -- lanes ------------------------------------------------------------------------------------------------

    @property
    def tokenizer_size(self) -> int:
        return self.decoder.config.vocabulary

    def _alive(self) -> Cells:
        if self._cells is None:
            raise ModelError(f"{self.name} is closed.", "Load the model again.")
        return self._cells

    def _cut(self, lane: _Lane, length: int) -> None:
        """Keep the first `length` cells; what was scored behind them is forgotten."""
        del lane.tokens[length:]
        lane.forest = None

    def _victim(self, shared: list[int]) -> _Lane:
        idle = [lane for lane in self._lanes if lane.owner is None]
        if not idle:
            raise all_in_use(self.name, len(self._lanes))
        self._clock += 1
        lane = min(idle, key=lambda lane: (-shared[lane.index], lane.used))
        lane.used = self._clock
        return lane

    def _lane(self, prefix: Prefix) -> _Lane:
        if not 0 <= prefix.lane < len(self._lanes) or self._lanes[prefix.lane].owner is not prefix:
            raise ValueError("this prefix is closed, or belongs to another model")
        return self._lanes[prefix.lane]
