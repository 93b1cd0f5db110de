# ruff: noqa: E501
"""Random flows: Python files that are valid, end, and do the same whenever they are run line by line.

`make(seed)` gives a `Case`: the text of a module whose flow `case` is run with `arguments()`. The world around it is the
same for all (`WORLD`): learned functions of many types, tools, helpers with and without effects. Expressions come from
templates with typed holes (``<<str>>``; ``<<str $t:str>>`` may use the fresh name `$t`), statements from the methods of
`Maker`. Types are right, so that most flows get far; a share fails on purpose. Cost: about two milliseconds a case.
"""

from __future__ import annotations

import random
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

WORLD = '''\
import contextlib
import functools
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import thalweg as tw
from thalweg.errors import ModelError

LOG = []  # every effect, in order
SHELF = []
TABLE = {}
KEPT = []
BOX = []  # kept by the closures of flows
COUNT = 0
FAIL = 0  # one request in so many fails; 0: none


def reset():
    global LOG, SHELF, TABLE, COUNT, KEPT
    LOG, SHELF, TABLE, COUNT, KEPT = [], ["old"], {"old": 1}, 0, []
    BOX[:] = ["box"]


@dataclass
class Point:
    name: str
    size: int

    def grow(self, by):
        LOG.append(("grow", self.name, by))
        self.size += by
        return self

    @property
    def label(self):
        return f"{self.name}/{self.size}"


@dataclass
class Circle:
    radius: int


@dataclass
class Crate:
    width: int
    tags: list[str]


@dataclass(frozen=True)
class Tag:
    text: str
    parts: tuple = ()


@dataclass
class Checked:
    text: str
    notes: list = field(default_factory=list)

    def __post_init__(self):
        LOG.append(("checked", self.text))
        if len(self.text) > 9:
            raise ValueError(f"{self.text} is too long")


class Pair(NamedTuple):
    left: str
    right: int


class Stop(Exception):
    pass


def ask(kind):
    return kind


@tw.learned
def ask_bool(text: str) -> bool:
    """bool: yes?"""


@tw.learned
def ask_word(text: str) -> Literal["red", "green", "blue"]:
    """word: which?"""


@tw.learned
def ask_text(text: str) -> str:
    """text: say."""


@tw.learned
def ask_count(text: str, n: int = 1) -> int:
    """int: how many?"""


@tw.learned
def ask_list(text: str) -> list[str]:
    """list: which ones?"""


@tw.learned
def ask_point(text: str) -> Point:
    """point: where?"""


@tw.learned
def ask_shape(text: str, hint: str = "") -> Circle | Crate:
    """shape: what shape?"""


@tw.learned
def ask_maybe(text: str) -> str | None:
    """maybe: say, or not."""


@tw.learned
def combine(parts: list[str]) -> str:
    """text: combine."""


@tw.learned
def judge(point: Point, *, strict: bool = False) -> bool:
    """bool: good?"""


@tw.learned
def measure(shape: Circle | Crate) -> int:
    """int: how large?"""


@tw.learned
def read_table(table: dict[str, int], words: list[str]) -> list[str]:
    """list: read."""


ASKED = ("Ask something else.",)


def script(request):
    """An answer that depends on the request alone."""
    said = "|".join(one.content for one in request.messages) + str(request.sampling.seed)
    code = int(hashlib.blake2b(said.encode(), digest_size=6).hexdigest(), 16)
    if FAIL and code % FAIL == 0 or "fail" in request.messages[-1].content:
        raise ModelError(f"no answer to {request.messages[-1].content[:30]!r}.", *ASKED)
    code //= 997
    word = "abcdefg"[code % 7] + "xyz"[code // 7 % 3] * (code // 21 % 3)
    few = [f"{word[0]}{n}" for n in range(code // 63 % 4)]
    match request.messages[0].content.split(":")[0]:
        case "bool":
            return ["true", "false"][code % 2]
        case "word":
            return ["red", "green", "blue"][code % 3]
        case "text":
            return word
        case "int":
            return str(code % 4)
        case "list":
            return json.dumps(few)
        case "point":
            return json.dumps({"name": word, "size": code % 4})
        case "maybe":
            return "null" if code % 3 == 0 else json.dumps(word)
        case "shape":
            made = {"type": "Circle", "radius": code % 4}
            return json.dumps(made if code % 2 else {"type": "Crate", "width": code % 5, "tags": few})
    raise AssertionError(said)


@tw.tool(effect="write")
def send(to: str, size: int = 0) -> int:
    LOG.append(("send", to, size))
    if size == 3:
        raise ValueError(f"{to} cannot be sent")
    return len(LOG)


@tw.tool
def post(items: list[str]) -> list[str]:
    LOG.append(("post", list(items)))
    return [*items, "posted"]


@tw.tool(effect="read")
def look(what: str) -> str:
    return f"{what[:4]}{len(LOG)}"


@tw.tool(effect="read")
def stock() -> list[str]:
    return [one[1] for one in LOG if one[0] == "send"][:3]


@tw.tool(effect="none")
def double(text: str) -> str:
    if text == "b":
        raise KeyError(text)
    return text[:3] * 2


def shout(text):
    return text[:8].upper()


def clip(text):
    return text[:4]


def share(n):
    return 12 // n


def longest(items):
    return max(items, key=len)


def say(text):
    print("say", text)
    return text


def keep(text):
    if len(SHELF) > 30:
        raise Stop("the shelf is full")
    SHELF.append(text)
    return len(SHELF)


def tally():
    global COUNT
    COUNT += 1
    return COUNT


def peek():
    return len(SHELF) + COUNT


def push(items, text):
    if len(items) > 30:
        raise Stop("too many items")
    items.append(text)
    return items


def put(table, key, n):
    table[key] = n
    return table


def fussy(text):
    LOG.append(("fussy", text))
    if len(text) % 4 == 3:
        raise ValueError(f"{text} will not do")
    return text


def numbered(items):
    for index, one in enumerate(items):
        LOG.append(("next", index))
        yield f"{index}{one}"


def apply(function, text):
    return function(text)


def each(items, function):
    return [function(one) for one in items]


class Logged:
    def __init__(self, name, swallow=()):
        self.name = name
        self.swallow = swallow

    def __enter__(self):
        LOG.append(("enter", self.name))
        return self

    def __exit__(self, kind, error, trace):
        LOG.append(("exit", self.name, kind and kind.__name__))
        return kind is not None and issubclass(kind, self.swallow) if self.swallow else False
'''

