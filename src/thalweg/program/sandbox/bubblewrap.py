"""Bubblewrap: the namespaces of `child/namespaces.py`, put up by a small, widely audited program instead of by us.

Choose it where `bwrap` is installed; it is the default there. Source: the Bubblewrap project (Larsson, McVittie and
others, 2016-), LGPL, called as a program. Cost: about 5 ms.
"""

from __future__ import annotations

import shutil
from typing import Any


def executable() -> str | None:
    return shutil.which("bwrap")


def command(jail: dict[str, Any]) -> list[str]:
    """The words before the interpreter's own."""
    words = [executable() or "bwrap", "--unshare-all", "--die-with-parent", "--hostname", "sandbox"]
    words += ["--cap-drop", "ALL"]
    for path in jail["readable"]:
        words += ["--ro-bind", path, path]
    for link, target in jail["links"]:
        words += ["--symlink", target, link]
    for path in jail["masked"]:
        words += ["--tmpfs", path, "--remount-ro", path]
    for path in jail["unmasked"]:
        words += ["--ro-bind", path, path]
    for path in jail["devices"]:
        words += ["--dev-bind", path, path]
    words += ["--perms", "0700", "--size", str(jail["disk"]), "--tmpfs", jail["folder"]]
    return [*words, "--remount-ro", "/", "--chdir", jail["folder"], "--"]
