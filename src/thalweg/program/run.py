"""Durable runs: `flow.start(x, id=...)` works in the background and survives its process; `resume` goes on.

Every finished call is in the journal before the program sees it, so a run that is resumed, in this process or another,
replays what it has and continues after the last step; failures the program handled are raised again, the one it ended
by is tried again. One process works at a run (a file lock the kernel lets go), others attach and take over if it dies.
Source: durable execution by replay, as in Temporal and DBOS. Cost: a few microseconds a call over an ordinary one.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Generic, TypeVar

from thalweg.errors import DataError, NonDeterminism, RecordedError, RunBusy
from thalweg.program import run_store
from thalweg.program.compile import Abandoned
from thalweg.program.events import Done, Finished, Started
from thalweg.program.failure_record import failure_from_json, failure_to_json
from thalweg.program.flow import FLOWS, Flow
from thalweg.program.human import wake
from thalweg.program.journal import Scope, inside, new_run_id
from thalweg.program.recording import SAME_PROGRAM, Recording
from thalweg.program.run_events import Failed, journal_events
from thalweg.program.run_inputs import differences, read_inputs, read_result, write_inputs, write_result
from thalweg.program.run_lock import RunLock
from thalweg.program.run_status import ACTIVE, RunInfo, Status, runs, status_of
from thalweg.program.session import current, settings, store_in_force, using
from thalweg.program.store import Call, Store

T = TypeVar("T")
LOOK_EVERY = 0.1  # seconds between two looks at a run that another process works on
KEPT = ("temperature", "top_p", "top_k", "seed", "max_tokens", "overflow", "mode", "sampler")

_lock = threading.Lock()


class Cancelled(Abandoned):
    """Unwinds the program of a run that was cancelled."""


class Run(Generic[T]):
    """A durable run under way, or over. Made by `flow.start` and `resume`."""

    def __init__(self, store: Store, id: str, flow: Any) -> None:
        self.id = id
        self.flow = flow
        self._store = store
        self._future: Future[T] = Future()
        self._future.set_running_or_notify_cancel()
        self._recording: Recording | None = None
        self._cancelled = False
        self._wake = threading.Event()
        row = run_store.row(store, id)
        assert row is not None
        self._row = row
        if row.status != "finished" or not self._read():
            thread = threading.Thread(
                target=contextvars.copy_context().run, args=(self._main,), name=f"run {id}", daemon=True
            )
            thread.start()

    # -- for its owner ----------------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result. Raises the flow's error, `TimeoutError`, or `CancelledError` after `cancel`."""
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            if self._future.done():
                raise
            raise TimeoutError(f"the run {self.id} has no result after {timeout} s (it is {self.status})") from None

    def done(self) -> bool:
        return self._future.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return self._future.exception(timeout)

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    @property
    def status(self) -> Status:
        """``running``, ``waiting`` for a person, ``finished``, ``failed``, or ``interrupted``: nobody works on it."""
        return status_of(self._store, self.id)

    def events(self) -> Iterator[Started | Finished | Failed | Done[T]]:
        """What has happened and what happens, until the run ends (`Done` with the result, or `Failed`) or is
        interrupted. Values of calls are in their JSON form."""
        yield from journal_events(self._store, self.id, self._is_over, self._wake.wait)
        if self._future.done():
            error = self._future.exception()
            if error is None:
                yield Done(self._future.result())
            elif not isinstance(error, CancelledError):
                yield Failed("", f"{type(error).__name__}: {error}")

    def messages(self) -> list[Call]:
        """Every recorded call in full: inputs, prompt, answer, value, seconds; oldest first."""
        return list(self._store.calls(self.id))

    def cancel(self) -> None:
        """Stop at the next call; what is recorded stays, and `resume` goes on from there. Raises `RunBusy` where
        another process works on it."""
        if self._future.done():
            return
        self._cancelled = True
        recording = self._recording
        if recording is None and RunLock(self._store.folder, self.id).is_held():
            self._cancelled = False
            raise RunBusy(f"Another process works on the run {self.id}.", "Cancel it there, or end that process.")
        if recording is not None and recording.stop is None:
            recording.stop = Cancelled()
        wake()

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.flow.name}: {self.status}>"

    def _is_over(self) -> bool:
        return self._future.done()

    # -- the work ---------------------------------------------------------------------------------------------------

    def _main(self) -> None:
        lock = RunLock(self._store.folder, self.id)
        try:
            while not lock.acquire():
                if self._ended():
                    return
                if self._cancelled:
                    raise CancelledError
                time.sleep(LOOK_EVERY)
            try:
                if not self._ended():
                    self._work()
            finally:
                lock.release()
        except BaseException as error:
            self._end(error=error)
        finally:
            key = (str(self._store.file), self.id)
            with _lock:
                if ACTIVE.get(key) is self:
                    del ACTIVE[key]
            self._wake.set()

    def _ended(self) -> bool:
        """Whether somebody else has ended the run since this object looked."""
        row = run_store.row(self._store, self.id)
        if row is None:
            raise DataError(f"The run {self.id} was removed from the store.", "Start it again.")
        if row.finished is None or row.finished == self._row.finished:
            return False
        if row.status == "finished":
            return self._read()
        if row.status == "interrupted":
            self._end(error=CancelledError())
        else:
            failure = run_store.outcome(self._store, self.id)[1]
            self._end(error=failure_from_json(failure) if failure else RecordedError("The run failed.", "Resume it."))
        return True

    def _read(self) -> bool:
        """Take the result from the store; False where it was not written down."""
        result = run_store.outcome(self._store, self.id)[0]
        if result is None:
            return False
        self._end(read_result(self.flow, result))
        return True

    def _work(self) -> None:
        info = self._row.info
        args, kwargs = read_inputs(self.flow, info["inputs"])
        run_store.working(self._store, self.id)
        flow = self.flow
        if flow.own.journal is not None or flow.own.store is not None:
            flow = flow.using(journal=True, store=self._store)
        kept = {name: value for name, value in info["settings"].items() if name != "model" or current().model is None}
        while True:
            recording = self._recording = Recording(self._store, self.id)
            if self._cancelled:
                recording.stop = Cancelled()
            scope = Scope(self.id, replay=True, store=self._store, recording=recording)
            try:
                with using(**kept, store=self._store, journal=True), inside(scope):
                    result = flow._run(None, args, kwargs)
                recording.finish()
            except BaseException as error:
                stop = recording.stop
                recording.close(Cancelled(), wake)
                if isinstance(error, Cancelled) or isinstance(stop, Cancelled):
                    run_store.end(self._store, self.id, "interrupted")
                    raise CancelledError from None
                error = stop or error
                blamed = recording.blamed(error)
                run_store.end(self._store, self.id, "failed", failure=failure_to_json(error), retry=blamed)
                if blamed & recording.replayed:
                    run_store.working(self._store, self.id)
                    continue  # an earlier process ended before it could say that the run failed by this
                raise error from None
            run_store.end(self._store, self.id, "finished", result=write_result(self.flow, result))
            self._end(result)
            return

    def _end(self, result: Any = None, error: BaseException | None = None) -> None:
        if self._future.done():
            return
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(result)
        self._wake.set()


