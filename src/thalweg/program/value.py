"""`Value`: the handle of a result that may not exist yet. `Failure`: a row that went wrong, kept beside the others.

A `Value` is explicit: it is awaitable and has `.result()`, and never pretends to be the result (Python offers no proxy
that survives `is`, `match` and `json`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from thalweg.errors import Error

T = TypeVar("T")


class Value(Generic[T]):
    """A result under way. `label` says where its information came from, `path` which call of the run makes it;
    `details`, once it is there, how a strategy of several questions came to it; of one question, its `logprob`."""

    __slots__ = ("_before_wait", "_future", "details", "label", "path")

    def __init__(
        self,
        future: Future[T],
        *,
        path: str = "",
        label: frozenset[str] = frozenset(),
        before_wait: Callable[[], Any] | None = None,
    ) -> None:
        self._future = future
        self.path = path
        self.label = label
        self.details: Mapping[str, Any] = {}
        self._before_wait = before_wait  # gets the work going, or says why waiting would never end

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result. Raises the call's error, or `TimeoutError` after `timeout` seconds."""
        if self._before_wait is not None and not self._future.done():
            self._before_wait()
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            if self._future.done():
                raise
            raise TimeoutError(f"{self.path or 'the call'} has no result after {timeout} s") from None

    def done(self) -> bool:
        return self._future.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return self._future.exception(timeout)

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        self._future.add_done_callback(callback)

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio  # a fifth of the time that `import thalweg` takes

        return asyncio.wrap_future(self._future).__await__()

    def __repr__(self) -> str:
        return f"<Value {self.path} {'done' if self.done() else 'under way'}>"


@dataclass(frozen=True)
class Failure:
    """What stands in a result list for a row that failed. Falsy, so that `[r for r in results if r]` drops it."""

    row: int
    error: Error | Exception

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"row {self.row}: {type(self.error).__name__}: {self.error}"


def gather(*values: Value[Any] | Any) -> list[Any]:
    """Results of values under way (others pass through), in order. Raises the first error in order."""
    return [value.result() if isinstance(value, Value) else value for value in values]
