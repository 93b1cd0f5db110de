"""`path/to/file.py:name` or `package.module:name` -> the program it names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import click

from thalweg.program import Flow, Learned


def load_program(target: str) -> Any:
    """Import a file or module and take a flow or learned function from it. Raises `click.UsageError`."""
    place, _, name = target.rpartition(":")
    if not place:
        place, name = target, ""
    programs = _programs(place)
    if not name:
        flows = [key for key, one in programs.items() if isinstance(one, Flow)] or list(programs)
        if len(flows) != 1:
            raise click.UsageError(f"{place} holds {_listed(programs)}. Name one: {place}:NAME")
        name = flows[0]
    if name not in programs:
        near = difflib.get_close_matches(name, programs, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"{place} has no flow or learned function {name!r}; it holds {_listed(programs)}.{hint}")
    return programs[name]


def load_programs(target: str) -> dict[str, Any]:
    """By name: the program that `target` names, or without a name all that the file defines."""
    if target.endswith(".py") or ":" not in target:
        programs = _programs(target)
        if not programs:
            raise click.UsageError(f"{target} defines no flow and no learned function.")
        return programs
    program = load_program(target)
    return {program.name: program}


def load_object(target: str) -> Any:
    """Anything that a file or module holds: `path/to/file.py:name`. A file whose program is loaded is not run again,
    so that its classes stay the same. Raises `click.UsageError`."""
    place, _, name = target.rpartition(":")
    known = sys.modules.get(Path(place).stem)
    same = known is not None and Path(getattr(known, "__file__", None) or ".").resolve() == Path(place).resolve()
    module = known if same else _import(place)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, vars(module), 1)
        raise click.UsageError(f"{place} has no {name!r}.{f' Did you mean {near[0]}?' if near else ''}")
    return getattr(module, name)


def _programs(place: str) -> dict[str, Any]:
    return {key: one for key, one in vars(_import(place)).items() if isinstance(one, Flow | Learned)}


def _import(place: str) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise click.UsageError(f"There is no module {place!r} ({error}). Give a path ending in .py.") from error
    path = Path(place)
    if not path.is_file():
        raise click.UsageError(f"There is no file {place}.")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}" if error.filename else place
        raise click.UsageError(f"{where} is not valid Python: {error.msg}.") from error
    return module


def _listed(programs: dict[str, Any]) -> str:
    return ", ".join(programs) if programs else "none"
