"""Where the interpreter and the named packages lie: the only files of this machine that generated code may read."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

SYSTEM_FOLDERS = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
SITE_FOLDERS = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Places:
    """`readable` paths, `links` to re-create among them, `masked` folders within, `packages` by import name.

    `visible` is the same for a layer that cannot mask: readable folders that hold a masked one are listed by their
    entries instead.
    """

    interpreter: str
    readable: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    masked: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]
    unmasked: tuple[str, ...]
    visible: tuple[str, ...]
    devices: tuple[str, ...]


@lru_cache(maxsize=64)
def places(packages: tuple[str, ...]) -> Places:
    """Find them. Raises `ModuleNotFoundError` for a package that is not installed."""
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    home = os.path.dirname(os.path.dirname(interpreter))
    libraries = {
        sysconfig.get_config_var("LIBDIR") or "",
        os.path.join(home, "lib"),
        os.path.join(home, sys.platlibdir),
    }
    wanted = [interpreter, *SYSTEM_FOLDERS, sysconfig.get_paths()["stdlib"], *sorted(libraries)]
    if interpreter.startswith("/nix/store/"):
        wanted.append("/nix/store")
    links = tuple((path, os.readlink(path)) for path in wanted if os.path.islink(path) and path.count("/") == 1)
    readable = _outermost([os.path.realpath(path) for path in wanted if path and os.path.exists(path)])
    found = tuple((name, _place(name)) for name in packages)
    unmasked = [place for _, place in found]
    unmasked += [place + ".libs" for place in unmasked if os.path.isdir(place + ".libs")]
    standard = os.path.realpath(sysconfig.get_paths()["stdlib"])
    site = [os.path.join(standard, name) for name in SITE_FOLDERS]
    site += [os.path.join(folder, "python3", "dist-packages") for folder in ("/usr/lib", "/usr/local/lib")]
    masked = tuple(path for path in site if os.path.isdir(path) and _outermost([*readable, path]) == readable)
    return Places(
        interpreter=interpreter,
        readable=readable,
        links=links,
        masked=masked,
        packages=found,
        unmasked=tuple(unmasked),
        visible=(*_without(readable, masked), *unmasked),
        devices=tuple(path for path in DEVICES if os.path.exists(path)),
    )


def _place(name: str) -> str:
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"packages={name!r}: no installed package of that import name. Install it, or give the name to import."
        )
    folders = spec.submodule_search_locations
    return os.path.realpath(next(iter(folders)) if folders else spec.origin)


def _outermost(paths: list[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for path in sorted(set(paths), key=len):
        if not any(path == above or path.startswith(above.rstrip("/") + "/") for above in kept):
            kept.append(path)
    return tuple(kept)


def _without(readable: tuple[str, ...], masked: tuple[str, ...]) -> tuple[str, ...]:
    """Paths that cover `readable` but nothing of `masked`: a folder above a masked one is replaced by its entries."""
    kept: list[str] = []
    for path in readable:
        if path in masked:
            continue
        if any(mask.startswith(path.rstrip("/") + "/") for mask in masked):
            kept += _without(tuple(entry.path for entry in os.scandir(path)), masked)
        else:
            kept.append(path)
    return tuple(kept)
