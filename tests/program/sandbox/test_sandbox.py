"""Running, calling, and clear words for what is wrong with code, arguments or machine."""

from __future__ import annotations

import concurrent.futures
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import BudgetExceeded, GeneratedCodeError, SandboxUnavailable
from thalweg.program.sandbox import Sandbox, backends, run_python
from thalweg.program.sandbox import backend as backend_here
from thalweg.program.sandbox.backends import Probe

ANY = Sandbox(require="any")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def on(backend, **limits) -> Sandbox:
    return Sandbox(via=backend, require="any", **limits)


def test_a_program_reads_its_input_and_writes_its_output(backend) -> None:
    source = "import sys\nprint(sys.stdin.read().upper())\nprint('e', file=sys.stderr)"
    execution = on(backend).run(source, stdin="grüße")
    assert (execution.stdout, execution.stderr, execution.exit_code, execution.status) == ("GRÜSSE\n", "e\n", 0, "ok")
    assert execution
    assert execution.backend == on(backend).backend()


def test_files_are_placed_and_importable(backend) -> None:
    sandbox = on(backend, files={"tool.py": "def f(): return 7", "data/a.bin": b"\xff"})
    execution = sandbox.run(
        "import tool; print(tool.f(), open('data/a.bin', 'rb').read(), open('b').read())", files={"b": "x"}
    )
    assert execution.stdout == "7 b'\\xff' x\n"


def test_runs_share_nothing(backend) -> None:
    sandbox = on(backend)
    assert sandbox.run("open('left', 'w').write('x')").status == "ok"
    assert sandbox.run("import os; print(os.listdir('.'))").stdout == "[]\n"


