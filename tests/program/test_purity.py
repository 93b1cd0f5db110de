"""Purity: a table of functions with their verdicts, laws of the analysis, and a comparison with what functions do."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import datetime
import enum
import functools
import gc
import heapq
import io
import itertools
import json
import linecache
import math
import operator
import os
import random
import re
import sys
import textwrap
import threading
import time
import types
import uuid
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.program.purity import pure, reads_only, reads_state, why_impure, why_impure_call

PURE: list[Any] = []
IMPURE: list[tuple[Any, str]] = []


def yes(function: Any) -> Any:
    PURE.append(function)
    return function


def no(reason: str) -> Callable[[Any], Any]:
    def take(function: Any) -> Any:
        IMPURE.append((function, reason))
        return function

    return take


LOG: list[Any] = []
COUNTS: dict[str, int] = {}
GROUPS: defaultdict[str, list[int]] = defaultdict(list)
NUMBERS = itertools.count()
WORD = re.compile(r"\w+")
SIZES = {"s": 1, "m": 2}
STATE = 0


def scream(x: Any) -> Any:
    print(x)
    return x


def two_down(x: Any) -> Any:
    return scream(x)


def sink(out: list, x: Any) -> None:
    out.append(x)


def identity(x: Any) -> Any:
    return x


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0

    def norm(self) -> float:
        return math.hypot(self.x, self.y)

    @property
    def length(self) -> float:
        return self.norm()

    def moved(self, by: float) -> Point:
        return dataclasses.replace(self, x=self.x + by)


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)
    price: float = 0.0

    def add(self, item: str) -> None:
        self.items.append(item)

    def total(self) -> int:
        return len(self.items)

    def cached(self) -> float:
        self.price = 3.0
        return self.price


@dataclass
class Checked:
    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("no name")
        self.name = self.name.strip()


@dataclass
class Noisy:
    name: str

    def __post_init__(self) -> None:
        LOG.append(self.name)


class Pair(NamedTuple):
    left: int
    right: int

    def swapped(self) -> Pair:
        return Pair(self.right, self.left)


class Plain:
    def __init__(self, xs: list[int]) -> None:
        self.xs = list(xs)
        self.total = 0
        for x in xs:
            self.total += x
        self._prepare()

    def _prepare(self) -> None:
        self.ready = True


class Grabbing:
    def __init__(self, xs: list[int]) -> None:
        xs.append(1)
        self.xs = xs


class Registered:
    instances: list[Any] = []

    def __init__(self) -> None:
        self.instances.append(self)


class Problem(ValueError):
    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Sly:
    @property
    def value(self) -> int:
        LOG.append(1)
        return 1


class SlyOrder:
    def __lt__(self, other: Any) -> bool:
        print("compared")
        return True


class Base:
    def name(self) -> str:
        return "base"

    def shout(self) -> str:
        return self.name().upper()


class Loud(Base):
    def name(self) -> str:
        print("loud")
        return super().name()


class Quiet(Base):
    def name(self) -> str:
        return super().name() + "!"


class Adder:
    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: int) -> int:
        return x + self.n


class Tally:
    def __init__(self) -> None:
        self.n = 0

    def __call__(self, x: int) -> int:
        self.n += 1
        return x


class Model(pydantic.BaseModel):
    name: str
    tags: list[str] = []


class Validated(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, value: str) -> str:
        LOG.append(value)
        return value


class AfterInit(pydantic.BaseModel):
    name: str

    def model_post_init(self, context: Any) -> None:
        LOG.append(self.name)


@tw.learned
def read(text: str) -> str:
    """Read."""


@tw.flow
def quiet_flow(text: str) -> str:
    return read(text).strip()


@tw.flow
def loud_flow(text: str) -> str:
    print(text)
    return read(text)


@tw.tool(effect="write")
def send(text: str) -> None:
    LOG.append(text)


@tw.tool(effect="read")
def look(text: str) -> str:
    return str(LOG)


@tw.tool(effect="none")
def reckon(text: str) -> str:
    return text


# -- pure -------------------------------------------------------------------------------------------------------------


@yes
def plus_one(x):
    return x + 1


@yes
def clean(text: str) -> str:
    text = text.strip().lower()
    text += "."
    return re.sub(r"\s+", " ", text)


@yes
def clean_untyped(text):
    text = text.strip()
    text += "."
    return text.replace("a", "b")


@yes
def words(text: str) -> list[str]:
    found = []
    for match in WORD.finditer(text):
        found.append(match.group().lower())
    return sorted(set(found), key=len)


@yes
def histogram(xs: list[str]) -> dict[str, int]:
    counts = {}
    for x in xs:
        counts[x] = counts.get(x, 0) + 1
    return counts


@yes
def grouped(rows):
    groups = defaultdict(list)
    for row in rows:
        groups[row["key"]].append(row)
    for members in groups.values():
        members.sort(key=lambda row: row["n"])
    return {key: members for key, members in groups.items()}  # noqa: C416


@yes
def grouped_by_default(rows):
    groups = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups


@yes
def from_json(text: str) -> dict:
    data = json.loads(text)
    data["seen"] = True
    data["rows"].append({"a": 1})
    return data


@yes
def copied(xs):
    xs = list(xs)
    xs.append(1)
    xs[0] = 2
    del xs[1]
    xs += [3]
    return xs


@yes
def rebound_by_slice(xs: list[int]):
    ys = xs[:]
    ys.reverse()
    return ys


@yes
def deep(x):
    y = copy.deepcopy(x)
    y["a"]["b"] = 1
    return y


@yes
def matrix(n: int):
    rows = [[0] * n for _ in range(n)]
    rows[0][1] = 5
    for row in rows:
        row.append(1)
    return rows


@yes
def makes_dataclass(x: float) -> Point:
    return Point(x, y=2.0).moved(3.0)


@yes
def own_object(xs: list[str]) -> int:
    basket = Basket()
    for x in xs:
        basket.add(x)
    basket.price += 1
    return basket.total()


@yes
def own_plain(xs: list[int]):
    return Plain(xs).total


@yes
def checked(name: str) -> Checked:
    return Checked(name)


@yes
def raises(x: int) -> int:
    if x < 0:
        raise Problem(f"negative: {x}")
    try:
        return int("a")
    except ValueError as error:
        raise Problem(str(error)) from error
    finally:
        x = 0


@yes
def pairs(n: int) -> Pair:
    return Pair(n, 1)._replace(left=2).swapped()


@yes
def colour(name: str) -> str:
    return Colour(name).value if name else Colour.RED.name


@yes
def uses_collector(tree):
    def walk(node, out):
        out.append(node["value"])
        for child in node["children"]:
            walk(child, out)

    found = []
    walk(tree, found)
    return found


def collect(node, out):
    out.append(node)
    for child in node.get("children"):
        collect(child, out)


@yes
def uses_global_collector(tree):
    found = []
    collect(tree, found)
    return len(found)


@yes
def helper_fills(x):
    out = []
    sink(out, x)
    sink(out, x)
    return out


@yes
def closure_over_own():
    seen = set()

    def note(x):
        seen.add(x)
        return len(seen)

    return [note(1), note(2)]


@yes
def makes_counter():
    n = 0

    def count():
        nonlocal n
        n += 1
        return n

    return count


@yes
def generates(n: int):
    total = 0
    for i in range(n):
        total += i
        yield total


@yes
def recursive(n: int) -> int:
    return 1 if n < 2 else n * recursive(n - 1)


@yes
def is_even(n: int) -> bool:
    return n == 0 or is_odd(n - 1)


@yes
def is_odd(n: int) -> bool:
    return n != 0 and is_even(n - 1)


@yes
def numeric(xs):
    a = np.array(xs, dtype=float)
    a += 1
    a[0] = 3
    a.sort()
    return np.sqrt(a).mean() + np.exp(xs[0]) @ np.linalg.norm(a)


@yes
def seeded(seed: int, xs: list[int]) -> list[int]:
    draw = random.Random(seed)
    xs = list(xs)
    draw.shuffle(xs)
    return xs


@yes
def matched(value):
    match value:
        case {"kind": "a", **rest}:
            rest["b"] = 1
            return rest
        case [first, *others]:
            others.append(first)
            return others
        case Point(x=x):
            return x
        case Colour.RED | None:
            return None


@yes
def suppressed(x):
    with contextlib.suppress(ValueError):
        return int(x)
    return 0


@yes
def heap(xs: list[int]) -> list[int]:
    queue: list[int] = []
    for x in xs:
        heapq.heappush(queue, -x)
    return [heapq.heappop(queue) for _ in range(len(queue))]


@yes
def mapped(xs):
    return (
        list(map(str.strip, xs))
        + [y + 1 for y in filter(None, xs)]
        + sorted(xs, key=operator.itemgetter(1), reverse=True)
    )


@yes
def partials(xs):
    add = functools.partial(operator.add, 1)
    return [add(x) for x in xs], functools.reduce(lambda a, b: a + b, xs, 0)


@yes
def windows(xs: list[int]):
    ring = deque(maxlen=3)
    out = []
    for x in xs:
        ring.append(x)
        out.append(sum(ring))
    return out


@yes
def counted(text: str):
    counts = Counter(text.split())
    counts.update(["a"])
    counts["b"] += 1
    return [word for word, n in counts.most_common(3) if n > 1]


@yes
def dated(day: datetime.date) -> str:
    return (day + datetime.timedelta(days=1)).replace(month=1).isoformat() + datetime.date(2020, 1, 1).strftime("%Y")


@yes
def decimals(x: str) -> Decimal:
    return Decimal(x).quantize(Decimal("0.01"))


@yes
def table(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow(row)
    return buffer.getvalue()


@yes
def reads_global(name: str) -> int:
    return SIZES.get(name, 0) + SIZES["s"] + len(LOG)


@yes
def model(name: str) -> Model:
    made = Model(name=name)
    made.tags.append("a")
    return made.model_copy(update={"name": "b"})


@yes
def asks_model(text: str) -> str:
    values = [read.submit(word) for word in text.split()]
    return read(text) + "".join(tw.gather(*values)) + read.using(temperature=1.0)(text)


@yes
def asks_flow(text: str) -> str:
    return quiet_flow(text) + reckon(text)


@yes
def annotated_method(point: Point) -> float:
    return point.norm() + point.length


@yes
def imports_inside(x: float) -> float:
    import math as m
    from json import dumps

    return m.floor(x) + len(dumps(x))


@yes
def wraps_text(text: str) -> str:
    return textwrap.fill(textwrap.dedent(text), 20) + str(uuid.UUID(int=1)) + "".join(sorted(text))


@yes
def unpacking(*args, **kwargs):
    first, *rest = args
    rest.append(first)
    kwargs["a"] = 1
    return rest, {**kwargs, "b": 2}


@yes
def walrus(xs):
    return [y for x in xs if (y := x.strip()) and not y.startswith("#")]


@yes
def flattened(xs):
    return list(itertools.chain.from_iterable(xs)), [key for key, _ in itertools.groupby(xs, key=len)]


@yes
def asserts(x: int) -> int:
    assert x > 0, f"{x} is not positive"
    return x


@yes
def local_attribute(x):
    space = types.SimpleNamespace(a=1)
    space.b = x
    return space


@yes
def counts_local(n: int):
    counter = itertools.count()
    return [next(counter) for _ in range(n)]


@yes
def first_of(xs):
    return next(iter(xs), None) or min(xs, key=lambda x: x[1], default=0)


@yes
def quiet_child():
    return Quiet().shout()


@functools.lru_cache
def cached_square(x: int) -> int:
    return x * x


@yes
def uses_cache(x: int) -> int:
    return cached_square(x)


@yes
def own_names(x: Literal["a", "b"], n: int | None = None, tags: tuple[str, ...] = ()):
    n = n or 0
    n += 1
    for tag in tags:
        tag += "!"
    return os.path.join(x, str(n)), Path(x).name


PURE += [
    len, sorted, str, dict, list, math.sqrt, json.dumps, re.sub, str.strip, "a".upper, [1].index, {}.get, np.add,
    np.zeros,
    Point, Pair, Colour, Basket, Checked, Plain, Model, ValueError, Problem, Counter, Decimal, lambda x: x + 1,
    Point(1).norm, Adder(1), functools.partial(identity, 1), functools.partial(sorted, key=len), cached_square, read,
    read.submit, read.distribution, read.using, read.map, quiet_flow, quiet_flow.submit, reckon, tw.gather,
    operator.itemgetter(1), WORD.match, datetime.date(2020, 1, 1).isoformat, Pair(1, 2).swapped,
    datetime.datetime.fromisoformat,
    dict.fromkeys, itertools.chain.from_iterable, Basket().total, copy.deepcopy,
]  # fmt: skip


# -- impure -----------------------------------------------------------------------------------------------------------


@no("changes its argument `xs`")
def aliased(xs):
    ys = xs
    ys.append(1)


@no("changes its argument `xs`")
def aliased_in_branch(xs, flag):
    ys = []
    if flag:
        ys = xs
    ys.append(1)
    return ys


@no("changes its argument `xs`")
def aliased_in_loop(xs):
    ys = []
    for _ in range(2):
        ys.append(1)
        ys = xs
    return 0


@no("changes its argument `xs`")
def aliased_by_break(xs):
    ys = []
    while True:
        try:
            ys = []
            break
        finally:
            ys = xs
    ys.append(1)


@no("changes its argument `xs`")
def aliased_by_exception(xs):
    ys = []
    try:
        ys = xs
        ys = [int("a")]
    except ValueError:
        ys.append(1)


@no("changes its argument `xs`")
def aliased_in_container(xs):
    box = {"xs": xs}
    box["xs"].append(1)


@no("changes its argument `xs`")
def aliased_element(xs):
    ys = list(xs)
    ys[0].append(1)


@no("changes its argument `xs`")
def aliased_through_helper(xs):
    identity(xs).append(1)


@no("changes its argument `xs`")
def aliased_by_condition(xs):
    ys = xs or []
    ys.append(1)


@no("changes its argument `xs`")
def aliased_by_unpacking(xs):
    _, ys = 1, xs
    ys.append(1)


@no("changes its argument `xs`")
def aliased_by_match(xs):
    match {"a": xs}:
        case {"a": ys}:
            ys.append(1)


@no("changes its argument `xs`")
def aliased_by_closure(xs):
    ys = []

    def change():
        ys.append(1)

    ys = xs
    change()


@no("changes its argument `xs`")
def aliased_by_walrus(xs):
    ys = []
    return [(ys.append(1), ys := xs) for _ in range(2)]


@no("changes its argument `xs`")
def aliased_by_attribute(xs):
    basket = Basket()
    basket.items = xs
    basket.add("a")


@no("`xs`")
def aliased_by_bound_method(xs):
    push = xs.append
    push(1)


@no("of which nothing is known")
def aliased_by_own_bound_method(xs):
    out = []
    push = out.append
    push(xs)
    out[0].clear()


@no("changes its argument `xs`")
def aliased_by_max(xs):
    max(xs, []).append(1)


@no("changes its argument `xs`")
def aliased_by_numpy(xs):
    a = np.asarray(xs)
    a[0] = 1


@no("changes its argument `a`")
def numpy_in_place(a):
    a.sort()


@no("changes its argument `a`")
def numpy_update(a):
    a += 1


@no("changes its argument `a`")
def numpy_view(a):
    b = a[1:]
    b[0] = 3


@no("changes its argument `a`")
def numpy_out(a):
    np.add(a, 1, out=a)


@no("changes its argument `a`")
def numpy_out_by_position(a, b):
    return np.add(a, b, a)


@no("random")
def numpy_random(n):
    return np.random.normal(size=n)


@no("changes its argument `xs`")
def updated(xs):
    xs += [1]


@no("changes its argument `xs`")
def updated_item(xs, i):
    xs[i] += 1


@no("changes its argument `xs`")
def element_updated(xs):
    for x in xs:
        x += [1]


@no("changes its argument `row`")
def default_of_parameter(row, key):
    row.setdefault(key, []).append(1)


@no("changes its argument `acc`")
def mutable_default(x, acc=[]):  # noqa: B006
    acc.append(x)
    return acc


@no("changes its argument `acc`")
def uses_mutable_default(x):
    return mutable_default(x)


@no("changes the global `LOG`")
def logs(x):
    LOG.append(x)


@no("changes the global `COUNTS`")
def counts_globally(x):
    COUNTS[x] = COUNTS.get(x, 0) + 1


@no("changes the global `GROUPS`")
def inserts_by_reading(x):
    return GROUPS[x]


@no("changes")
def changes_through_global(x):
    SIZES.setdefault("a", x)


@no("changes")
def changes_element_of_global(x):
    GROUPS.get("a").append(x)


@no("changes")
def changes_copy_of_global():
    copied = dict(GROUPS)
    copied["a"].append(1)


@no("changes the global `NUMBERS`")
def ticks():
    return next(NUMBERS)


@no("changes the global `NUMBERS`")
def ticks_in_loop():
    for n in NUMBERS:
        if n:
            break


@no("sets the global `STATE`")
def sets_global(x):
    global STATE
    STATE = x


@no("calls `print`")
def prints(x):
    print(x)


@no("calls `print`")
def prints_two_down(x):
    return two_down(x) + 1


@no("calls `print`")
def prints_in_comprehension(xs):
    return [print(x) for x in xs]


@no("calls `print`")
def prints_in_key(xs):
    return sorted(xs, key=scream)


@no("calls `print`")
def prints_in_map(xs):
    return list(map(scream, xs))


@no("calls `print`")
def prints_in_lambda(xs):
    return max(xs, key=lambda x: print(x) or 0)


@no("calls `print`")
def prints_in_default_factory():
    groups = defaultdict(lambda: print("made"))
    return groups["a"]


@no("calls `print`")
def prints_in_reduce(xs):
    return functools.reduce(lambda a, b: scream(b), xs)


@no("calls `print`")
def prints_in_sub(text: str):
    return re.sub("a", scream, text)


@no("calls `print`")
def prints_in_generator(xs):
    for x in xs:
        yield scream(x)


@no("calls `print`")
def prints_by_partial(xs):
    return functools.partial(scream, 1)()


@no("calls `print`")
def prints_in_child():
    return Loud().shout()


@no("calls `print`")
def prints_in_annotated(one: Base):
    return one.shout()


@no("calls its parameter `f`")
def calls_parameter(f, x):
    return f(x)


@no("calls its parameter `f`")
def maps_parameter(f, xs):
    return [y for y in map(f, xs)]  # noqa: C416


@no("calls `print`")
def hands_over():
    return calls_parameter(scream, 1)


@no("changes its argument `xs`")
def sorts_by_changing(xs):
    return sorted(xs, key=lambda x: x.pop())


@no("calls `open`")
def writes_file(x):
    with open("x", "w") as file:
        file.write(x)


@no("calls `open`")
def opens(x):
    return open(x)


@no("read_text")
def reads_path(x: Path):
    return x.read_text()


@no("calls `write` of `file`")
def writes_to(file):
    file.write("a")


@no("reads the clock")
def clock():
    return time.time()


@no("reads the clock")
def today():
    return datetime.date.today()


@no("random")
def draws():
    return random.random()


@no("random")
def draws_choice(xs):
    return random.choice(xs)


@no("uuid4")
def fresh_name():
    return str(uuid.uuid4())


@no("os")
def environment():
    return os.environ["HOME"]


@no("calls `input`")
def asks():
    return input()


@no("calls `eval`")
def evaluates(x):
    return eval(x)


@no("changes its argument `x`")
def sets_attribute(x):
    x.a = 1


@no("changes its argument `x`")
def stores_attribute(x):
    x.a = 1


@no("changes its argument `x`")
def deletes_attribute(x):
    del x.a


@no("changes its argument `x`")
def deletes_item(x):
    del x[0]


@no("changes its argument `self`")
def caches_on_self(self):
    if self.cache is None:
        self.cache = 1
    return self.cache


@no("is async")
async def waits(x):
    return x


@no("changes its argument `it`")
def advances(it):
    return next(it)


@no("changes its argument `xs`")
def pushes(xs):
    heapq.heappush(xs, 1)


@no("`foo`")
def unknown_method(x):
    return x.foo()


@no("`replace`")
def renames(path):
    return path.replace("target")


@no("`get`")
def takes_from_queue(queue):
    return queue.get()


@no("enters")
def locked(lock):
    with lock:
        return 1


@no("LOG")
def makes_noisy():
    return Noisy("a")


@no("changes its argument `xs`")
def makes_grabbing(xs):
    return Grabbing(xs)


@no("changes")
def makes_registered():
    return Registered()


@no("Sly")
def makes_sly():
    return Sly().value


@no("SlyOrder.__lt__")
def makes_sly_order():
    return sorted([SlyOrder(), SlyOrder()])


@no("validator")
def validates(x: str):
    return Validated(name=x)


@no("model_post_init")
def after_init(x: str):
    return AfterInit(name=x)


@no("calls the tool `send`, which writes")
def sends(x: str):
    send(x)


@no("calls the tool `look`, which reads")
def looks(x: str):
    return look(x)


@no("calls `print`")
def runs_loud(x: str):
    return loud_flow(x)


@no("file")
def saves():
    read.save("x")


@no("has no value yet")
def undefined():
    return not_there(1)  # noqa: F821


@no("imports")
def imports_unknown():
    import subprocess

    return subprocess


@no("changes")
def cache_of_result(x):
    found = cached_list(x)
    found.append(1)
    return found


@functools.lru_cache
def cached_list(x):
    return [x]


@no("changes")
def changes_class(x):
    Registered.instances.append(x)


@no("changes the global `Registered`")
def sets_class_attribute(x):
    Registered.instances = x


@no("")
def sends_to_generator(x):
    def inner():
        got = yield 1
        got.append(1)

    running = inner()
    next(running)
    running.send(x)


def _counter() -> Any:
    n = 0
    seen = []

    def count() -> int:
        nonlocal n
        n += 1
        return n

    def note(x: int) -> None:
        seen.append(x)

    return count, note


def _wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        LOG.append(args)
        return function(*args, **kwargs)

    return wrapper


PURE += [_wrapped(plus_one), _wrapped(_wrapped(clean))]
IMPURE += [
    (print, "print"), (open, "open"), (time.time, "clock"), (random.random, "random"), (os.listdir, "listdir"),
    ([].append, "append"), ({}.update, "update"), (set().add, "add"), (Basket().add, "self"), (Basket().cached, "self"),
    (Tally(), "self"), (_counter()[0], "`n`"), (_counter()[1], "`seen`"), (_wrapped(scream), "print"),
    (_logged(plus_one), "LOG"), (functools.partial(scream, 1), "print"), (functools.partial(sorted, key=scream),
    "print"),
    (functools.lru_cache(scream), "print"), (Noisy, "LOG"), (Registered, ""), (Grabbing, "argument"), (Sly, "Sly"),
    (loud_flow, "print"), (loud_flow.submit, "print"), (send, "writes"), (look, "reads"), (send.submit, "writes"),
    (read.save, "file"), (lambda x: LOG.append(x), "LOG"), (NUMBERS.__next__, ""), (iter([]).__next__, ""),
    (heapq.heappush, "argument"),
    (setattr, "argument"), (sys.stdout.write, "write"), (threading.Lock, ""), (threading.Lock().acquire, "acquire"),
    (uuid.uuid4, "uuid4"),
    (np.random.rand, "random"), (random.Random(0).random, "random"), (datetime.datetime.now, "clock"),
    (Path("x").exists, "exists"),
    (np.zeros(3).sort, ""), (np.zeros(3).fill, ""), (np.save, ""), (id, "id"), (exec, "exec"), (threading.Thread, ""),
    (Loud().shout, "print"), (os.environ.get, ""), (logs, "LOG"), (object(), ""), (json.dump, ""),
]  # fmt: skip


def _name(one: Any) -> str:
    function = one[0] if isinstance(one, tuple) else one
    return getattr(function, "__qualname__", None) or type(function).__name__


@pytest.mark.parametrize("function", PURE, ids=_name)
def test_what_only_computes_is_pure(function: Any) -> None:
    assert why_impure(function) is None
    assert why_impure(function) is None  # kept


@pytest.mark.parametrize(("function", "reason"), IMPURE, ids=[_name(one) for one in IMPURE])
def test_what_may_do_more_is_not_pure(function: Any, reason: str) -> None:
    said = why_impure(function)
    assert said is not None
    assert reason in said
    assert why_impure(function) == said  # kept


# -- calls, state, promises -------------------------------------------------------------------------------------------


def test_a_call_is_judged_with_what_it_is_given() -> None:
    assert why_impure_call(sorted, ([3, 1],), {"key": len}) is None
    assert "print" in str(why_impure_call(sorted, ([3, 1],), {"key": scream}))
    assert "print" in str(why_impure_call(map, (scream, [1])))
    assert "moves on" in str(why_impure_call(list, (iter([1]),)))
    assert why_impure_call(calls_parameter, (len, "ab")) is None
    assert "print" in str(why_impure_call(calls_parameter, (scream, 1)))
    assert "LOG" in str(why_impure_call(calls_parameter, (Noisy, "a")))
    assert "SlyOrder" in str(why_impure_call(sorted, ([SlyOrder(), SlyOrder()],)))


def test_methods_taken_by_name_are_checked_on_what_is_given() -> None:
    class Client:
        def get(self, address: str) -> str:
            LOG.append(address)
            return address

    def fetch(source: Any) -> Any:
        return source.get("a")

    assert why_impure(fetch) is None
    assert why_impure_call(fetch, ({"a": 1},)) is None
    assert "LOG" in str(why_impure_call(fetch, (Client(),)))


def test_state_that_is_read_is_told() -> None:
    assert "SIZES" in str(reads_state(reads_global))
    assert "LOG" in str(reads_state(reads_global)) or "SIZES" in str(reads_state(reads_global))
    for function in (plus_one, words, clean):  # constants, functions and patterns are no state
        assert reads_state(function) is None


def test_a_promise_is_believed_and_does_not_wrap() -> None:
    def noisy(x: int) -> int:
        print(x)
        return x

    def caller(x: int) -> int:
        return noisy(x)

    assert pure(noisy) is noisy
    assert why_impure(noisy) is None
    assert why_impure(caller) is None
    assert why_impure(_logged(noisy)) is not None  # `functools.wraps` hands no promise on


def test_marks_are_honoured_on_objects_and_classes_and_not_through_wraps() -> None:
    class Marked:
        __thalweg_pure__ = True

        def __call__(self) -> None:
            print()

    def marked() -> None:
        print()

    marked.__thalweg_pure__ = True  # type: ignore[attr-defined]
    assert why_impure(Marked()) is None
    assert why_impure(marked) is None
    assert why_impure(_logged(marked)) is not None


# -- what is kept -----------------------------------------------------------------------------------------------------


def _defined(source: str, tmp_path: Path, name: str = "made") -> dict[str, Any]:
    """The names of a module with this source."""
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(source))
    linecache.checkcache(str(path))
    scope: dict[str, Any] = {"__name__": name, "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    return scope


def test_a_verdict_falls_when_a_name_it_rests_on_means_something_else(tmp_path: Path) -> None:
    scope = _defined(
        """
        def inner(x): return x
        def middle(x): return inner(x)
        def outer(x): return middle(x)
        """,
        tmp_path,
    )
    outer = scope["outer"]
    assert why_impure(outer) is None
    scope["inner"] = print
    assert "print" in str(why_impure(outer))
    scope["inner"] = len
    assert why_impure(outer) is None
    scope["len"] = print  # hides a builtin, used nowhere here
    assert why_impure(outer) is None


def test_a_hidden_builtin_is_noticed(tmp_path: Path) -> None:
    scope = _defined("def f(xs): return len(xs)", tmp_path)
    assert why_impure(scope["f"]) is None
    scope["len"] = print
    assert "print" in str(why_impure(scope["f"]))


def test_closures_of_one_code_have_verdicts_of_their_own() -> None:
    def make(function: Any) -> Any:
        return lambda x: function(x)

    for _ in range(2):
        assert why_impure(make(len)) is None
        assert "print" in str(why_impure(make(print)))
        assert "print" in str(why_impure(make(scream)))


def test_a_subclass_made_later_is_noticed(tmp_path: Path) -> None:
    scope = _defined(
        """
        class Shape:
            def area(self): return 1
        def total(one: Shape): return one.area() + 1
        """,
        tmp_path,
    )
    assert why_impure(scope["total"]) is None
    Shape = scope["Shape"]  # noqa: N806

    class Noisier(Shape):
        def area(self) -> int:
            print("area")
            return 2

    assert "print" in str(why_impure(scope["total"]))
    assert Noisier


def test_lambdas_on_one_line_are_told_apart() -> None:
    quiet, loud, again = (lambda x: x + 1), (lambda x: print(x)), (lambda x: (x, [x]))
    assert why_impure(quiet) is None
    assert "print" in str(why_impure(loud))
    assert why_impure(again) is None


def test_without_source_nothing_is_pure() -> None:
    scope: dict[str, Any] = {}
    exec("def f(x): return x", scope)
    assert "source is not known" in str(why_impure(scope["f"]))
    assert not reads_only(scope["f"], "x")


def test_a_file_edited_after_import_is_not_believed(tmp_path: Path) -> None:
    loud = _defined("def f(x):\n    print(x)\n    return x\n", tmp_path, "edited")["f"]
    (tmp_path / "edited.py").write_text("def f(x):\n    y = x\n    return y\n")
    linecache.checkcache(str(tmp_path / "edited.py"))
    assert why_impure(loud) is not None


def test_kept_verdicts_hold_nothing_alive() -> None:
    def make() -> Any:
        payload = Basket(["a"])

        def inner(x: int) -> int:
            return x + len(payload.items)

        assert why_impure(inner) is None
        return weakref.ref(inner), weakref.ref(payload)

    function, payload = make()
    gc.collect()
    assert function() is None
    assert payload() is None


def test_threads_agree() -> None:
    found: list[Any] = []
    functions = [one for one in PURE if isinstance(one, types.FunctionType)][:20]

    def ask() -> None:
        found.append([why_impure(one) for one in functions])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 8
    assert all(one == [None] * len(functions) for one in found)


# -- arguments that are only read -------------------------------------------------------------------------------------


def returns_element(xs):
    return xs[0]


def returns_text(xs):
    return str(xs[0]) + f"{xs[1]}" + " ".join(xs)


def returns_length(xs: list[int]):
    return len(xs), sum(xs), {"n": len(xs)}


def returns_itself(xs):
    return {"all": [xs]}


def returns_sorted(xs):
    return sorted(xs)


def returns_typed_sorted(xs: list[str]):
    return sorted(xs), xs[0], [x for x in xs if x]


def prints_it(xs):
    print(len(xs))
    return 0


def keeps_it(xs):
    LOG.append(xs)


def keeps_inside_other(xs, into):
    into.append(xs)


def hands_to_unknown(xs, f):
    return len(f(xs))


def raises_it(xs):
    raise ValueError(xs)


def yields_it(xs):
    yield len(xs)


def captures_it(xs):
    return lambda: xs


def uses_inside(xs):
    return sum(map(lambda i: len(xs) + i, range(3)))  # noqa: C417


def asks_with_it(xs):
    return [read(text) for text in xs] + [read(str(xs))]


def recurses(xs, n):
    return 0 if n == 0 else len(xs) + recurses(xs, n - 1)


def recurses_and_changes(xs, n):
    if n == 0:
        xs.append(1)
        return 0
    return recurses_and_changes(xs, n - 1)


def swaps(a, b, n):
    if n:
        swaps(b, a, n - 1)
    a.append(1)


@tw.flow
def inner_reads(xs: list) -> str:
    return read(str(xs))


@tw.flow
def inner_changes(xs: list) -> str:
    xs.append("a")
    return read("a")


def uses_inner_reads(xs):
    return inner_reads(xs)


def uses_inner_changes(xs):
    return inner_changes(xs)


def slices_it(xs):
    return xs[1:]


def counts_it(xs: list[list[int]]):
    total = 0
    for row in xs:
        for x in sorted(row):
            total += int(x)
    return total


def hides_it(xs):
    box = [1]
    box.append(xs)
    return len(box)


def hides_and_returns(xs):
    box = [1]
    box.append(xs)
    return box[-1:]


READS_ONLY = [returns_text, returns_length, returns_typed_sorted, prints_it, uses_inside, asks_with_it, recurses,
              uses_inner_reads, counts_it, hides_it, uses_collector]  # fmt: skip
NOT_ONLY = [returns_element, returns_itself, returns_sorted, keeps_it, keeps_inside_other, hands_to_unknown,
raises_it, yields_it,
            captures_it, recurses_and_changes, uses_inner_changes, slices_it, hides_and_returns, aliased,
            updated]  # fmt: skip


def _first(function: Any) -> str:
    return function.__code__.co_varnames[0]


@pytest.mark.parametrize("function", READS_ONLY, ids=_name)
def test_an_argument_is_only_read(function: Any) -> None:
    if function is uses_collector:  # its values leave with the result
        assert not reads_only(function, "tree")
    else:
        assert reads_only(function, _first(function))


@pytest.mark.parametrize("function", NOT_ONLY, ids=_name)
def test_an_argument_is_changed_or_kept(function: Any) -> None:
    assert not reads_only(function, _first(function))


def test_arguments_that_change_places_are_both_changed() -> None:
    assert not reads_only(swaps, "a")
    assert not reads_only(swaps, "b")
    assert reads_only(swaps, "n")
    assert not reads_only(swaps, "c")  # it has none


# -- what functions do ------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "G")
EXPRESSIONS = (
    "{x}", "[{x}, {y}]", "{{'k': {x}}}", "list({x})", "{x}[:1]", "({x}, {y})", "sorted({x}, key=str)", "{x} or {y}",
    "{x}[0]",
    "[z for z in {x}]", "pick({x}, {y})", "wrap({x})", "copy.copy({x})", "copy.deepcopy({x})", "{x} + {y}",
    "dict(k={x})['k']",
    "max([{x}, {y}], key=str)", "next(iter({x}), {y})", "[z for z, _ in zip({x}, {y})]", "(lambda z: z)({x})",
    "Box({x}).held",
    "list(reversed({x}))", "list(map(wrap, {x}))", "{x} if {y} else {x}", "[*{x}, {y}]", "{{'k': {x}}}.get('k', {y})",
    "[[]]",
)  # fmt: skip
STATEMENTS = (
    "{n} = {e}", "{n} = {e}", "{n}.append({e})", "{n}[0] = {e}", "{n} += {e}", "{n}[0].append({e})", "push({n}, {e})",
    "del {n}[0]", "{n}.extend({e})", "for {n} in ({e})[:3]: {m}.append({n})", "if {e}: {n} = {m}",
    "while {n} is not {m}: {n} = {m}",
    "{n}.sort(key=str)", "{n}, {m} = {m}, {n}", "with contextlib.suppress(Exception): {n} = {e}",
    "{n} = Box({e}); {n}.held = {m}",
    "heapq.heappush({n}, {m})", "try: {n} = {e}; {n} = int('')\nexcept ValueError: {n}.append(1)",
    "def f(z): z.append({e})\nf({n})", "def f(): {m}.append(1)\n{n} = f", "{n} = {n}.append", "({n} := {e}).append(1)",
    "match {e}:\n    case [{n}, *_]: {n}.append(1)\n    case {m}: pass",
    "[({n}.append(1), {n} := {m}) for _ in (1, 2)]",
    "{n}.held.append(1)", "{n}.held = {e}", "{n} = {e}; {n}.clear()", "{n}[:] = {e}", "setattr({n}, 'held', {e})",
    "{n} = {e}\n{n}.insert(0, {m})", "{n} = {e}.pop", "{n} = dict(k={e}); {n}.setdefault('k', {m}).append(1)",
)  # fmt: skip
PRELUDE = """
import contextlib, copy, heapq
G = [[1], [2]]
class Box:
    def __init__(self, held): self.held = held
