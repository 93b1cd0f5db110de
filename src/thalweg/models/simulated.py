"""`Simulated`: a scorer that computes nothing and keeps account: tokens read, tokens found in its cache, modelled time.

Choose it to try a policy, a plan or a server on a device and a workload that are not at hand. Its text is noise, but
the same noise for the same prompt whatever else runs, so that "equal answers under two policies" can be asked of it.
What it counts is true of the loop that drove it; its seconds are modelled, and whatever reports them must say so.
Cost: about 10 microseconds a row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.errors import ModelError, UnsupportedByBackend
from thalweg.models.bounds import all_in_use, check_room, check_tokens, common
from thalweg.models.request import Capabilities
from thalweg.models.scorer import Forest, Logits, Prefix, Scores

END, BOS, SIZE = 256, 257, 258
_WORD = 2**64 - 1


@dataclass(frozen=True)
class Device:
    """Modelled time of a pass, in seconds: weights are read once, arithmetic and the cache's bytes add up.

    Args:
        weights: seconds to read all weights once. token: seconds of arithmetic a token. cell: seconds to read one
            cached token's keys and values.
    """

    name: str = "a GPU with a model of 8 billion parameters"
    weights: float = 8e-3
    token: float = 2.5e-5
    cell: float = 4e-8

    def seconds(self, prefill: int, rows: int, cells: int) -> float:
        return max(self.weights, (prefill + rows) * self.token) + cells * self.cell


class Bytes:
    """A tokenizer whose tokens are the 256 bytes, an end and a beginning."""

    size, end, eos, bos, adds_bos = SIZE, END, END, BOS, False
    pieces = [*[bytes([i]) for i in range(256)], b"", b""]
    control_texts = ["<end>", "<begin>"]
    chat_template = ""
    special_tokens: dict[str, str] = {}

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.pieces[token] for token in tokens).decode(errors="replace")

    @property
    def grammar_tokenizer(self) -> Any:
        from llguidance import LLTokenizer, TokenizerWrapper

        return LLTokenizer(TokenizerWrapper(_Wrapped()))


class _Wrapped:
    eos_token_id, bos_token_id, special_token_ids = END, BOS, (END, BOS)
    tokens = [*Bytes.pieces[:256], b"\xff<end>", b"\xff<begin>"]

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@dataclass
class _Weights:
    bytes: int = 0


class Simulated:
    """A `Scorer` of noise.

    Args:
        streams: prefixes open at once; context: tokens a prefix may hold.
        cells: tokens the cache holds in all; what no open prefix needs is evicted, longest unused first.
        length: mean tokens of a free text.
        device: models the seconds, which add up in `seconds`.
    """

    def __init__(
        self,
        *,
        streams: int = 16,
        context: int = 8192,
        cells: int = 65_536,
        length: int = 48,
        device: Device | None = None,
        name: str = "simulated",
    ) -> None:
        self.name, self.identity = name, f"{name}:{length}"
        self.tokenizer = Bytes()
        self.capabilities = Capabilities(
            constraints="exact", logits="full", branching="mask", max_leaves=64, max_rows=512, exact_rows=512,
            speculation="exact", context=context, streams=streams,
        )  # fmt: skip
        self.context, self.streams, self.cells, self.length = context, streams, cells, length
        self.device = device or Device()
        self.threads, self.weights = 1, _Weights()
        self.seconds = 0.0  # modelled
        self.computed = self.found = 0  # prompt tokens
        self._open: dict[int, Prefix] = {}
        self._partitions: dict[int, str] = {}
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], None] = OrderedDict()  # closed prefixes, unused first
        self._lanes = 0
        self._closed = False
        self._thread: ThreadPoolExecutor | None = None

    def replica(self) -> Simulated:
        """Another one with an empty cache."""
        return Simulated(
            streams=self.streams, context=self.context, cells=self.cells, length=self.length, device=self.device,
            name=self.name,
        )  # fmt: skip

    @property
    def free_lanes(self) -> int:
        return self.streams - len(self._open)

    def open(self, tokens: Sequence[int], partition: str = "") -> Prefix:
        if self._closed:
            raise ModelError(f"{self.name} is closed.", "Make a new one.")
        tokens = list(tokens)
        check_tokens(tokens, SIZE)
        if not tokens:
            raise ValueError("a prefix has at least one token")
        check_room(self.name, self.context, 0, len(tokens))
        if not self.free_lanes:
            raise all_in_use(self.name, self.streams)
        cached = self._cached(tokens, partition)
        self._lanes += 1
        prefix = Prefix(tokens, self._lanes, cached)
        self._open[prefix.lane], self._partitions[prefix.lane] = prefix, partition
        self._read(len(tokens) - cached)
        self.found += cached
        self._evict()
        return prefix

    def extend(self, prefix: Prefix, tokens: Sequence[int]) -> Prefix:
        self._check(prefix)
        check_tokens(tokens, SIZE)
        check_room(self.name, self.context, len(prefix.tokens), len(tokens))
        prefix.tokens.extend(tokens)
        self._read(len(tokens))
        return prefix

    def fork(self, prefix: Prefix) -> Prefix:
        self._check(prefix)
        twin = self.open(prefix.tokens, self._partitions[prefix.lane])
        twin.cached = len(twin.tokens)
        return twin

    def truncate(self, prefix: Prefix, length: int) -> Prefix:
        self._check(prefix)
        if not 1 <= length <= len(prefix.tokens):
            raise ValueError(f"cannot keep {length} of {len(prefix.tokens)} tokens")
        del prefix.tokens[length:]
        return prefix

    def close(self, prefix: Prefix) -> None:
        self._check(prefix)
        del self._open[prefix.lane]
        key = self._partitions.pop(prefix.lane), tuple(prefix.tokens)
        self._kept[key] = None
        self._kept.move_to_end(key)
        prefix.lane = -1
        self._evict()

    def score(self, forest: Forest) -> Scores:
        if forest.hidden:
            raise UnsupportedByBackend(f"{self.name} has no hidden states.", "Use a real engine.")
        check_tokens(forest.token, SIZE)
        for leaf in forest.leaves():
            check_room(self.name, self.context, len(forest.prefix_of(leaf).tokens), len(forest.path(leaf)))
        states: list[int] = []
        logits: dict[int, Logits] = {}
        begun = [_state(prefix.tokens) for prefix in forest.prefixes]
        for node, token in enumerate(forest.token):
            parent = forest.parent[node]
            states.append(_next(states[parent] if parent >= 0 else begun[forest.root[node]], token))
            if forest.want[node]:
                logits[node] = self._noise(states[node])
        cells = sum(len(prefix.tokens) for prefix in forest.prefixes)
        seconds = self.device.seconds(0, len(forest), cells)
        self.seconds += seconds
        return Scores(forest, len(forest), seconds, logits)

    def submit(self, forest: Forest) -> Future[Scores]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"scorer {self.name}")
        return self._thread.submit(lambda: self.score(forest))

    def commit(self, scores: Scores, node: int) -> Prefix:
        prefix = scores.forest.prefix_of(node)
        self._check(prefix)
        prefix.tokens.extend(scores.forest.token[i] for i in scores.forest.path(node))
        return prefix

    def cost(self, rows: int, length: int = 256) -> float:
        return self.device.seconds(0, rows, rows * length)

    def use_threads(self, threads: int) -> None: ...

    def forget(self) -> None:
        """Empty the cache of what no open prefix needs."""
        self._kept.clear()

    def free(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        self._closed = True
        self._open.clear()
        self._kept.clear()

    def _noise(self, state: int) -> Logits:
        """Logits with one likely token: a letter or a space, or the end once in `length`."""
        mixed = _next(state, 0x5BD1)
        logits = np.zeros(SIZE, np.float32)
        letter = 32 if mixed % 6 == 0 else 97 + (mixed >> 8) % 26
        logits[END if (mixed >> 20) % self.length == 0 else letter] = 12.0
        return logits

    def _cached(self, tokens: list[int], partition: str) -> int:
        best, used = 0, None
        for key in self._kept:
            if key[0] == partition and key[1][:1] == (tokens[0],):
                shared = common(list(key[1]), tokens)
                if shared > best:
                    best, used = shared, key
        if used is not None:
            self._kept.move_to_end(used)
        for lane, prefix in self._open.items():
            if self._partitions[lane] == partition:
                best = max(best, common(prefix.tokens, tokens))
        return min(best, len(tokens))

    def _evict(self) -> None:
        """Forget closed prefixes until what is held fits; cells of equal beginnings are counted once a prefix here,
        which is more than a paged cache holds."""
        held = sum(len(prefix.tokens) for prefix in self._open.values()) + sum(len(key[1]) for key in self._kept)
        while held > self.cells and self._kept:
            (_, tokens), _ = self._kept.popitem(last=False)
            held -= len(tokens)

    def _read(self, count: int) -> None:
        self.computed += count
        self.seconds += self.device.seconds(count, 0, 0)

    def _check(self, prefix: Prefix) -> None:
        if self._open.get(prefix.lane) is not prefix:
            raise ValueError("this prefix is closed, or belongs to another model")


def _state(tokens: Sequence[int]) -> int:
    state = 14695981039346656037
    for token in tokens:
        state = _next(state, token)
    return state


def _next(state: int, token: int) -> int:
    state = ((state ^ token) * 1099511628211) & _WORD
    return state ^ (state >> 29)
