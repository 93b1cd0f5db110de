"""Trials: each test by itself, outcomes told by a process the code cannot reach, and no way to pass but by answers."""

from __future__ import annotations

import pytest

from thalweg.errors import GeneratedCodeError
from thalweg.program.sandbox import Report, Sandbox

ANY = Sandbox(require="any", seconds=3)
WRONG = "def add(a, b): return a - b\n"
TESTS = "assert add(2, 3) == 5\nassert add(0, 0) == 0\ndef test_negative(): assert add(-1, 1) == 0"


def statuses(report: Report) -> list[str]:
    return [check.status for check in report.checks]


def test_each_test_is_decided_by_itself(backend) -> None:
    report = Sandbox(via=backend, require="any").test(WRONG, TESTS)
    assert statuses(report) == ["failed", "passed", "failed"]
    assert report.checks[0].message == "add(2, 3) == 5 does not hold; the left side is -1, the right side is 5"
    assert report.verdict.status == "refuted"
    assert report.verdict.witness == "add(2, 3) == 5"
    assert float(report.score) == 1 / 3
    assert "1 of 3 tests passed." in report.feedback
    assert not report


def test_a_right_program_passes(backend) -> None:
    report = Sandbox(via=backend, require="any").test("def add(a, b): return a + b", TESTS)
    assert report
    assert (report.verdict.status, report.verdict.cases) == ("tested", 3)


def test_shapes_of_tests_are_understood() -> None:
    source = "def add(a, b): return a + b\nLIMIT = 3"
    tests = """
import unittest
from program import add as plus
def check(candidate):
    for n in range(3):
        assert candidate(n, 1) == n + 1
check(add)
plus(1, 1)
assert LIMIT == 3, "limit"
class TestPlain:
    def setup_method(self): self.base = 4
    def test_base(self): assert add(self.base, 1) == 5
class Case(unittest.TestCase):
    def setUp(self): self.base = 1
    def test_equal(self): self.assertEqual(add(self.base, 1), 2)
    def test_wrong(self): self.assertEqual(add(self.base, 1), 3)
"""
    report = ANY.test(source, tests)
    assert [check.name for check in report.checks] == [
        "check(add)", "plus(1, 1)", "LIMIT == 3", "TestPlain.test_base", "Case.test_equal", "Case.test_wrong",
    ]  # fmt: skip
    assert statuses(report) == ["passed"] * 5 + ["failed"]


def test_values_and_objects_cross_as_what_they_are() -> None:
    source = """
import collections, dataclasses, datetime, decimal, enum, math
@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    def move(self, by): self.x += by; return self
    def __add__(self, other): return Point(self.x + other.x, self.y + other.y)
    def __len__(self): return 2
    def __iter__(self): return iter((self.x, self.y))
    def __getitem__(self, at): return (self.x, self.y)[at]
Pair = collections.namedtuple("Pair", "a b")
class Colour(enum.IntEnum): RED = 1
class Broken(ValueError):
    def __init__(self, code): super().__init__(f"code {code}"); self.code = code
def echo(x): return x
def sort(x): x.sort()
def fill(grid):
    for row in grid: row[0] = 9
def put(d): d["k"] = 1
def pair(): return Pair(1, 2)
def count(s): return collections.Counter(s)
def group(): d = collections.defaultdict(list); d[1].append(2); return d
def numbers():
    yield 1
    yield 2
def fail(): raise Broken(7)
def twice(f, x): return f(f(x))
def walk(node): return [] if node is None else [node.value, *walk(node.next)]
def parse(s): import json; return json.loads(s)
"""
    tests = """
import collections, datetime, decimal, json
for_values = [None, True, 1, 10**5000, 1.5, float("inf"), "a\\0\\ud800", b"\\xff", (1, (2,)), {1: "a", (1, 2): [3]},
    {1, 2}, frozenset("ab"), [[]], 1j, range(3), decimal.Decimal("1.10"), datetime.datetime(2020, 1, 2),
    collections.deque([1])]
def test_echo():
    for value in for_values:
        assert echo(value) == value and type(echo(value)) is type(value)
def test_in_place():
    x = [3, 1]; sort(x); assert x == [1, 3]
    grid = [[1, 2], [3]]; first = grid[0]; fill(grid); assert first == [9, 2] and grid[1] == [9]
    d = {}; put(d); assert d == {"k": 1}
def test_objects():
    p = Point(1); assert p == Point(1) and p != Point(2) and p.x == 1
    assert p.move(2) is p and p.x == 3
    p.x = 5; assert (p + Point(1)).x == 6 and len(p) == 2 and list(p) == [5, 0] and p[0] == 5
    assert isinstance(p, Point) and not isinstance(3, Point) and repr(p) == "Point(x=5, y=0)"
def test_subclasses():
    assert pair() == (1, 2) and pair().a == 1 and isinstance(pair(), tuple) and Colour.RED == 1 and Colour(1) < 2
    assert count("aab") == {"a": 2, "b": 1} and count("aab").most_common(1) == [("a", 2)]
    assert group() == {1: [2]} and isinstance(group(), dict)
def test_generators(): assert list(numbers()) == [1, 2] and sum(numbers()) == 3
def test_exceptions():
    try: fail()
    except Broken as error: assert str(error) == "code 7" and isinstance(error, ValueError)
    else: assert False
    try: parse("{")
    except json.JSONDecodeError: pass
def test_callbacks(): assert twice(lambda n: n + 1, 1) == 3
class Node:
    def __init__(self, value, next=None): self.value, self.next = value, next
def test_own_objects(): assert walk(Node(1, Node(2))) == [1, 2]
def test_modules(): assert math.sqrt(4) == 2
"""
    report = ANY.test(source, tests)
    assert report, report.feedback