# -- starting and finding them ----------------------------------------------------------------------------------------


def start(flow: Any, args: tuple[Any, ...], kwargs: dict[str, Any], id: str | None = None) -> Run[Any]:
    """Begin a run of a flow, or find the run of this id again (see `Flow.start`)."""
    session = flow.own.over(current())
    store = store_in_force(session)
    if id is None:
        id = new_run_id(flow.name)
    elif not isinstance(id, str) or not id.strip() or not id.isprintable() or len(id) > 200:
        raise DataError(f"{id!r} cannot name a run.", "Use a text of up to 200 printable characters.")
    inputs = write_inputs(flow, args, kwargs)
    said = {name: value for name in KEPT if (value := getattr(session, name)) is not None}
    if isinstance(session.model, str):
        said["model"] = session.model
    function = flow.function
    info = {
        "flow": f"{function.__module__}:{function.__qualname__}", "file": function.__code__.co_filename,
        "inputs": inputs, "settings": said, "state": flow.state() if flow.bound else None,
    }  # fmt: skip
    if store.begin(id, flow.name, "", info) is not None:
        _check_same(store, id, info)
    return _attach(store, id, flow)


def resume(id: str, flow: Any = None, *, store: Any = None) -> Run[Any]:
    """Go on with a run: replay what is recorded, continue after it. A finished run only gives its result.

    Args:
        id: of the run. flow: its flow; default: found by the recorded name, among the flows defined in this process or
            by importing the module. store: folder of the store (default: the session's).

    Raises `DataError` when there is no such run or its flow is not to be found.
    """
    place = store_in_force(settings(store=store).over(current()) if store is not None else current())
    row = run_store.row(place, id)
    if row is None or "flow" not in row.info:
        near = ", ".join(one.run for one in run_store.rows(place)[:5]) or "none"
        what = f"The run {id!r} is no durable run." if row else f"There is no run {id!r} in {place.file}."
        raise DataError(what, f"Newest durable runs: {near}; list them with `thalweg runs`.")
    if flow is None:
        flow = _find(row)
    elif flow.name != row.program:
        raise NonDeterminism(f"The run {id} is one of `{row.program}`, not of `{flow.name}`.", SAME_PROGRAM)
    if row.info.get("state") and not flow.bound:
        flow = flow.bind(row.info["state"])
    return _attach(place, id, flow)


