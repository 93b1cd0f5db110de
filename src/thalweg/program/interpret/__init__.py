"""An interpreter of `FlowIR` that carries information-flow labels, and runs flows that come as data.

Plain values carry no labels, so where labels are in play a flow's statements are interpreted: every value has a label,
and so has control. **Covered**: operands, branches (taken or not), loops, exceptions, early returns, containers and
objects by identity, closures, globals, plain helpers (as a whole), tools, flows, learned calls. **Not covered**: how
long something takes, whether it ends, and that a sink was not called or a violation was raised - one bit each. Calls
do not overlap here. Source: Denning 1976; Sabelfeld and Myers 2003, "Language-based information-flow security".
Cost: about 10 microseconds a statement; nothing for flows where no label is in play.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.program.interpret.running import LabelledRun, collecting, in_play, interpret, labelled_run


def __getattr__(name: str) -> Any:  # imported with the first flow that runs, so that `import thalweg` stays light
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.running"), name)
    return found


__all__ = ["LabelledRun", "collecting", "in_play", "interpret", "labelled_run"]
