"""The sandbox: generated Python runs here, and nowhere else.

`Sandbox(...)` holds limits; `.run` a program, `.call` a function, `.test` a source against tests. The layers around
the code are the strongest the machine has (bubblewrap, namespaces, Landlock, seccomp); `backend()` names them, and
without one of them nothing runs unless `require="any"` is passed.

Lives here: `sandbox.py` (the door), `backends.py` (what works here), `launch.py`, `process.py` (start and watch),
`trial.py` (tests), `child/` (what runs inside). To add a layer, write it in `child/` and list it in `launch.LAYERS`.
"""

from thalweg.program.sandbox.backends import describe as backend
from thalweg.program.sandbox.execution import Check, Execution, Report
from thalweg.program.sandbox.sandbox import Sandbox, run_python

__all__ = ["Check", "Execution", "Report", "Sandbox", "backend", "run_python"]
