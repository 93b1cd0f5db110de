"""The back ends that work on this machine, as parameters.

The strongest and the weakest are tried by every run of the tests, those between them by the long one.
"""

from __future__ import annotations

import pytest

from thalweg.program.sandbox.backends import BACKENDS, STRONG, probed

HERE = [name for name in BACKENDS if not probed(name).problem]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, among in (("backend", BACKENDS), ("strong_backend", STRONG)):
        if fixture in metafunc.fixturenames:
            names = [name for name in HERE if name in among]
            marked = [n if n in (HERE[0], "process") else pytest.param(n, marks=pytest.mark.long) for n in names]
            metafunc.parametrize(fixture, marked)