FORGERIES = {
    "leave early": "import os; os._exit(0)",
    "leave politely": "import sys; sys.exit(0)",
    "leave in the call": "import os\ndef add(a, b): os._exit(0)",
    "raise exit in the call": "def add(a, b): raise SystemExit(0)",
    "print success": "print('passed 3 of 3', '[0, \"passed\", \"\"]')",
    "an answer equal to all": "class A:\n  def __eq__(self, o): return True\ndef add(a, b): return A()",
    "an int equal to all": "class A(int):\n  def __eq__(self, o): return True\ndef add(a, b): return A(-7)",
    "a tuple equal to all": "class A(tuple):\n  __eq__ = lambda s, o: True\ndef add(a, b): return A()",
    "a mock": "from unittest.mock import ANY\ndef add(a, b): return ANY",
    "no assertion error": "import builtins; builtins.AssertionError = type('X', (Exception,), {})\n" + WRONG,
    "another exec": "import builtins; builtins.exec = builtins.compile = lambda *a, **k: None\n" + WRONG,
    "another ast": "import ast; ast.parse = lambda *a, **k: ast.Module([], [])\n" + WRONG,
    "search the tests": """
import gc, sys
def add(a, b):
    needle = ", 3)".join(["add(2", ""])  # so that it does not find itself
    for thing in gc.get_objects():
        if type(thing) is dict and any(needle in v for v in list(thing.values()) if type(v) is str):
            return 5
    frame = sys._getframe().f_back
    while frame:
        if needle in str(frame.f_locals): return 5
        frame = frame.f_back
    return -1""",
    "write results on every descriptor": """
import os, sys
frame = sys._getframe()
while "channel" not in frame.f_locals: frame = frame.f_back
channel = frame.f_locals["channel"]
for index in range(3): channel.send("R", b'[%d, "passed", ""]' % index)
channel.send("D", b"0")
for fd in range(3, 64):
    try: os.write(fd, channel._nonce + b'R00000010[0, "passed", ""]')
    except OSError: pass
""",
    "answer every question at once": """
import sys
frame = sys._getframe()
while "wire" not in frame.f_locals: frame = frame.f_back
wire = frame.f_locals["wire"]
wire.send({"offered": {"add": {"mine": 0, "class": "f", "plain": [5]}}, "modules": {}})
for _ in range(9): wire.send({"value": {"mine": 1, "class": "A", "plain": []}})
import os; os._exit(0)
""",
    "walk from a callback": """
import sys
frame = sys._getframe()
while "wire" not in frame.f_locals: frame = frame.f_back
wire = frame.f_locals["wire"]
def add(a, b):
    for number in range(9):
        for name in ("__globals__", "__code__", "__class__", "__dict__"):
            try: wire.ask("getattr", number, name)
            except Exception as error: print(type(error).__name__)
    return -1""",
    "send nonsense": """
import os
for fd in range(3, 64):
    try: os.write(fd, b"00000002[]" * 9)
    except OSError: pass""",
    "send a bottomless value": """
import os
for fd in range(3, 64):
    try: os.write(fd, b"0000ea60" + b"[" * 60000)
    except OSError: pass""",
    "send far too much": "def add(a, b): return 'x' * 10**7",
    "a class that is whatever is asked": """
class Meta(type):
    def __instancecheck__(cls, x): return True
class A(metaclass=Meta):
    def __class_getitem__(cls, x): return 5
add = A""",
    "hang in the comparison": "class A:\n  def __eq__(self, o):\n    while True: pass\nadd = lambda a, b: A()",
    "files for the tests to import": "open('json.py', 'w').write('raise SystemExit')\n" + WRONG,
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forgery_passes_a_test(forgery: str) -> None:
    report = ANY.test(
        FORGERIES[forgery], "assert add(2, 3) == 5\nassert add(2, 2) == 4\ndef test_more(): assert add(1, 1) == 2"
    )
    assert len(report.checks) == 3
    assert statuses(report).count("passed") == 0


def test_a_callback_gives_no_way_to_the_tests() -> None:
    source = """
def use(f, box):
    found = []
    for name in ("__globals__", "__closure__", "__code__", "__class__", "__dict__", "_hidden", "__init__"):
        for thing in (f, box, box.method):
            try: thing.__getattr__(name); found.append(name)
            except TypeError: pass
    return found + [box.open]
"""
    tests = """
class Box:
    def __init__(self): self.open, self._hidden = "open", "hidden"
    def method(self): pass
def test(): assert use(lambda: None, Box()) == ["open"]
"""
    report = ANY.test(source, tests)
    assert report, report.feedback


def test_a_test_that_ends_the_program_hides_no_other(backend) -> None:
    source = "import os\ndef f(n):\n    if n == 1: os._exit(0)\n    if n == 2: os.abort()\n    return n"
    report = Sandbox(via=backend, require="any").test(source, "\n".join(f"assert f({n}) == {n}" for n in range(4)))
    assert statuses(report) == ["passed", "error", "error", "passed"]
    assert "left with code 0 during this test" in report.checks[1].message


def test_a_test_that_hangs_hides_no_other() -> None:
    source = "def f(n):\n    while n == 1: pass\n    return n"
    report = Sandbox(require="any", seconds=1).test(source, "\n".join(f"assert f({n}) == {n}" for n in range(3)))
    assert statuses(report) == ["passed", "timeout", "passed"]
    assert report.verdict.status == "refuted"


def test_tests_after_many_ends_are_unreached_not_passed() -> None:
    report = ANY.test("import os\ndef f(): os._exit(0)", "assert f() is None\n" * 6)
    assert statuses(report) == ["error"] * 4 + ["unreached"] * 2


def test_a_program_that_does_not_load_fails_every_test() -> None:
    report = ANY.test("x = 1\n1 / 0", "assert x == 1\nassert x == 2")
    assert statuses(report) == ["error", "error"]
    assert "ZeroDivisionError" in report.checks[0].message
    assert "line 2" in report.checks[0].message
    hanging = Sandbox(require="any", seconds=0.8).test("while True: pass", "assert x == 1")
    assert statuses(hanging) == ["timeout"]


def test_a_missing_function_is_an_error_of_the_test() -> None:
    report = ANY.test("def other(): pass", "assert add(1, 2) == 3")
    assert statuses(report) == ["error"]
    assert "NameError" in report.checks[0].message


def test_an_exception_names_the_line_of_the_program() -> None:
    report = ANY.test("def f(x):\n    y = x + 1\n    return y / 0", "assert f(1) == 1")
    assert report.checks[0].message == "ZeroDivisionError: division by zero (line 3 of the program)"


@pytest.mark.parametrize(
    ("tests", "words"), [("assert (", "do not parse, line 1"), ("x = 1", "hold no test"), ("", "hold no test")]
)
def test_tests_that_are_none_are_refused(tests: str, words: str) -> None:
    with pytest.raises(GeneratedCodeError, match=words):
        ANY.test("x = 1", tests)
