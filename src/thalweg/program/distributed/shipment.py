"""`Shipment`: a program as data, made anew in another process that has none of its files.

It holds the sources of the program's module and of those modules beside it that were imported, the program's
parameters and its own settings. Nothing is pickled by reference, so a worker needs this library and what the program
imports from site-packages, but neither the same file system nor the same working directory.
Cost: the size of the sources, once a worker.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from thalweg.errors import UnsupportedByBackend
from thalweg.program.flow import Flow

_LOCAL = ("model", "store", "human", "progress", "labels")  # settings that belong to this process


@dataclass(frozen=True)
class Shipment:
    """A program's sources by path, the module and name it is found under, its state and its own settings."""

    files: dict[str, str]
    module: str
    name: str
    state: dict[str, Any]
    own: dict[str, Any]

    @classmethod
    def of(cls, program: Any) -> Shipment:
        """Pack a program.

        Raises:
            UnsupportedByBackend: it was not made at the top level of a file, or has choices bound to it.
        """
        source = inspect.getsourcefile(program.function)
        name = program.function.__qualname__
        if source is None or not Path(source).is_file() or "." in name:
            raise UnsupportedByBackend(
                f"`{program.name}` cannot be sent to other machines: it is not at the top level of a file.",
                "Move it to a file of its own, and name that file.",
            )
        if isinstance(program, Flow) and program.chosen is not None:
            raise UnsupportedByBackend(
                f"`{program.name}` has choices bound to it, which cannot be sent to other machines.",
                "Save its state, and load that into the program of the file.",
            )
        if program.own.model is not None and not isinstance(program.own.model, str):
            raise UnsupportedByBackend(
                f"`{program.name}` has a model object of its own, which cannot be sent to other machines.",
                "Give the model by its name.",
            )
        path = Path(source).resolve()
        module = program.function.__module__
        dotted = module if module in sys.modules and module != "__main__" else path.stem
        parts = dotted.split(".")
        top = path.parents[len(parts) - 1 + (path.name == "__init__.py")]
        return cls(_sources(top, path), dotted, name, program.state(), settings_said(program.own, model=True))

    def open(self, top: Path) -> Any:
        """The program, from files written to the folder `top`. Imports its module."""
        for name, text in self.files.items():
            place = top / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        sys.path.insert(0, str(top))
        importlib.invalidate_caches()
        program = getattr(importlib.import_module(self.module), self.name)
        if self.state:
            program = program.bind(self.state)
        return program.using(**self.own) if self.own else program


def settings_said(session: Any, *, model: bool = False) -> dict[str, Any]:
    """The settings of a session that hold on another machine too."""
    said = {one.name: getattr(session, one.name) for one in fields(session)}
    return {
        name: value
        for name, value in said.items()
        if value is not None and (name not in _LOCAL or (name == "model" and model))
    }


def _sources(top: Path, own: Path) -> dict[str, str]:
    """The program's file, and the imported modules that lie beside or below it."""
    files = {own}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not name or not name.endswith(".py"):
            continue
        path = Path(name).resolve()
        if path.is_relative_to(top) and "site-packages" not in path.parts and path.is_file():
            if module.__name__.partition(".")[0] in ("thalweg", "ray"):
                continue
            files.add(path)
    return {str(path.relative_to(top)): path.read_text(encoding="utf-8") for path in sorted(files)}