# Templates by type, each with its weight. `!` in front: has an effect on things that others see, so that it is left
# out where a loop could run over what it changes. A template in capital letters is a leaf.
_CALLS = {
    "str": ["8 ask_text(<<str>>)", "3 ask_word(<<str>>)", "2 combine(<<strs>>)", "2 ask_point(<<str>>).name",
            "2 (ask_maybe(<<str>>) or <<str>>)", "1 ask_text(text=<<str>>)", "1 ask_text.submit(<<str>>).result()",
            "1 ask_text.using(seed=<<small>>)(<<str>>)", "1 ask_text(ask_text(<<str>>))", "2 look(<<str>>)",
            "2 double(<<str>>)", "1 tw.gather(ask_text.submit(<<str>>), <<str>>)[<<small>>]",
            "1 longest(ask_list(<<str>>))", "1 ask_list(<<str>>)[<<small>>]", "1 min(ask_text(<<str>>), ask_word(<<str>>))",
            "1 ask_text(*[<<str>>])", "1 ask_text(**{'text': <<str>>})"],
    "int": ["6 ask_count(<<str>>)", "2 ask_count(<<str>>, <<int>>)", "1 ask_count(<<str>>, n=<<int>>)",
            "2 measure(<<shape>>)", "2 ask_point(<<str>>).size", "1 len(ask_list(<<str>>))",
            "1 sum(ask_count($t) for $t in <<strs>>)", "2 share(ask_count(<<str>>))", "1 measure(ask_shape(<<str>>))",
            "1 ask_count.submit(<<str>>, n=<<int>>).result()", "2 !send(<<str>>, <<int>>)", "2 !send(<<str>>)",
            "1 ask_count(<<str>>) + ask_count(<<str>>)", "1 !send(to=<<str>>, size=<<small>>)"],
    "bool": ["6 ask_bool(<<str>>)", "2 judge(<<point>>)", "1 judge(<<point>>, strict=<<bool>>)",
             "2 ask_word(<<str>>) == 'red'", "2 ask_maybe(<<str>>) is None", "1 ask_bool(<<str>>) and ask_bool(<<str>>)",
             "1 any(ask_bool($t) for $t in <<strs>>)", "1 all([ask_bool($t) for $t in <<strs>>])",
             "1 isinstance(ask_shape(<<str>>), Circle)", "1 ask_bool(<<str>>) is True", "1 not ask_bool(<<str>>)",
             "1 ask_text(<<str>>) in <<strs>>", "1 <<str>> in ask_list(<<str>>)"],
    "strs": ["5 ask_list(<<str>>)", "4 [ask_text($t) for $t in <<strs>>]", "2 [ask_text(<<str>>), ask_word(<<str>>)]",
             "2 read_table(<<table>>, <<strs>>)", "2 [$t for $t in <<strs>> if ask_bool($t)]",
             "1 sorted(<<strs>>, key=ask_count)", "1 sorted(<<strs>>, key=lambda $t: ask_count(<<str $t:str>>))",
             "1 tw.gather(ask_text.submit(<<str>>), ask_word.submit(<<str>>))", "1 list(map(ask_text, <<strs>>))",
             "1 [$t for $u in <<strs>> for $t in ask_list($u)]", "1 [*ask_list(<<str>>), ask_text(<<str>>)]",
             "1 each(<<strs>>, ask_text)", "1 stock()", "1 [ask_text(<<str $t:str $n:int>>) for $n, $t in enumerate(<<strs>>)]",
             "1 list({$t: ask_text($t) for $t in <<strs>>}.values())", "1 ask_text.map(<<strs>>)", "1 !post(<<strs>>)",
             "1 ask_shape(<<str>>, hint=<<str>>).tags", "1 !numbered_list(<<strs>>)",
             "1 [ask_text($t) if ask_bool($t) else <<str $t:str>> for $t in <<strs>>]",
             "1 [f'{ask_text($a)}{ask_word($b)}' for $a, $b in zip(<<strs>>, <<strs>>)]"],
    "ints": ["3 [ask_count($t) for $t in <<strs>>]", "1 [ask_count(<<str>>), <<int>>]",
             "1 [ask_count($t, $n) for $n, $t in enumerate(<<strs>>)]", "1 [ask_point($t).size for $t in <<strs>>]"],
    "table": ["2 {$t: ask_count($t) for $t in <<strs>>}", "2 {<<str>>: ask_count(<<str>>), 'k': <<int>>}",
              "1 dict(a=ask_count(<<str>>))", "1 {ask_text(<<str>>): <<int>>}", "1 dict(zip(ask_list(<<str>>), <<ints>>))",
              "1 {$t: $n for $n, $t in enumerate(ask_list(<<str>>))}"],
    "point": ["5 ask_point(<<str>>)", "3 Point(ask_text(<<str>>), ask_count(<<str>>))", "1 Point(name=<<str>>, size=ask_count(<<str>>))",
              "1 replace(ask_point(<<str>>), size=<<int>>)", "1 ask_point(<<str>>).grow(<<int>>)"],
    "shape": ["5 ask_shape(<<str>>)", "1 ask_shape(<<str>>, <<str>>)", "1 Circle(ask_count(<<str>>))", "1 Crate(<<int>>, ask_list(<<str>>))"],
    "maybe": ["4 ask_maybe(<<str>>)", "1 (ask_text(<<str>>) if <<bool>> else None)"],
    "pair": ["2 (ask_text(<<str>>), ask_count(<<str>>))", "1 (ask_word(<<str>>), <<int>>)", "1 Pair(ask_text(<<str>>), ask_count(<<str>>))"],
    "any": ["2 [ask_text(<<str>>), [ask_count(<<str>>), <<any>>]]", "2 {'k': ask_text(<<str>>), 'more': <<any>>}",
            "1 (ask_bool(<<str>>), [ask_text(<<str>>)])", "1 Tag(ask_text(<<str>>), (ask_count(<<str>>),))",
            "1 Checked(ask_text(<<str>>))", "1 {ask_text(<<str>>), <<str>>}", "1 [ask_point(<<str>>), <<shape>>]",
            "1 {'a': [ask_text($t) for $t in <<strs>>], 'b': <<point>>}", "1 Tag(parts=(ask_text(<<str>>), <<any>>), text='t')"],
    "fn": ["2 ask_text", "1 ask_word", "2 lambda $t: ask_text($t)", "1 functools.partial(ask_text)"],
}  # fmt: skip
_PLAIN = {
    "str": ["3 'a'", "2 'bb'", "1 'old'", "1 ''", "3 f'{(<<str>>)}-{(<<int>>)}'", "2 f'{(<<str>>)}{(<<any>>)}'[:20]", "2 <<str>> + <<str>>",
            "1 <<str>>.upper()", "2 <<str>>[:<<small>>]", "1 <<str>>[<<small>>]", "1 '-'.join(<<strs>>)[:12]",
            "1 str(<<int>>)", "2 <<strs>>[<<small>>]", "1 <<strs>>[-1]", "2 <<point>>.name", "1 <<point>>.label",
            "2 (<<str>> if <<bool>> else <<str>>)", "1 (<<maybe>> or <<str>>)", "1 shout(<<str>>)", "2 clip(<<str>>)",
            "3 say(<<str>>)", "1 fussy(<<str>>)", "1 longest(<<strs>>)", "1 max(<<str>>, <<str>>)", "1 <<str>>[:3] * 2",
            "1 sorted(<<strs>>)[0]", "1 next(iter(<<strs>>), <<str>>)", "1 (lambda $t: <<str $t:str>>)(<<str>>)",
            "1 next(($t for $t in <<strs>> if <<bool $t:str>>), <<str>>)", "1 '%s' % <<str>>", "2 <<fn>>(<<str>>)",
            "1 apply(<<fn>>, <<str>>)", "1 {'a': <<str>>, 'bb': <<str>>}[<<str>>]", "1 <<pair>>[0]", "1 repr(<<any>>)[:12]",
            "1 [<<str>>, <<str>>][<<int>>]", "1 f'{(<<str>>)!r:>4}'", "1 f'{(<<str>>):>{<<small>>}}'", "1 '{}/{}'.format(<<str>>, <<int>>)",
            "1 str(<<any>>)[:16]", "1 (<<str>>, <<str>>)[<<small>>]", "1 f'{(<<strs>>)}{(say(<<str>>))}{(keep(<<str>>))}'", "1 max(<<strs>>, key=say)", "1 '-'.join(say($t) for $t in <<strs>>)",
            "1 (lambda $t=<<str>>: $t)()", "1 Tag(<<str>>).text", "1 min(<<strs>>, key=len)"],
    "int": ["2 0", "2 1", "2 2", "1 len(<<strs>>)", "1 len(<<str>>)", "2 <<int>> + <<int>>", "1 <<int>> - <<int>>",
            "1 <<int>> * <<small>>", "1 <<int>> // <<int>>", "1 <<int>> % <<int>>", "1 sum(<<ints>>)", "1 int(<<str>>)",
            "1 sum(1 for $t in <<strs>> if <<bool $t:str>>)", "1 <<point>>.size", "1 share(<<int>>)", "1 tally()",
            "1 peek()", "1 keep(<<str>>)", "1 (<<int>> if <<bool>> else <<int>>)", "1 max(<<int>>, <<int>>)", "1 abs(<<int>>)",
            "1 -<<int>>", "1 <<table>>[<<str>>]", "2 <<table>>.get(<<str>>, <<int>>)", "1 <<pair>>[1]", "1 COUNT",
            "1 <<strs>>.index(<<str>>)", "1 sum(keep($t) for $t in <<strs>>[:2])", "1 COUNT", "1 len(KEPT)", "1 len(SHELF)", "1 sum(<<table>>.values())", "1 len(LOG)", "1 len({<<str>>, <<str>>})",
            "1 <<ints>>[<<small>>]", "1 min(<<ints>>)", "1 len(<<any>>) if isinstance(<<any>>, list) else <<int>>"],
    "bool": ["1 True", "1 False", "2 <<str>> == <<str>>", "2 <<int>> < <<int>>", "1 <<int>> < <<int>> <= <<int>>",
             "2 <<str>> in <<strs>>", "1 not <<bool>>", "2 <<bool>> and <<bool>>", "2 <<bool>> or <<bool>>", "2 <<maybe>> is None",
             "1 <<maybe>> is not None", "1 isinstance(<<shape>>, Circle)", "1 all(<<bool $t:str>> for $t in <<strs>>)",
             "1 any([<<bool $t:str>> for $t in <<strs>>])", "1 bool(<<strs>>)", "1 <<str>> in <<table>>", "1 len(<<strs>>) > <<small>>",
             "1 <<any>> == <<any>>", "1 <<strs>> is <<strs>>", "1 <<point>> == <<point>>", "1 <<pair>> > <<pair>>",
             "1 isinstance(<<any>>, str | list)", "1 <<int>> != <<int>>", "1 <<strs>> == <<strs>>", "1 callable(<<fn>>)"],
    "strs": ["3 [<<str>>, <<str>>]", "1 []", "1 [<<str>>]", "2 [<<str $t:str>> for $t in <<strs>>]",
             "1 [<<str $t:str>> for $t in <<strs>> if <<bool $t:str>>]", "1 [*<<strs>>, <<str>>]", "2 <<strs>> + <<strs>>",
             "1 <<strs>>[1:]", "1 <<strs>>[::-1]", "1 sorted(<<strs>>)", "1 sorted(<<strs>>, key=lambda $t: <<str $t:str>>)",
             "1 list(<<table>>)", "1 <<str>>.split('a')", "1 list(reversed(<<strs>>))", "1 list(<<strs>>)", "1 each(<<strs>>, <<fn>>)",
             "1 (<<strs>> if <<bool>> else <<strs>>)", "1 <<strs>>[:<<small>>]", "2 !push(<<strs>>, <<str>>)",
             "1 [<<str $t:str $u:str>> for $t in <<strs>>[:2] for $u in <<strs>>[:2]]", "1 list(map(clip, <<strs>>))",
             "1 sorted({<<str $t:str>> for $t in <<strs>>})", "1 list(filter(None, <<strs>>))", "1 SHELF[:3]", "1 !SHELF",
             "1 [$t for $t, $n in <<table>>.items()]", "1 [<<str $t:str $n:int>> for $n, $t in enumerate(<<strs>>)]",
             "1 list(numbered(<<strs>>))", "1 list(say($t) for $t in <<strs>>)", "1 list(map(say, <<strs>>))", "1 sorted(<<strs>>, key=fussy)",
             "1 [*numbered(<<strs>>)]", "1 [say($t) for $t in <<strs>>]", "1 sorted(<<strs>>, key=<<fn>>)", "1 list(map(<<fn>>, <<strs>>))", "1 [*map(str, <<ints>>)]", "1 {'x': <<strs>>}['x']", "1 (<<strs>>, <<strs>>)[<<small>>]"],
    "ints": ["2 [<<int>>, <<int>>]", "1 [len($t) for $t in <<strs>>]", "1 sorted(<<table>>.values())", "1 list(range(<<small>>))",
             "1 [<<int $t:str>> for $t in <<strs>>]", "1 <<ints>> + [<<int>>]"],
    "table": ["2 {<<str>>: <<int>>}", "1 {}", "1 {$t: <<int $t:str>> for $t in <<strs>>}", "1 {**<<table>>, <<str>>: <<int>>}",
              "1 <<table>> | {<<str>>: <<int>>}", "1 dict(a=<<int>>, b=<<int>>)", "1 dict(zip(<<strs>>, <<ints>>))", "1 TABLE",
              "1 !put(<<table>>, <<str>>, <<int>>)", "1 dict(<<table>>)", "1 dict.fromkeys(<<strs>>, <<int>>)"],
    "point": ["3 Point(<<str>>, <<int>>)", "1 Point(size=<<int>>, name=<<str>>)", "1 replace(<<point>>, name=<<str>>)",
              "1 (<<point>> if <<bool>> else <<point>>)", "1 <<point>>.grow(<<small>>)"],
    "shape": ["2 Circle(<<int>>)", "2 Crate(<<int>>, <<strs>>)"],
    "maybe": ["1 None", "1 <<str>>", "1 (<<str>> if <<bool>> else None)", "1 {'a': <<str>>}.get(<<str>>)"],
    "pair": ["2 (<<str>>, <<int>>)", "1 Pair(<<str>>, <<int>>)"],
    "any": ["2 <<str>>", "1 <<int>>", "1 <<strs>>", "1 <<pair>>", "1 <<table>>", "1 <<point>>", "1 [<<any>>, <<any>>]", "1 (<<any>>, <<any>>)",
            "1 {'k': <<any>>}", "1 {<<str>>, <<str>>}", "1 Tag(<<str>>, (<<any>>,))", "1 <<maybe>>", "1 <<shape>>", "1 Checked(<<str>>, [<<any>>])",
            "1 [[$t, <<str $t:str>>] for $t in <<strs>>]", "1 [(<<str $t:str>>, <<int $t:str>>) for $t in <<strs>>]"],
    "fn": ["1 shout", "1 clip", "1 say", "1 fussy", "2 lambda $t: <<str $t:str>>", "1 str.upper", "1 double"],
    "small": ["3 0", "3 1", "1 2", "1 3"],
}  # fmt: skip
_LEAF = {
    "str": "'a'", "int": "1", "bool": "True", "strs": "['a', 'b']", "ints": "[1, 2]", "table": "{'a': 1}", "point": "Point('p', 1)",
    "shape": "Circle(1)", "maybe": "None", "pair": "('a', 1)", "any": "'x'", "fn": "shout", "small": "1",
}  # fmt: skip
_ANNOTATIONS = {
    "str": "str", "int": "int", "bool": "bool", "strs": "list[str]", "ints": "list[int]", "table": "dict[str, int]", "point": "Point",
    "shape": "Circle | Crate", "maybe": "str | None", "pair": "tuple[str, int]", "any": "Any",
}  # fmt: skip
_TYPES = (
    ["str"] * 6
    + ["int"] * 4
    + ["strs"] * 4
    + ["bool"] * 2
    + ["point", "shape", "maybe", "pair", "table", "ints", "any", "any"]
)
_UPDATES = {"str": ["+="], "int": ["+=", "-=", "*=", "//=", "%="], "strs": ["+="], "ints": ["+="], "table": ["|="]}
_MUTATIONS = {
    "strs": ["4 {v}.append(<<str>>)", "1 {v}.extend(<<strs>>)", "1 {v}.insert(0, <<str>>)", "1 {v}.pop()", "1 {v}.sort()",
             "2 {v}[0] = <<str>>", "1 {v}[-1] += <<str>>", "1 {v}[1:] = <<strs>>", "1 del {v}[0]", "1 {v}.remove(<<str>>)",
             "1 {v}.reverse()", "1 {v}.clear()", "1 push({v}, <<str>>)", "1 {v}[<<small>>] = <<str>>"],
    "ints": ["1 {v}.append(<<int>>)", "1 {v}[0] += <<int>>", "1 {v}[<<small>>] = <<int>>"],
    "table": ["3 {v}[<<str>>] = <<int>>", "1 {v}[<<str>>] += <<int>>", "1 {v}.update(a=<<int>>)", "1 {v}.setdefault(<<str>>, <<int>>)",
              "1 {v}.pop(<<str>>, None)", "1 del {v}[<<str>>]", "1 put({v}, <<str>>, <<int>>)", "1 {v}.update({{<<str>>: <<int>>}})"],
    "point": ["2 {v}.size = <<int>>", "2 {v}.size += <<int>>", "1 {v}.name = <<str>>", "1 {v}.grow(<<small>>)",
              "1 {v}.name, {v}.size = <<str>>, <<int>>"],
}  # fmt: skip
_MATCHES = {
    "shape": ["Circle(radius=$a:int)", "Circle($a:int) if <<bool $a:int>>", "Crate(width=$a:int, tags=[$b:str, *$c:strs])", "Crate(tags=[])",
              "Circle(radius=0 | 1)", "Crate() as $a:shape", "Crate($a:int, $b:strs)"],
    "maybe": ["None", "str() as $a:str", "'a' | 'b'", "str($a:str) if <<bool $a:str>>"],
    "strs": ["[]", "[$a:str]", "[$a:str, $b:str, *$c:strs]", "[*$a:strs, 'old']", "['a', *_]", "[$a:str, *_] if <<bool $a:str>>"],
    "str": ["'red' | 'green'", "'a'", "'blue' as $a:str", "$a:str if <<bool $a:str>>"],
    "int": ["0", "1 | 2", "$a:int if $a > 2"],
    "table": ["{'a': $a:int, **$b:table}", "{'old': 1}", "{'k': $a:int} if <<bool $a:int>>"],
    "pair": ["($a:str, 0)", "(_, 1 | 2)", "Pair($a:str, $b:int)", "[$a:str, $b:int]"],
    "point": ["Point(name=$a:str, size=0)", "Point($a:str, $b:int) if <<bool $a:str $b:int>>", "Point(size=1 | 2) as $c:point"],
    "any": ["[$a:any, $b:any]", "{'k': $a:any}", "str() | int()", "($a:any, *$b:any) if <<bool>>", "Tag(text=$a:str)"],
}  # fmt: skip
_ERRORS = ["ModelError", "ValueError", "KeyError", "IndexError", "ZeroDivisionError", "(ValueError, ModelError)", "Exception",
           "Exception", "LookupError", "Stop", "tw.errors.Error", "ArithmeticError"]  # fmt: skip
