"""`Session`: what is in force - model, sampling, cache, journal, store. One context variable and one process default.

Precedence: argument of `using` on a function > `with tw.using(...)` > `tw.configure(...)` > environment
(`THALWEG_MODEL`, `THALWEG_STORE`) > default. Threads started by the library inherit the context; a plain
`threading.Thread` sees the process default.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from thalweg.errors import ModelError, UnsupportedByBackend
from thalweg.program.store import Store

DEFAULT_MODEL = "smollm2-135m"


@dataclass(frozen=True)
class Session:
    """Settings in force; None means "not said here".

    Args:
        model: a name, path or URL form (see `thalweg.models.load`), or a model object.
        temperature, top_p, top_k, seed, max_tokens: sampling (greedy, 1.0, no limit, 0, 512 by default).
        sampler: ``masked`` (default), or ``aligned``, ``smc``, ``awrs``: values as the model itself distributes them
            over the type, not as masking bends them (local models; see `thalweg.decoding.aligned`).
        decoder: how tokens are guessed ahead: ``plain`` (default) not at all, ``auto``, a drafter's name, or a
            `Drafter`. Answers do not depend on it.
        lossless: ``exact`` (default) refuses a decoder where the engine's rounding could change an answer, ``argmax``
            accepts it, ``distribution`` keeps only the distribution of answers (see `Request`).
        overflow: for a prompt longer than the context: ``error`` (default) or ``truncate`` the longest input.
        mode: ``model`` (default), ``python`` runs the function's own body, ``fallback`` runs it when the model fails.
        strategy: how calls are asked.
        cache: answer equal calls from the store (default on). journal: record every call (default on).
        store: folder of the store (default ``.thalweg`` in the working directory).
        concurrency: rows of a flow run side by side (default: twice the model's streams).
        progress: show progress bars (default: when standard error is a terminal).
        human: who answers `tw.ask` and `tw.approve`: `Terminal()`, `Inbox()`, or a function from `Question` to an
            answer (default: the terminal where there is one, else the inbox).
        schedule: which calls go first: ``batch`` (default; what shares a beginning together), ``sorted``, ``fcfs``, or
            ``parrot`` (what somebody waits for). objective: ``throughput`` (default), or ``latency`` for calls
            somebody waits for.
        labels: a `Propagator`, which finds the labels of learned calls; flows then run with labels (default: where
            labels are in play, with the join of what a call read).
    """

    model: Any = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    decoder: Any = None
    lossless: Literal["exact", "argmax", "distribution"] | None = None
    overflow: Literal["error", "truncate"] | None = None
    mode: Literal["model", "python", "fallback"] | None = None
    strategy: Any = None
    cache: bool | None = None
    journal: bool | None = None
    store: Any = None
    concurrency: int | None = None
    progress: bool | None = None
    human: Any = None
    labels: Any = None
    sampler: Literal["masked", "aligned", "smc", "awrs"] | None = None
    schedule: Literal["batch", "sorted", "fcfs", "parrot"] | None = None
    objective: Literal["throughput", "latency"] | None = None

    def over(self, below: Session) -> Session:
        """These settings, those of `below` where nothing is said here."""
        said = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return replace(below, **said) if said else below


_NAMES = tuple(field.name for field in fields(Session))
_default = Session()
_layers: ContextVar[Session | None] = ContextVar("thalweg_session", default=None)
_models: dict[str, Any] = {}
_wrapped: dict[int, Any] = {}
_stores: dict[str, Store] = {}
_folders: dict[tuple[str, str], str] = {}  # (as said, working directory) -> whole path; cheaper than working it out
_lock = threading.RLock()
_noted = False


_NUMBERS: Mapping[str, tuple[type, Callable[[Any], bool], str]] = {
    "temperature": (Real, lambda value: 0 <= value < float("inf"), "give a number from 0 (greedy) upwards"),
    "top_p": (Real, lambda value: 0 < value <= 1, "give a share above 0, up to 1"),
    "top_k": (Integral, lambda value: value >= 0, "give a whole number from 0 (no limit) upwards"),
    "seed": (Integral, lambda value: True, "give a whole number"),
    "max_tokens": (Integral, lambda value: value >= 1, "give at least 1"),
    "concurrency": (Integral, lambda value: value >= 1, "give at least 1"),
}


def settings(**said: Any) -> Session:
    """A `Session` from keyword arguments. Raises `TypeError` naming what there is."""
    unknown = sorted(set(said) - set(_NAMES))
    if unknown:
        raise TypeError(f"unknown setting {unknown[0]!r}; there are: {', '.join(_NAMES)}")
    checks: Mapping[str, tuple[Any, ...]] = {
        "overflow": ("error", "truncate"), "mode": ("model", "python", "fallback"),
        "lossless": ("exact", "argmax", "distribution"),
        "sampler": ("masked", "aligned", "smc", "awrs"),
        "schedule": ("batch", "sorted", "fcfs", "parrot"),
        "objective": ("throughput", "latency"),
    }  # fmt: skip
    for name, options in checks.items():
        if said.get(name) not in (None, *options):
            raise ValueError(f"{name}={said[name]!r}; choose one of {', '.join(options)}")
    for name, (kind, fits, hint) in _NUMBERS.items():
        value = said.get(name)
        if value is not None and not (isinstance(value, kind) and fits(value)):
            raise ValueError(f"{name}={value!r}; {hint}")
    return Session(**said)


def configure(**said: Any) -> Session:
    """Set the process-wide defaults, for scripts and notebooks. Returns the session now in force."""
    global _default
    _default = settings(**said).over(_default)
    return current()


@contextmanager
def using(**said: Any) -> Iterator[Session]:
    """Settings for the calls inside a ``with`` block (and the threads the library starts for them)."""
    layer = settings(**said).over(_layers.get() or Session())
    token = _layers.set(layer)
    try:
        yield current()
    finally:
        _layers.reset(token)


def current() -> Session:
    """The session in force here."""
    layer = _layers.get()
    if layer is None:
        return _default
    below = _default
    known = layer.__dict__.get("_over")  # worked out once for each layer and default: it is asked for at every call
    if known is None or known[0] is not below:
        known = layer.__dict__["_over"] = (below, layer.over(below))
    return known[1]


def model_in_force(session: Session) -> Any:
    """The session's model, loaded once per process and name: an object with `submit`, `identity`, `capabilities`."""
    spec = session.model
    if isinstance(spec, str):
        found = _models.get(spec)
        if found is not None:
            return found
    elif hasattr(spec, "submit") and not _is_scorer(spec):
        return spec
    return _load(spec)


def decoder_in_force(session: Session, model: Any) -> str:
    """Name of the session's decoder; a `Drafter` given as one is handed to the model first."""
    decoder = session.decoder
    if decoder is None or decoder == "plain":
        return "plain"
    if not hasattr(model, "use_drafter"):
        if decoder == "auto" or "recorded" in model.name:  # no tokens are drawn here; the server guesses, or nobody
            return "plain"
        raise UnsupportedByBackend(
            f"{model.name} draws its tokens itself, so decoder={decoder!r} cannot guess them.",
            'Use a local model such as "tree:smollm2-135m", or decoder="auto".',
        )
    if isinstance(decoder, str):
        return decoder
    model.use_drafter(decoder)
    return decoder.name


def schedule_in_force(session: Session, model: Any) -> str:
    """Name of the policy that decides which call of `model` is next, which is made the session's if it says one."""
    policy = getattr(model, "policy", None)
    if policy is None:
        return session.schedule or "batch"
    if session.schedule is not None and session.schedule != policy.name:
        model.use_policy(session.schedule)
    return model.policy.name


def _load(spec: Any) -> Any:
    global _noted
    with _lock:
        if spec is None:
            name = os.environ.get("THALWEG_MODEL")
            if not name:
                name = DEFAULT_MODEL
                if not _noted:
                    _noted = True
                    print(
                        f"thalweg: no model was chosen; using the packaged {name} "
                        "(choose with tw.configure(model=...) or THALWEG_MODEL)",
                        file=sys.stderr,
                    )
            spec = name
        if not isinstance(spec, str):
            if _is_scorer(spec):
                if id(spec) not in _wrapped:
                    from thalweg.scheduling import Engine

                    _wrapped[id(spec)] = Engine(spec)
                return _wrapped[id(spec)]
            raise ModelError(
                f"{spec!r} is not a model.", 'Give a name such as "smollm2-135m", a .gguf path, or a model object.'
            )
        if spec not in _models:
            model = _opened(spec)
            if _is_scorer(model):
                from thalweg.scheduling import Engine

                model = Engine(model)
            _models[spec] = model
        return _models[spec]


def _opened(spec: str) -> Any:
    if "," in spec and spec.startswith("openai:"):
        from thalweg.scheduling.replicas import Replicas, replicas_of

        found = replicas_of(spec)
        if found is not None:
            return Replicas(*found)
    from thalweg.models import load

    return load(spec)


def _is_scorer(model: Any) -> bool:
    """Whether an `Engine` must stand around it before it answers requests."""
    return hasattr(model, "score") and hasattr(model, "open")


def store_in_force(session: Session) -> Store:
    """The session's store, opened once per folder."""
    if isinstance(session.store, Store):
        return session.store
    said = str(session.store or os.environ.get("THALWEG_STORE") or ".thalweg")
    place = (said, "" if said.startswith("/") else os.getcwd())
    folder = _folders.get(place)
    if folder is None:
        folder = _folders[place] = str(Path(said).absolute())
    found = _stores.get(folder)
    if found is None:
        with _lock:
            found = _stores.get(folder)
            if found is None:
                found = _stores[folder] = Store(folder)
    return found


def reset() -> None:
    """Forget defaults, loaded models and open stores (for tests)."""
    global _default
    with _lock:
        _default = Session()
        for model in {id(one): one for one in (*_models.values(), *_wrapped.values())}.values():
            model.close()
        for store in _stores.values():
            store.close()
        _models.clear()
        _wrapped.clear()
        _stores.clear()


def in_force() -> list[tuple[str, Any, str]]:
    """(setting, value, where it comes from), for `thalweg doctor`."""
    layer = _layers.get() or Session()
    rows: list[tuple[str, Any, str]] = []
    for name in _NAMES:
        for source, value in (("using", getattr(layer, name)), ("configure", getattr(_default, name))):
            if value is not None:
                rows.append((name, value, source))
                break
        else:
            variable = {"model": "THALWEG_MODEL", "store": "THALWEG_STORE"}.get(name)
            if variable and os.environ.get(variable):
                rows.append((name, os.environ[variable], f"environment {variable}"))
            else:
                rows.append((name, _DEFAULTS.get(name), "default"))
    return rows


_DEFAULTS = {
    "model": DEFAULT_MODEL, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 0, "max_tokens": 512,
    "decoder": "plain", "lossless": "exact", "overflow": "error", "mode": "model", "strategy": "direct",
    "cache": True, "journal": True, "store": ".thalweg",
    "concurrency": "2 x streams", "progress": "on a terminal", "human": "terminal or inbox",
    "labels": "join, where labels are in play", "sampler": "masked",
    "schedule": "batch", "objective": "throughput",
}  # fmt: skip