def _attach(store: Store, id: str, flow: Any) -> Run[Any]:
    key = (str(store.file), id)
    with _lock:
        run = ACTIVE.get(key)
        if run is None or run.done():
            run = Run(store, id, flow)
            if not run.done():
                ACTIVE[key] = run
    return run


def _check_same(store: Store, id: str, info: dict[str, Any]) -> None:
    row = run_store.row(store, id)
    before = row.info if row is not None else {}
    if "flow" not in before:
        raise NonDeterminism(f"The id {id} belongs to a run of another kind.", "Choose another id.")
    (module, _, name), (module_now, _, name_now) = before["flow"].partition(":"), info["flow"].partition(":")
    if name != name_now or (module != module_now and before["file"] != info["file"]):
        raise NonDeterminism(
            f"The run {id} was begun with the flow {before['flow']} and is now started with {info['flow']}.",
            "Choose another id, or start it with the flow it was begun with.",
        )
    if told := differences(before["inputs"], info["inputs"]):
        raise NonDeterminism(
            f"The run {id} was begun with other inputs: {told}.",
            f"Choose another id; `tw.resume({id!r})` goes on with the inputs it was begun with.",
        )


def _find(row: run_store.Row) -> Any:
    name = row.info["flow"]
    found = FLOWS.get(name)
    if found is not None:
        return found
    module, _, path = name.partition(":")
    problem = "it is not defined in this process"
    if module != "__main__" and "<locals>" not in path:
        try:
            made: Any = sys.modules.get(module) or importlib.import_module(module)
            for part in path.split("."):
                made = getattr(made, part)
            if isinstance(made, Flow):
                return made
            problem = f"{name} is no flow"
        except ImportError as error:
            problem = f"{module} cannot be imported ({error})"
        except AttributeError:
            problem = f"{module} has no {path}"
    raise DataError(
        f"The flow of the run {row.run}, {name} (begun from {row.info['file']}), is not to be found: {problem}.",
        "Give it: `tw.resume(id, flow)`, `thalweg resume ID --flow FILE.py:NAME`, or run its script again.",
    )


__all__ = ["Run", "RunInfo", "resume", "runs", "start"]
