"""`enter`: put up every layer the parent asked for, in the one order that works, and say which ones stand.

Files are placed while the folder is still the only new thing; limits come before the kernel layers that would refuse to
set them; the filter of system calls comes last. A layer that was asked for and fails stops the run: nothing runs weaker
than it was promised.
"""

from __future__ import annotations

import os
import resource


def enter(jail: dict) -> list[str]:
    """Confine this process as `jail` says. Returns the layers in force."""
    wanted, layers = jail["layers"], []
    if not set(wanted) & {"namespaces", "landlock", "seccomp"}:
        os.chdir(jail["folder"])
        _place(jail["files"])
        _limit(jail)
        from thalweg.program.sandbox.child.audit import install as install_hook

        install_hook(jail)
        return list(wanted)

    import ctypes

    from thalweg.program.sandbox.child.landlock import restrict
    from thalweg.program.sandbox.child.namespaces import drop_bound, drop_capabilities
    from thalweg.program.sandbox.child.namespaces import enter as enter_namespaces
    from thalweg.program.sandbox.child.seccomp import install as install_filter
    from thalweg.program.sandbox.child.seccomp import program as filter_program

    libc = ctypes.CDLL(None, use_errno=True)
    if "bubblewrap" in wanted:
        layers.append("bubblewrap")
    else:
        libc.prctl(1, 9, 0, 0, 0)  # die with the parent
    if "namespaces" in wanted:
        enter_namespaces(libc, jail)
        layers.append("namespaces")
    else:
        drop_bound(libc)
        drop_capabilities(libc)
    os.chdir(jail["folder"])
    _place(jail["files"])
    _limit(jail)
    libc.prctl(4, 0, 0, 0, 0)  # not dumpable: no core for a handler, nobody attaches
    if "landlock" in wanted and restrict(libc, jail["visible"], [jail["folder"]], jail["devices"]):
        layers.append("landlock")
    elif not layers:
        raise OSError("the kernel has no Landlock")
    if "seccomp" in wanted:
        install_filter(libc, filter_program(os.uname().machine, os.getpid(), metadata=jail["outside_visible"]))
        layers.append("seccomp")
    return layers


def _place(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        if folder := os.path.dirname(name):
            os.makedirs(folder, exist_ok=True)
        with open(name, "wb") as file:
            file.write(content)


def _limit(jail: dict) -> None:
    for name, value in jail["limits"].items():
        number = getattr(resource, "RLIMIT_" + name, None)
        if number is None:
            continue
        soft, hard = value if isinstance(value, tuple) else (value, value)
        _, ceiling = resource.getrlimit(number)
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        try:
            resource.setrlimit(number, (soft, hard))
        except (ValueError, OSError):
            if name != "AS":  # macOS knows the name and refuses the value
                raise