def pick(x, y): return x if x else y
def wrap(x): return [x]
def push(x, y): x.append(y)
"""


@st.composite
def programs(draw: st.DrawFn) -> str:
    def expression(depth: int = 2) -> str:
        if depth == 0 or draw(st.booleans()):
            return draw(st.sampled_from(NAMES))
        form = draw(st.sampled_from(EXPRESSIONS))
        return form.format(x=expression(depth - 1), y=expression(depth - 1))

    lines = ["c = [[0], [3]]"]
    for _ in range(draw(st.integers(1, 5))):
        form = draw(st.sampled_from(STATEMENTS))
        n, m = draw(st.sampled_from(NAMES[:3])), draw(st.sampled_from(NAMES))
        lines += form.format(n=n, m=m, e=expression()).splitlines()
    if any(line.startswith("G") for line in lines):
        lines.insert(0, "global G")
    return PRELUDE + "def f(a, b):\n" + textwrap.indent("\n".join([*lines, f"return {expression()}"]), "    ") + "\n"


def _look(value: Any, depth: int = 0) -> Any:
    """What a value holds, with the identity of what is inside."""
    if depth > 5:
        return None
    if isinstance(value, list | tuple):
        return [(id(one), _look(one, depth + 1)) for one in value]
    if isinstance(value, dict):
        return {str(key): (id(one), _look(one, depth + 1)) for key, one in value.items()}
    return _look(vars(value), depth + 1) if type(value).__name__ == "Box" else repr(type(value))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_what_changes_its_arguments_or_globals_is_never_said_to_be_pure(source: str) -> None:
    name = f"<made {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"__name__": "made"}
    try:
        code = compile(source, name, "exec")
    except SyntaxError:
        return
    try:
        exec(code, scope)
        function = scope["f"]
        said = why_impure(function)
        reads = {one: reads_only(function, one) for one in ("a", "b")}
        values = {"a": [[1, 2], [3]], "b": [[4], [5, 6]]}
        everything = {**values, "G": scope["G"]}
        inside = {one: {id(part) for part in value} | {id(value)} for one, value in values.items()}
        before = {one: (id(value), _look(value)) for one, value in everything.items()}
        found: list[Any] = []
        _run(function, values, found)
        after = {one: (id(value), _look(value)) for one, value in {**values, "G": scope["G"]}.items()}
        changed = [one for one in before if before[one] != after[one]]
        assert said is not None or not changed, f"{source}\nchanges {changed}"
        for one, only in reads.items():
            assert not only or one not in changed, f"{source}\nchanges {one}"
            held = _identities(found[0]) if found else set()
            assert not only or not held & inside[one], f"{source}\nreturns a part of {one}"
    finally:
        del linecache.cache[name]


def _run(function: Any, values: dict[str, Any], found: list[Any]) -> None:
    with contextlib.suppress(Exception):
        found.append(function(*values.values()))


def _identities(value: Any, depth: int = 0) -> set[int]:
    found = {id(value)}
    if depth < 5 and isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            found |= _identities(one, depth + 1)
    return found | (_identities(vars(value), depth + 1) if type(value).__name__ == "Box" else set())


def test_the_comparison_sees_both_kinds() -> None:
    """The grammar makes functions that are called pure, and functions that change something."""
    scope: dict[str, Any] = {"__name__": "made"}
    source = (
        PRELUDE + "def f(a, b):\n    c = list(a)\n    c.append(b)\n    return c\n\n\ndef g(a, b):\n    a[0].append(b)\n"
    )
    linecache.cache["<both>"] = (len(source), None, source.splitlines(keepends=True), "<both>")
    exec(compile(source, "<both>", "exec"), scope)
    assert why_impure(scope["f"]) is None
    assert "`a`" in str(why_impure(scope["g"]))