def test_the_environment_is_clean(backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    execution = on(backend).run("import os; print(sorted(os.environ), os.environ['HOME'] == os.getcwd())")
    assert "API_KEY" not in execution.stdout
    assert execution.stdout.endswith("True\n")


def test_threads_and_asyncio_work_where_the_kernel_holds(strong_backend) -> None:
    source = """
import asyncio, concurrent.futures, tempfile, dataclasses, decimal, re, shutil
async def main(): return await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(3)))
print(asyncio.run(main()))
with concurrent.futures.ThreadPoolExecutor(4) as pool: print(list(pool.map(abs, [-1, -2])))
with tempfile.NamedTemporaryFile("w+") as file: file.write("x"); file.seek(0); print(file.read())
"""
    execution = on(strong_backend).run(source)
    assert execution.stdout == "[0, 1, 2]\n[1, 2]\nx\n"


def test_a_named_package_is_there_and_no_other(strong_backend) -> None:
    pytest.importorskip("numpy")
    source = "import numpy; print(numpy.arange(4).sum())\nimport pytest"
    execution = on(strong_backend, packages=("numpy",), seconds=20, memory=2**30).run(source)
    assert execution.stdout == "6\n"
    assert execution.kind == "ModuleNotFoundError"


def test_a_call_returns_its_result(backend) -> None:
    assert on(backend).call("def f(a, b=1, **c): return {'sum': a + b, 'c': c, 't': (1,)}", "f", 2, b=3, x="y") == {
        "sum": 5, "c": {"x": "y"}, "t": [1],
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(json_values)
def test_a_json_value_survives_the_way_in_and_out(value: object) -> None:
    assert ANY.call("def f(x): return x", "f", value) == value


@pytest.mark.parametrize(
    ("source", "kind", "line", "words"),
    [
        ("def f(:\n  pass", "SyntaxError", 1, "invalid syntax"),
        ("x = 1\n\ndef f():\n    y = 0\n    return 1 / y", "ZeroDivisionError", 5, "division by zero"),
        ("def g(): pass", "LookupError", None, "no function `f`; it has g"),
        ("f = 3", "LookupError", None, "no function `f`"),
        ("def f(): return {1, 2}", "TypeError", None, "the result is a set"),
        ("def f(): return {'a': [{2: 3}]}", "TypeError", None, "the result['a'][0] has the key 2"),
        ("def f():\n  x = []; x.append(x); return x", "TypeError", None, "contains itself"),
        ("def f(): return b'x'", "TypeError", None, "is a bytes"),
        ("def f(a): pass", "TypeError", None, "missing 1 required"),
        ("def f(): raise SystemExit(0)", "SystemExit", 1, "SystemExit"),
        ("import os; os._exit(0)\ndef f(): return 1", "exit", None, "left with code 0 before its end"),
        ("def f():\n  import os; print('{\"value\": 1}', flush=True); os._exit(0)", "exit", None, "before its end"),
        ("x = 'a\0b'\ndef f(): pass", "ValueError", None, "null"),
        ("class E(Exception):\n  def __str__(self): raise KeyError\ndef f(): raise E", "E", None, "E"),
        ("def f(): return '\\ud800'.encode()", "UnicodeEncodeError", 1, "surrogates"),
        ("import definitely_not_there", "ModuleNotFoundError", 1, "definitely_not_there"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_code_is_told(source: str, kind: str, line: int | None, words: str) -> None:
    with pytest.raises(GeneratedCodeError) as caught:
        ANY.call(source, "f")
    if "\0" in source:
        assert caught.value.kind in ("ValueError", "SyntaxError")
    else:
        assert (caught.value.kind, caught.value.line) == (kind, line)
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")
    if line:
        assert f"line {line}" in caught.value.traceback
        assert "sandbox" not in caught.value.traceback


@pytest.mark.parametrize(
    "source",
    ["def f():\n  while True: pass", "def f(): return bytearray(10**11)"],
    ids=["time", "memory"],
)
def test_a_call_out_of_a_limit_is_a_budget_exceeded(source: str) -> None:
    with pytest.raises(BudgetExceeded):
        Sandbox(require="any", seconds=0.5).call(source, "f")


@pytest.mark.parametrize("value", [{1}, object(), b"x", float], ids=["set", "object", "bytes", "type"])
def test_arguments_without_json_form_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no JSON form"):
        ANY.call("def f(x): return x", "f", value)


def test_output_that_is_no_text_is_shown_as_far_as_it_goes(backend) -> None:
    execution = on(backend).run("import os; os.write(1, b'a\\xff\\x00b')")
    assert execution.stdout == "a\ufffd\x00b"


def test_a_program_may_leave_by_exit(backend) -> None:
    sandbox = on(backend)
    assert sandbox.run("print(1); exit()").status == "ok"
    assert sandbox.run("import sys; sys.exit(3)").exit_code == 3
    left = sandbox.run("raise SystemExit('sorry')")
    assert (left.status, left.exit_code, left.stderr) == ("error", 1, "sorry\n")


@pytest.mark.parametrize(
    "source",
    [
        "import os; os._exit(0)",
        "import atexit, os; atexit.register(os._exit, 0); raise ValueError('x')",
        "import os, sys; sys.excepthook = lambda *a: os._exit(0); 1 / 0",
        "import sys, os; sys.settrace(lambda *a: os._exit(0))\ndef f(): pass\nf()",
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'D000000010')\n  except OSError: pass\nos._exit(0)",
        "import os, sys; sys.stdout.flush = lambda: os._exit(0)",
        "import os\nclass E(Exception):\n  def __str__(self): os._exit(0)\nraise E",
    ],
    ids=["exit", "at exit", "hook", "trace", "false frames", "flush", "text"],
)
def test_leaving_early_is_no_success(backend, source: str) -> None:
    assert on(backend).run(source).status == "error"


@pytest.mark.parametrize("payload", ["b''", "b'9' * 99", "b'[' * 99999", "b'{}'"])
@pytest.mark.parametrize("letter", ["D", "X", "V", "E", "J"])
def test_no_report_of_the_code_disturbs_the_parent(letter: str, payload: str) -> None:
    source = f"""
import sys, os
frame = sys._getframe()
while "channel" not in frame.f_locals: frame = frame.f_back
frame.f_locals["channel"].send({letter!r}, {payload})
"""
    execution = ANY.run(source)
    assert execution.backend == ANY.backend()
    assert execution.status in ("ok", "error")
    with pytest.raises(GeneratedCodeError):
        ANY.call(source + "\nos._exit(0)", "f")


def test_many_runs_at_once_do_not_mix() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: ANY.call("def f(n): return n * n", "f", n), range(16)))
    assert results == [n * n for n in range(16)]


def test_without_isolation_nothing_runs_unless_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = backends.probed
    monkeypatch.setattr(backends, "probed", lambda name: real(name) if name == "process" else Probe(problem="not here"))
    with pytest.raises(SandboxUnavailable, match='require="any"'):
        Sandbox().run("print(1)")
    assert run_python("print(1)", require="any").backend == "audit hook only"
    assert Sandbox(require="any").backend() == "audit hook only"


def test_a_back_end_that_comes_up_weaker_than_probed_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    real = backends.probed
    monkeypatch.setattr(backends, "probed", lambda name: Probe(layers="more+" + real(name).layers))
    with pytest.raises(SandboxUnavailable, match="came up as"):
        ANY.run("print(1)")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no isolation elsewhere")
def test_linux_names_its_layers() -> None:
    if all(backends.probed(name).problem for name in backends.STRONG):
        pytest.skip("this kernel or container gives none")
    assert "seccomp" in backend_here("strong")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seconds": 0}, "positive number"), ({"seconds": float("inf")}, "positive number"), 
        ({"memory": 1}, "at least"),
        ({"via": "docker"}, "choose auto"), ({"require": "weak"}, "strong"), ({"packages": "numpy"}, "tuple"),
        ({"files": {"../x": ""}}, "relative path"), ({"files": {"/x": ""}}, "relative path"), 
        ({"files": {"": ""}}, "name"),
        ({"files": {"a\0": ""}}, "name"), ({"threads": 0}, "at least"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run_python("print(1)", **{"require": "any", **settings})


def test_a_package_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match="no installed package"):
        Sandbox(require="any", packages=("not_installed_here",)).run("print(1)")
