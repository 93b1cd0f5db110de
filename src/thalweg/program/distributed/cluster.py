"""Joining a Ray cluster, or starting one on this machine for the time of a run.

``ray`` joins the cluster of `RAY_ADDRESS` or starts a local one; ``ray:HOST:PORT`` (or ``ray:auto``) joins that one.
A cluster that was started here is shut down here; a connection that the program made before is used and left open.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.errors import ClusterError

OBJECT_STORE = 200 * 2**20  # bytes; rows pass through it only when they are large


@contextmanager
def cluster(on: str = "ray") -> Iterator[Any]:
    """The `ray` module, connected.

    Args:
        on: ``ray`` or ``ray:ADDRESS``.

    Raises:
        ClusterError: Ray is not installed, or no cluster answers at the address.
    """
    kind, _, address = on.partition(":")
    if kind != "ray":
        raise ClusterError(f"There is no kind of cluster {kind!r}.", "Write --on ray, or --on ray:ADDRESS.")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError("Ray is not installed.", "Install it: pip install 'thalweg[ray]'.") from error
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    main = threading.current_thread() is threading.main_thread()
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init("local", num_cpus=os.cpu_count(), object_store_memory=OBJECT_STORE, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        place = f"at {address}" if address else "on this machine"
        raise ClusterError(
            f"No Ray cluster can be had {place}: {str(error).splitlines()[0] if str(error) else error!r}.",
            "Start one with `ray start --head`, or leave the address out for a local one.",
        ) from error
    # Ray prints reports of dead workers on standard output, which is the command's; deaths are dealt with here.
    printing = vars(sys.modules["ray._private.worker"]) if "ray._private.worker" in sys.modules else {}
    printed = printing.get("_worker_logs_enabled")
    printing["_worker_logs_enabled"] = False
    try:
        if main and on_term is not None:
            signal.signal(signal.SIGTERM, on_term)  # Ray puts one of its own there, which ends the process at once
        yield ray
    finally:
        ray.shutdown()
        printing["_worker_logs_enabled"] = printed