_HOLE = re.compile(r"<<(\w+)((?: \$\w+:\w+)*)>>")
_FRESH = re.compile(r"\$(\w)\b")


def _weighted(templates: list[str]) -> tuple[list[str], list[int]]:
    parts = [one.split(" ", 1) for one in templates]
    return [text for _, text in parts], [int(weight) for weight, _ in parts]


_TABLES = [{kind: _weighted(found) for kind, found in table.items()} for table in (_CALLS, _PLAIN)]
_CHANGES = {kind: _weighted(found) for kind, found in _MUTATIONS.items()}


@dataclass(frozen=True)
class Case:
    """A random flow: the text of its module, which has `case`, `arguments()` and the world."""

    seed: int
    source: str  # without the world

    @property
    def module(self) -> str:
        return f"{WORLD}\n\n{self.source}"


@dataclass(frozen=True)
class _Flow:
    name: str
    returns: str
    call: str  # a template


def make(seed: int, size: int | None = None) -> Case:
    """The flow of a seed. `size`: statements at most in a body; default: small seeds make small flows, up to 7."""
    grown = 2 + seed // 40 if seed < 200 else 2 + seed % 6
    return Case(seed, Maker(seed, size or grown).source())


class Maker:
    """Writes one module."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        self.fixed: set[str] = set()  # names that may only be read
        self.size = size
        self.names = 0
        self.flows: list[_Flow] = []
        self.calls = 0  # that may still be written
        self.loops = 0
        self.calm = 0  # > 0: nothing that changes what a loop may run over
        self.vars: dict[str, str] = {}
        self.returns = "any"
        self.indent = 0
        self.in_loop = False
        self.in_flow = True
        self.globals = False
        self.lines: list[str] = []

    # -- the module -----------------------------------------------------------------------------------------------

    def source(self) -> str:
        r = self.random
        self.emit(f"FAIL = {r.choice([0, 0, 37, 19, 11, 7, 5])}")
        self.emit("")
        for _ in range(r.choice([0, 0, 1, 1, 2, 2, 3]) if self.size > 2 else r.choice([0, 1])):
            r.choice(
                [self.sub_flow, self.sub_flow, self.sub_flow, self.recursive_flow, self.made_flow, self.impure_flow]
            )()
        self.case()
        return "\n".join(self.lines) + "\n"

    def case(self) -> None:
        r = self.random
        values = {"text": ("str", r.choice(["'a'", "'hello'", "'bb'"])), "number": ("int", r.choice("01234")),
                  "items": ("strs", r.choice(["['a', 'b', 'c']", "['x']", "[]", "['bb', 'a']"])),
                  "table": ("table", r.choice(["{'a': 1, 'b': 2}", "{}"])), "point": ("point", "Point('p', 1)"),
                  "shape": ("shape", r.choice(["Circle(2)", "Crate(1, ['t'])"])), "maybe": ("maybe", r.choice(["None", "'m'"]))}  # fmt: skip
        chosen = {name: values[name] for name in ["text", *r.sample(list(values)[1:], r.randint(1, 4))]}
        shared = r.random() < 0.15
        head = list(chosen)
        if shared:
            chosen["items"] = ("strs", "['a', 'b']")
            chosen["others"] = ("strs", "")
            head = list(chosen)
        args = []
        setup = ""
        for name, (_, value) in chosen.items():
            if shared and name in ("items", "others"):
                setup = "    both = ['a', 'b']\n"
                value = "both"
            args.append(value)
        self.body_of("case", {name: kind for name, (kind, _) in chosen.items()}, ", ".join(head), "any", self.size, 24)
        self.emit(f"def arguments():\n{setup}    return ({', '.join(args)},), {{}}")

    def sub_flow(self) -> None:
        r = self.random
        name = f"sub_{len(self.flows)}"
        returns = r.choice(["str", "str", "strs", "int", "point", "any", "bool"])
        shapes: list[tuple[str, dict[str, str], str]] = [
            ("text, number", {"text": "str", "number": "int"}, "<<str>>, <<int>>"),
            ("text", {"text": "str"}, "<<str>>"),
            ("text, number=2", {"text": "str", "number": "int"}, "<<str>>"),
            ("text, *, number=1", {"text": "str", "number": "int"}, "<<str>>, number=<<int>>"),
            ("items", {"items": "strs"}, "<<strs>>"),
            ("items, text='d'", {"items": "strs", "text": "str"}, "<<strs>>"),
            ("table, text", {"table": "table", "text": "str"}, "<<table>>, <<str>>"),
            ("*rest, text='k'", {"text": "str", "rest": "tuple"}, "*<<strs>>, text=<<str>>"),
            ("text, **more", {"text": "str", "more": "table"}, "<<str>>, a=<<int>>"),
            ("text, items=['m', 'n']", {"text": "str", "items_": "strs"}, "<<str>>"),
            ("point, text", {"point": "point", "text": "str"}, "<<point>>, <<str>>"),
            ("maybe, shape", {"maybe": "maybe", "shape": "shape"}, "<<maybe>>, <<shape>>"),
            ("function, text", {"function": "fn", "text": "str"}, "<<fn>>, <<str>>"),
        ]
        head, variables, call = r.choice(shapes)
        variables = {"text": "str"} if "items_" in variables else variables
        self.body_of(name, variables, head, returns, max(2, self.size // 2), 7)
        self.flows.append(_Flow(name, returns, f"{name}({call})"))

    def impure_flow(self) -> None:
        """A flow whose effects stand between its calls."""
        name = f"sub_{len(self.flows)}"
        lines = ["    first = ask_text(text)", f"    {self.random.choice(['send(first)', 'say(first)', 'keep(first)', 'fussy(first)'])}",
                 f"    {self.random.choice(['return first + ask_word(text)', 'return look(first)', 'send(ask_word(first)); return first'])}"]  # fmt: skip
        if self.random.random() < 0.5:
            lines.insert(self.random.randint(0, 2), "    second = ask_text(text + 's')")
        self.emit("\n".join(["@tw.flow", f"def {name}(text):", *lines, "", ""]))
        self.flows.append(_Flow(name, "str", f"{name}(<<str>>)"))

    def recursive_flow(self) -> None:
        name = f"sub_{len(self.flows)}"
        returns = self.random.choice(["str", "strs", "int"])
        self.returns = returns
        self.vars = {"text": "str"}
        self.calls = 2
        base = self.expression(returns, 1)
        step = {"str": f"ask_text(text)[:3] + {name}(depth - 1, ask_text(text))", "strs": f"[ask_text(text), *{name}(depth - 1, ask_word(text))]",
                "int": f"ask_count(text) + {name}(depth - 1, text + 'r')"}[returns]  # fmt: skip
        if self.random.random() < 0.4:
            step = {"str": f"max([{name}(depth - 1, text + one) for one in 'xy'])", "strs": f"{name}(depth - 1, text + 'l') + {name}(depth - 1, text + 'r')",
                    "int": f"sum([{name}(depth - 1, one) for one in ask_list(text)])"}[returns]  # fmt: skip
        self.emit(f"@tw.flow\ndef {name}(depth, text):\n    if depth <= 0:\n        return {base}")
        self.indent, self.lines_used = 1, 0
        if self.random.random() < 0.5:
            self.simple()
        self.indent = 0
        self.emit(f"    return {step}\n\n")
        self.flows.append(_Flow(name, returns, f"{name}({self.random.choice('123')}, <<str>>)"))

    def made_flow(self) -> None:
        """A flow defined inside a function, whose variables it sees."""
        name = f"sub_{len(self.flows)}"
        returns = self.random.choice(["str", "strs", "any"])
        self.emit(f"def make_{name}(extra, box):")
        self.indent = 1
        self.fixed = {"extra", "box"}
        self.body_of(name, {"text": "str", "extra": "str", "box": "strs"}, "text", returns, max(2, self.size // 2), 6)
        self.fixed = set()
        self.indent = 0
        while not self.lines[-1]:
            self.lines.pop()
        self.emit(f"\n    return {name}\n\n\n{name} = make_{name}('extra', BOX)\n\n")
        call = self.random.choice([f"{name}(<<str>>)", f"make_{name}(<<str>>, <<strs>>)(<<str>>)"])
        self.flows.append(_Flow(name, returns, call))

    def body_of(self, name: str, variables: dict[str, str], head: str, returns: str, size: int, calls: int) -> None:
        self.vars = dict(variables)
        self.returns, self.calls, self.loops, self.calm, self.in_loop = returns, calls, 0, 0, False
        before = self.lines
        self.lines = []
        self.indent += 1
        self.globals = False
        self.block(self.random.randint(max(1, size - 2), size))
        if returns != "any" or self.random.random() < 0.9:
            self.emit(f"return {self.final(returns)}")
        self.indent -= 1
        body, self.lines = self.lines, before
        self.emit("@tw.flow")
        self.emit(f"def {name}({head}):")
        if self.globals:
            self.emit("    global COUNT")
        self.lines += body
        self.lines += ["", ""]

    def final(self, returns: str) -> str:
        if returns == "any" and self.vars and self.random.random() < 0.8:
            count = min(len(self.vars), self.random.randint(1, 5))
            chosen = self.random.sample(list(self.vars), count)
            shown = ", ".join(f"{self.vars[one] == 'fn' and f'callable({one})' or one}" for one in chosen)
            return f"[{shown}]" if self.random.random() < 0.6 else f"({shown},)"
        return self.expression(returns, 2)

    # -- statements -----------------------------------------------------------------------------------------------

    def emit(self, text: str) -> None:
        self.lines += [("    " * self.indent + line if line else "") for line in text.split("\n")]

    def fresh(self, prefix: str = "v") -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def block(self, count: int, more: dict[str, str] | None = None) -> None:
        """Statements in a block of their own: names first set in it are not used after it (mostly)."""
        before = dict(self.vars)
        self.vars.update(more or {})
        start = len(self.lines)
        for _ in range(count):
            self.statement()
        if len(self.lines) == start:
            self.emit("pass")
        left = self.vars
        self.vars = {name: kind for name, kind in before.items() if left.get(name) == kind}
        if self.random.random() < 0.04:
            self.vars = {**{name: kind for name, kind in left.items() if kind != "exc"}, **self.vars}

    def nested(self, count: int | None = None, more: dict[str, str] | None = None) -> None:
        self.indent += 1
        self.block(count or self.random.choice([1, 1, 2, 2, 3]), more)
        self.indent -= 1

    def statement(self) -> None:
        r = self.random
        if self.indent > 4 or r.random() < (0.55 if self.indent < 2 else 0.75):
            self.simple()
            return
        r.choices(
            [self.if_, self.for_, self.while_, self.match_, self.try_, self.with_, self.def_],
            [6, 6, 2, 4, 6, 3, 2],
        )[0]()

    def simple(self) -> None:
        r = self.random
        kind = r.choices(
            ["assign", "unpack", "update", "change", "do", "effect", "del", "global", "assert", "raise", "return", "leave", "pass", "alias", "many"],
            [16, 5, 4, 8, 4, 5, 1, 1, 0.5, 0.7, 0.7, 2 if self.in_loop else 0, 0.5, 2, 8],
        )[0]  # fmt: skip
        getattr(self, f"do_{kind}")()

    def target(self, kind: str) -> str:
        """A name to assign: new, or one of that type."""
        known = [name for name, found in self.vars.items() if found == kind and name not in self.fixed]
        if known and self.random.random() < 0.3:
            return self.random.choice(known)
        return self.fresh()

    def do_assign(self) -> None:
        r = self.random
        kind = r.choice(_TYPES)
        value = self.expression(kind, 2)
        name = self.target(kind)
        how = r.random()
        if how < 0.08:
            other = self.target(kind)
            self.emit(f"{name} = {other} = {value}")
            self.vars[other] = kind
        elif how < 0.16:
            self.emit(f"{name}: {_ANNOTATIONS[kind]} = {value}" if name not in self.vars else f"{name} = {value}")
        elif how < 0.22 and kind != "fn":
            other = self.target("any")
            self.emit(f"{other} = [{name} := {value}, {self.expression('str', 1)}]")
            self.vars[other] = "any"
        else:
            self.emit(f"{name} = {value}")
        self.vars[name] = kind

    def do_many(self) -> None:
        """Several independent calls one after another."""
        for _ in range(self.random.randint(2, 3)):
            kind = self.random.choice(["str", "int", "strs", "point", "str", "bool"])
            value = self.called(kind, 1)
            name = self.target(kind)
            self.emit(f"{name} = {value}")
            self.vars[name] = kind
        if self.random.random() < 0.5:  # what must not run ahead of them
            self.random.choice(
                [self.do_effect, self.do_effect, self.do_change, self.do_global, self.for_, self.with_, self.do_read]
            )()

    def do_read(self) -> None:
        kind, value = self.random.choice([("int", "COUNT"), ("int", "len(SHELF)"), ("strs", "SHELF[:]"), ("int", "len(LOG)"), ("any", "[*KEPT]"),
                                          ("int", "peek()"), ("str", "look('r')"), ("table", "dict(TABLE)")])  # fmt: skip
        name = self.target(kind)
        self.emit(f"{name} = {value}")
        self.vars[name] = kind

    def do_unpack(self) -> None:
        r = self.random
        a, b, c = self.fresh(), self.fresh(), self.fresh()
        text = lambda: self.expression("str", 1)  # noqa: E731
        made: list[tuple[str, dict[str, str]]] = [
            (f"{a}, {b} = {text()}, {self.expression('int', 1)}", {a: "str", b: "int"}),
            (f"{a}, {b} = {self.expression('pair', 1)}", {a: "str", b: "int"}),
            (f"{a}, *{b} = {self.expression('strs', 1)}", {a: "str", b: "strs"}),
            (
                f"({a}, ({b}, {c})) = ({text()}, ({text()}, {self.expression('int', 1)}))",
                {a: "str", b: "str", c: "int"},
            ),
            (f"[{a}, {b}] = [{text()}, {text()}]", {a: "str", b: "str"}),
            (f"*{a}, {b} = [{text()}, {text()}, {text()}]", {a: "strs", b: "str"}),
            (f"{a} = {b}, {c} = {self.expression('pair', 1)}", {a: "pair", b: "str", c: "int"}),
        ]
        texts = [name for name, kind in self.vars.items() if kind == "str" and name not in self.fixed]
        if len(texts) > 1:
            one, two = r.sample(texts, 2)
            made.append((f"{one}, {two} = {two}, {one}", {}))
        tables = [name for name, kind in self.vars.items() if kind == "table"]
        if tables:
            table = r.choice(tables)
            made.append((f"{table}['u'], {a} = {self.expression('int', 1)}, {text()}", {a: "str"}))
        line, found = r.choice(made)
        self.emit(line)
        self.vars.update(found)

    def do_update(self) -> None:
        known = [(name, kind) for name, kind in self.vars.items() if kind in _UPDATES and name not in self.fixed]
        if not known:
            return self.do_assign()
        name, kind = self.random.choice(known)
        operator = self.random.choice(_UPDATES[kind])
        value = self.expression(kind, 1)
        self.emit(f"{name} {operator} {value}")
        return None

    def do_change(self) -> None:
        known = [(name, kind) for name, kind in self.vars.items() if kind in _CHANGES]
        if not known:
            return self.do_assign()
        name, kind = self.random.choice(known)
        texts, weights = _CHANGES[kind]
        template = self.random.choices(texts, weights)[0].replace("{{", "{").replace("}}", "}").replace("{v}", name)
        self.emit(self.filled(template, 1))
        return None

    def do_do(self) -> None:
        self.emit(self.called(self.random.choice(["str", "int", "bool", "strs", "any"]), 1))

    def do_effect(self) -> None:
        templates = ["send(<<str>>, <<int>>)", "send(<<str>>)", "say(<<str>>)", "keep(<<str>>)", "post(<<strs>>)", "fussy(<<str>>)", "tally()",
                     "SHELF.append(<<str>>)", "TABLE[<<str>>] = <<int>>", "print(<<any>>)", "KEPT.append(<<strs>>)", "KEPT.append(<<table>>)", "KEPT.append(<<point>>)", "KEPT.append(<<any>>)", "print(<<str>>, end='')", "LOG.append(('flow', <<str>>))"]  # fmt: skip
        self.emit(self.filled(self.random.choice(templates), 1))

    def do_del(self) -> None:
        known = [name for name, kind in self.vars.items() if name.startswith("v")]
        if not known or self.indent > 1:
            return self.do_effect()
        name = self.random.choice(known)
        self.emit(f"del {name}")
        del self.vars[name]
        return None

    def do_global(self) -> None:
        self.globals = True
        how = self.random.random()
        if how < 0.75:
            self.emit(f"COUNT {self.random.choice(['+=', '=', '+='])} {self.expression('int', 1)}")
        elif how < 0.85:
            self.emit(f"for COUNT in {self.expression('ints', 1)}:\n    {self.called('str', 1)}")
        else:
            self.emit(f"if (COUNT := {self.expression('int', 1)}) > 1:\n    {self.called('str', 1)}")

    def do_assert(self) -> None:
        self.emit(f"assert {self.expression('bool', 1)}, {self.expression('str', 1)}")

    def do_raise(self) -> None:
        error = self.filled(
            self.random.choice(["ValueError(<<str>>)", "Stop(<<str>>)", "KeyError(<<str>>)", "Stop(<<str>>, <<int>>)"]),
            1,
        )
        if self.random.random() < 0.2:
            error += f" from {self.filled('ValueError(<<str>>)', 1)}"
        if self.random.random() < 0.75:
            self.emit(f"if {self.expression('bool', 1)}:\n    raise {error}")
        else:
            self.emit(f"raise {error}")

    def do_return(self) -> None:
        value = self.final(self.returns)
        self.emit(
            f"if {self.expression('bool', 1)}:\n    return {value}" if self.random.random() < 0.8 else f"return {value}"
        )

    def do_leave(self) -> None:
        word = self.random.choice(["break", "continue"])
        self.emit(f"if {self.expression('bool', 1)}:\n    {word}" if self.random.random() < 0.85 else word)

    def do_pass(self) -> None:
        self.emit("pass")

    def do_alias(self) -> None:
        known = [(name, kind) for name, kind in self.vars.items() if kind in ("strs", "table", "point", "any", "str")]
        if known:
            name, kind = self.random.choice(known)
            made = self.target(kind)
            self.emit(f"{made} = {name}")
            self.vars[made] = kind

    def if_(self) -> None:
        r = self.random
        how = r.random()
        if how < 0.2:
            name = self.fresh("w")
            self.emit(
                f"if ({name} := {self.called('str', 1)}) {r.choice(['> ', '== ', 'in '])}{self.expression('str', 1)}:"
            )
            self.nested(None, {name: "str"})
        elif how < 0.3:
            name = self.fresh("w")
            self.emit(f"if ({name} := {self.called('maybe', 1)}) is not None:")
            self.nested(None, {name: "str"})
        else:
            self.emit(f"if {self.called('bool', 1) if r.random() < 0.6 else self.expression('bool', 2)}:")
            self.nested()
        if r.random() < 0.25:
            self.emit(f"elif {self.expression('bool', 1)}:")
            self.nested()
        if r.random() < 0.4:
            self.emit("else:")
            self.nested()

    @contextmanager
    def looping(self) -> Any:
        before, self.in_loop = self.in_loop, True
        self.loops += 1
        yield
        self.loops -= 1
        self.in_loop = before

    def for_(self) -> None:
        if self.loops > 1:
            return self.simple()
        r = self.random
        a, b = self.fresh("i"), self.fresh("i")
        strs = self.expression("strs", 1)
        heads: list[tuple[str, str, dict[str, str]]] = [
            (a, strs, {a: "str"}), (a, strs, {a: "str"}), (a, f"({strs})[:3]", {a: "str"}),
            (f"{b}, {a}", f"enumerate({strs})", {a: "str", b: "int"}), (f"{a}, {b}", f"zip({strs}, {self.expression('ints', 1)})", {a: "str", b: "int"}),
            (a, f"range({self.expression('small', 0)})", {a: "int"}), (f"{a}, {b}", f"list(({self.expression('table', 1)}).items())", {a: "str", b: "int"}),
            (a, f"numbered({strs})", {a: "str"}), (a, f"[{self.called('point', 1)}, {self.called('point', 1)}]", {a: "point"}),
            (a, f"[{self.called('str', 1)}, {self.called('str', 1)}]", {a: "str"}), (a, f"({self.called('str', 1)}, {self.called('str', 1)})", {a: "str"}),
            (f"{a}, {b}", f"[({self.called('str', 1)}, {self.expression('int', 1)})]", {a: "str", b: "int"}),
            (a, f"sorted({strs}, key=len)", {a: "str"}), (a, f"reversed({strs})", {a: "str"}),
        ]  # fmt: skip
        head, over, names = r.choice(heads)
        self.emit(f"for {head} in {over}:")
        start = len(self.lines)
        with self.looping():
            self.nested(None, names)
        body = "\n".join(self.lines[start:])
        if not over.endswith("[:3]") and re.search(
            r"append|extend|insert|push|keep|\+=|sub_|\[1:\]|\bf\d+\(|each|apply", body
        ):
            inner = "    " * (self.indent + 1)
            if r.random() < 0.4:  # what it runs over may grow
                self.lines[start - 1] = "    " * self.indent + f"for {head} in list({over}):"
            else:
                count = self.fresh("n")
                self.lines[start:start] = [f"{inner}{count} += 1", f"{inner}if {count} > 5:", f"{inner}    break"]
                self.lines.insert(start - 1, "    " * self.indent + f"{count} = 0")
        if r.random() < 0.2:
            self.emit("else:")
            self.nested(1)
        return None

    def while_(self) -> None:
        if self.loops > 1:
            return self.simple()
        name = self.fresh("n")
        if self.random.random() < 0.5:
            self.emit(
                f"{name} = 0\nwhile ({name} := {name} + 1) < {self.random.choice('234')} and {self.called('bool', 1)}:"
            )
        else:
            self.emit(f"{name} = [1, 2]\nwhile {name} and {self.called('bool', 1)}:\n    {name}.pop()")
        with self.looping():
            self.nested()
        if self.random.random() < 0.3:
            self.emit("else:")
            self.nested(1)
        return None

    def match_(self) -> None:
        r = self.random
        kind = r.choice(list(_MATCHES))
        self.emit(f"match {self.called(kind, 1) if r.random() < 0.7 else self.expression(kind, 1)}:")
        self.indent += 1
        for pattern in r.sample(_MATCHES[kind], r.randint(1, 3)):
            fresh = {one: self.fresh("m") for one in dict.fromkeys(_FRESH.findall(pattern))}
            names: dict[str, str] = {}
            for one, found in re.findall(r"\$(\w):(\w+)", pattern.split(" if ")[0]):
                names[fresh[one]] = found if not pattern.startswith("($a:any, *") else "any"
            before = dict(self.vars)
            self.vars.update(names)
            head, _, guard = pattern.partition(" if ")
            head = re.sub(r"\$(\w):\w+", lambda one, fresh=fresh: fresh[one[1]], head)
            guard = re.sub(r"<<bool[^>]*>>", "<<bool>>", guard)
            guard = _FRESH.sub(lambda one, fresh=fresh: fresh[one[1]], guard)
            guard = f" if {self.filled(guard, 1)}" if guard else ""
            self.vars = before
            self.emit(f"case {head}{guard}:")
            self.nested(None, names)
        if r.random() < 0.6:
            name = self.fresh("m")
            if r.random() < 0.5:
                self.emit("case _:")
                self.nested()
            else:
                self.emit(f"case {name}:")
                self.nested(None, {name: kind})
        self.indent -= 1

    def try_(self) -> None:
        r = self.random
        final = r.random() < 0.4
        handlers = r.choice([1, 1, 2]) if not final or r.random() < 0.5 else 0
        self.emit("try:")
        self.nested()
        for index in range(handlers):
            error = "" if index and r.random() < 0.15 else " " + r.choice(_ERRORS)
            name = self.fresh("e") if error and r.random() < 0.5 else ""
            self.emit(f"except{error}{f' as {name}' if name else ''}:")
            self.indent += 1
            self.block(r.choice([0, 1, 2]), {name: "exc"} if name else None)
            if name and r.random() < 0.6:
                self.emit(r.choice([f"print(type({name}).__name__)", f"LOG.append(('caught', str({name})))", f"keep(str({name}))",
                                    f"raise Stop('again') from {name}"]))  # fmt: skip
            elif r.random() < 0.15:
                self.emit("raise")
            self.indent -= 1
        if handlers and r.random() < 0.25:
            self.emit("else:")
            self.nested()
        if final:
            self.emit("finally:")
            self.nested(r.choice([1, 1, 2]))

    def with_(self) -> None:
        r = self.random
        name = self.fresh("c")
        head = r.choice([f"Logged({self.expression('str', 1)})", f"Logged('w') as {name}", f"contextlib.suppress({r.choice(_ERRORS[:6])})",
                         f"Logged('s', {r.choice(['ModelError', 'ValueError', 'Exception'])})", f"tw.using(seed={r.randint(1, 3)})",
                         f"Logged('a'), contextlib.suppress({r.choice(_ERRORS[:6])})", f"contextlib.nullcontext({self.expression('str', 1)}) as {name}"])  # fmt: skip
        self.emit(f"with {head}:")
        self.nested(None, {name: "str"} if head.startswith("contextlib.null") else None)

    def def_(self) -> None:
        r = self.random
        name, argument = self.fresh("f"), self.fresh("a")
        how = r.random()
        if how < 0.4:
            self.emit(f"{name} = {self.expression('fn', 1)}")
            self.vars[name] = "fn"
            return
        self.emit(f"def {name}({argument}):")
        before, loop, returns = dict(self.vars), self.in_loop, self.returns
        self.vars[argument] = "str"
        self.in_loop = False
        self.indent += 1
        held = self.globals
        counters = [one for one, kind in before.items() if kind == "int" and re.fullmatch(r"v\d+", one)]
        if counters and r.random() < 0.25 and self.indent >= 2:
            one = r.choice(counters)
            self.emit(f"nonlocal {one}\n{one} += 1")
        elif r.random() < 0.4:
            lists = [one for one, kind in before.items() if kind == "strs"]
            if lists:
                self.emit(f"push({r.choice(lists)}, {argument})")
        # An inner function sees names of the flow and sets only its own.
        local = self.fresh("u")
        if r.random() < 0.4:
            self.emit(f"{local} = {self.called('str', 1)}")
            self.vars[local] = "str"
        self.emit(f"return {self.expression('str', 2)}")
        self.indent -= 1
        self.globals = held
        self.vars, self.in_loop, self.returns = before, loop, returns
        self.vars[name] = "fn"

    # -- expressions ----------------------------------------------------------------------------------------------

    def called(self, kind: str, depth: int) -> str:
        """An expression that calls something learned, if it may."""
        if self.calls <= 0 or kind not in _CALLS:
            return self.expression(kind, depth)
        return self.chosen(kind, depth, True)

    def expression(self, kind: str, depth: int) -> str:
        r = self.random
        if kind == "exc":
            return next((name for name, found in self.vars.items() if found == "exc"), "ValueError('none')")
        known = [name for name, found in self.vars.items() if found == kind]
        if kind == "str" and r.random() < 0.1:
            caught = [name for name, found in self.vars.items() if found == "exc"]
            if caught:
                return f"str({r.choice(caught)})[:9]"
        if kind == "strs" and "rest" in self.vars and r.random() < 0.3:
            return "[*rest]"
        if known and r.random() < (0.75 if depth <= 0 else 0.4):
            return r.choice(known)
        if depth <= 0:
            return r.choice(known) if known else _LEAF[kind]
        flows = [one for one in self.flows if one.returns == kind]
        if flows and self.calls > 0 and r.random() < 0.3:
            self.calls -= 2
            return self.filled(r.choice(flows).call, depth - 1)
        return self.chosen(kind, depth, self.calls > 0 and kind in _CALLS and r.random() < 0.6)

    def chosen(self, kind: str, depth: int, call: bool) -> str:
        texts, weights = _TABLES[0 if call else 1][kind]
        for _ in range(20):
            text = self.random.choices(texts, weights)[0]
            if not (self.calm and text.startswith("!")):
                break
        else:
            return _LEAF[kind]
        text = text.removeprefix("!")
        if "numbered_list" in text:
            text = "[ask_text($t) for $t in numbered(<<strs>>)]"
        if call:
            self.calls -= 1 + (" for " in text) + self.loops
        made = self.filled(text, depth - 1)
        return (
            f"({made})"
            if text.startswith("lambda") or " if " in text or re.search(r"> (and|or|is|in|[-+*/%<|!=]=?) ", text)
            else made
        )

    def filled(self, template: str, depth: int) -> str:
        """A template with its holes filled."""
        fresh = {one: self.fresh("t") for one in dict.fromkeys(_FRESH.findall(template))}
        if fresh and self.random.random() < 0.06:
            texts = [name for name, kind in self.vars.items() if kind == "str"]
            if texts and "lambda" not in template:
                fresh[next(iter(fresh))] = self.random.choice(texts)  # a comprehension may use a name of the flow again
        looping = " for " in template or "lambda" in template
        self.calm += looping

        def fill(match: re.Match[str]) -> str:
            names = {fresh[one]: kind for one, kind in re.findall(r"\$(\w):(\w+)", match[2])}
            before = self.vars
            self.vars = {**before, **names}
            found = self.expression(match[1], depth)
            self.vars = before
            touches = template[match.end() : match.end() + 1] in (".", "[")
            return f"({found})" if touches and not found.isidentifier() else found

        made = _HOLE.sub(fill, template)
        self.calm -= looping
        if template.startswith("f'"):  # holes may hold quotes, and f-strings of their own
            made = _LEAF["str"] if '"""' in made else re.sub(r"^f'(.*)'(\[:20\])?$", r'f"""\1"""\2', made)
        return _FRESH.sub(lambda one: fresh[one[1]], made)
