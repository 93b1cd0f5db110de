"""Which worked examples a call shows: `DemoSelector`, with `RandomDemos` and `KNN` (the nearest in meaning).

Choose `KNN` where near examples have near answers (intents, topics, formats) and there are more examples than fit into
a prompt; `RandomDemos` is the baseline that it has to beat. A pool is embedded once for each process. Sources: Liu et
al. 2022, "What makes good in-context examples for GPT-3?"; Nori et al. 2023, "Can generalist foundation models
outcompete special-purpose tuning?" (kNN few-shot). Cost: embedding one text a call, about 10 ms.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from thalweg.errors import DataError
from thalweg.program.signature import Signature, row_inputs
from thalweg.program.strategy import Demonstration
from thalweg.program.types import jsonable, render_value


class DemoSelector(Protocol):
    """Chooses worked examples for a question."""

    @property
    def name(self) -> str: ...

    def select(self, pool: Sequence[Demonstration], query: Mapping[str, Any]) -> list[Demonstration]:
        """Some of `pool`, in the order in which they are shown, for the inputs `query`. Equal arguments give equal
        demonstrations: a resumed run asks the same prompt again."""
        ...


@dataclass(frozen=True)
class RandomDemos:
    """`k` examples drawn at random: the same ones for every call, or others for each question (`each`)."""

    k: int = 5
    seed: int = 0
    each: bool = False
    name: str = "random"

    def select(self, pool: Sequence[Demonstration], query: Mapping[str, Any]) -> list[Demonstration]:
        key = json.dumps(jsonable(dict(query)), sort_keys=True, default=repr) if self.each else ""
        rng = random.Random(f"{self.seed}/{key}")
        return rng.sample(list(pool), min(self.k, len(pool)))


@dataclass(frozen=True)
class KNN:
    """The `k` examples whose inputs are nearest to the question by cosine, the nearest last: next to the question.

    Args:
        embedder: an `Embedder`, or ``minilm``, the packaged one. without: inputs that do not count.
    """

    k: int = 5
    embedder: Any = "minilm"
    without: tuple[str, ...] = ()
    name: str = "knn"

    def select(self, pool: Sequence[Demonstration], query: Mapping[str, Any]) -> list[Demonstration]:
        return [pool[index] for index, _ in self.nearest(pool, query)]

    def nearest(self, pool: Sequence[Demonstration], query: Mapping[str, Any]) -> list[tuple[int, float]]:
        """(index in the pool, cosine) of the chosen, the nearest last; of equally near ones the first of the pool."""
        if not pool or self.k < 1:
            return []
        import numpy as np

        names = [name for name in query if name not in self.without]
        embedder = embedder_of(self.embedder)
        vectors = _vectors(embedder, tuple(_text(one.inputs, names) for one in pool))
        asked = _vectors(embedder, (_text(query, names),))[0]
        near = np.round(vectors @ asked, 6)  # below that is rounding, which varies with the size of a batch
        chosen = np.argsort(-near, kind="stable")[: self.k]
        return [(int(index), float(near[index])) for index in reversed(chosen)]


def demonstrations_of(pool: Sequence[Any], signature: Signature) -> tuple[Demonstration, ...]:
    """A pool in one form: of `Demonstration`s, pairs (inputs, output) with inputs as `map` takes a row, or labelled
    examples. Raises `DataError` naming the first that is none, or whose output is not of the type."""
    names = [one.name for one in signature.inputs]
    made = []
    for index, one in enumerate(pool):
        if not isinstance(one, Demonstration):
            if hasattr(one, "row") and hasattr(one, "label"):
                row, output = {name: one.row[name] for name in names if name in one.row}, one.label
            elif isinstance(one, tuple) and len(one) == 2:
                row, output = one
            else:
                raise DataError(
                    f"Row {index} of the pool of demonstrations ({one!r:.60}) is none.",
                    "Give pairs of (inputs, output), `Demonstration`s or labelled examples.", row=index,
                )  # fmt: skip
            args, kwargs = row_inputs(names, row, index)
            one = Demonstration(signature.bind(args, kwargs), output)
        try:
            signature.output.encode(one.output)
        except DataError as error:
            raise DataError(
                f"The output of row {index} of the pool is not of the type of `{signature.name}`: {error.what}",
                "Correct or leave out the row.", row=index,
            ) from None  # fmt: skip
        made.append(one)
    return tuple(made)


def embedder_of(said: Any) -> Any:
    """The `Embedder` that is meant: itself, or ``minilm``, the packaged one, loaded once. Raises `DataError`."""
    if not isinstance(said, str):
        return said
    if said != "minilm":
        raise DataError(f"There is no embedder {said!r}.", 'Choose "minilm", or give an `Embedder`.')
    with _lock:
        if said not in _loaded:
            from thalweg.models.minilm import MiniLM

            _loaded[said] = MiniLM()
        return _loaded[said]


def _text(inputs: Mapping[str, Any], names: Sequence[str]) -> str:
    shown = [inputs[name] for name in names if name in inputs]
    return "\n".join(one if isinstance(one, str) else render_value(one) for one in shown)


_KEPT = 256  # texts and pools whose vectors are kept; those of a pool in use are never the oldest
_pools: OrderedDict[str, Any] = OrderedDict()
_loaded: dict[str, Any] = {}
_lock = threading.Lock()


def _vectors(embedder: Any, texts: tuple[str, ...]) -> Any:
    """[texts, dimensions]; worked out once for a pool, whoever asks first."""
    key = hashlib.blake2b(json.dumps([embedder.name, texts]).encode(), digest_size=16).hexdigest()
    with _lock:
        found = _pools.get(key)
        if found is None:
            found = _pools[key] = embedder.embed(texts)
            while len(_pools) > _KEPT:
                _pools.popitem(last=False)
        _pools.move_to_end(key)
        return found
