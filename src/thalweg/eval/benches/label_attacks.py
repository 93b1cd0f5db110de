"""Small flows that try to bring a secret to a public sink, and flows that rightly end at one.

`ATTACKS` take one argument that carries ``hr`` (a secret, or a document somebody else wrote) and must not tell anything
of it to `publish`, whichever way they take; `BENIGN` must run to their end. Each is run with several secrets
(`run_attack`): the calls that `publish` accepted have to be the same for all of them. Used by tests and by the bench.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.errors import FlowViolation
from thalweg.program.flow import Flow, flow
from thalweg.program.labels import Label, Labelled, labelled
from thalweg.program.learned import learned
from thalweg.program.purity import pure
from thalweg.program.tool import tool
from thalweg.program.value import Value, gather

SECRETS = ("yes, 7", "no", "", "yes, 12345", "Zebra|apple")

SENT: list[Any] = []  # what `publish` accepted
SHELF: list[Any] = []
BOX: dict[str, Any] = {}
LAST = "nothing"
HIDDEN = ["nothing"]
ATTACKS: list[Flow[..., Any]] = []
BENIGN: list[Flow[..., Any]] = []


def reset(secret: str = "") -> None:
    """The world before a run."""
    global LAST
    SENT.clear()
    SHELF.clear()
    BOX.clear()
    LAST = "nothing"
    HIDDEN[:] = [secret]
    STASH.kept = ""
    remember.kept = ""  # type: ignore[attr-defined]


def attack(function: Callable[..., Any]) -> Flow[..., Any]:
    ATTACKS.append(flow(function))
    return ATTACKS[-1]


def benign(function: Callable[..., Any]) -> Flow[..., Any]:
    BENIGN.append(flow(function))
    return BENIGN[-1]


@dataclass(frozen=True)
class Tried:
    """What came of one flow with one secret: what was accepted, and whether it was stopped."""

    sent: tuple[Any, ...]
    stopped: bool
    error: str = ""


def run_attack(one: Flow[..., Any], secret: str) -> Tried:
    """Run an attack on a secret."""
    reset(secret)
    stopped, error = False, ""
    try:
        result = one(labelled(secret, "hr"))
        if isinstance(result, Value):
            result.result(30)
    except FlowViolation:
        stopped = True
    except Exception as problem:
        error = type(problem).__name__
    return Tried(tuple(SENT), stopped, error)


def escapes(one: Flow[..., Any]) -> list[str]:
    """Why an attack got through: what differs between secrets, or that nothing stopped it. Empty: it did not."""
    tried = {secret: run_attack(one, secret) for secret in SECRETS}
    found = []
    longest = max((result.sent for result in tried.values()), key=len)
    for secret, result in tried.items():
        if result.sent != longest:
            found.append(f"{one.name}: with {secret!r} the sink accepted {result.sent}, else {longest}")
    if not any(result.stopped for result in tried.values()):
        found.append(f"{one.name}: nothing was stopped: {tried}")
    return found


# -- the world --------------------------------------------------------------------------------------------------------


@tool(effect="write", accepts=Label())
def publish(text: Any) -> None:
    """The public sink."""
    SENT.append(json.loads(json.dumps(text, default=str)))


@tool(effect="write", accepts=Label("hr"))
def file_away(text: Any) -> None:
    """The sink for what may be secret."""


@tool(effect="read", label=Label("hr"))
def read_hr(name: str) -> str:
    """A source."""
    return HIDDEN[0]


@tool(effect="read", label=Label())
def read_wiki(name: str) -> str:
    """A source of what anybody may know."""
    return f"about {name}"


@tool(effect="write")
def keep_outside(text: Any) -> None:
    """A write without a declared label."""
    BOX["kept"] = text


@tool(effect="read")
def look_outside() -> Any:
    """A read without a declared label."""
    return BOX.get("kept", "nothing")


@learned
def summary(text: str) -> str:
    """Summarise the text."""
    return f"summary of {text}"


@learned
def choose(question: str, documents: list[str]) -> str:
    """Answer from the documents."""
    return documents[0]


@dataclass
class Note:
    title: str
    body: Any = ""
    tags: list[str] = field(default_factory=list)

    def shown(self) -> str:
        return f"{self.title}: {self.body}"

    @property
    def head(self) -> str:
        return str(self.body)[:3]


@dataclass(frozen=True)
class Card:
    name: str
    text: str


class Stash:
    kept: Any = ""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, one: Any) -> None:
        self.items.append(one)

    def take(self) -> Any:
        return self.items[-1] if self.items else "nothing"


STASH = Stash


def stash(text: Any) -> None:
    SHELF.append(text)


def unstash() -> Any:
    return SHELF[-1] if SHELF else "nothing"


def set_last(text: str) -> None:
    global LAST
    LAST = text


def get_last() -> str:
    return LAST


def remember(text: Any) -> None:
    remember.kept = text  # type: ignore[attr-defined]


def put_into(items: list[Any], text: Any) -> None:
    items.append(text)


def strict(text: str) -> None:
    if not text.startswith("yes"):
        raise ValueError("no")


def telling(text: str) -> None:
    raise ValueError(f"cannot read {text}")


def one_by_one(items: list[Any]) -> Any:
    yield from items


def call_it(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def leak_inside(text: str) -> None:
    publish(text)


def read_and_publish() -> None:
    publish(read_hr("bob"))


@pure
def tidy(text: str) -> str:
    return text.strip().lower()


@contextlib.contextmanager
def opened(text: str) -> Any:
    yield text + "!"


@contextlib.contextmanager
def quiet() -> Any:
    with contextlib.suppress(ValueError):
        yield


@flow
def inner_shout(text: str) -> str:
    return text.upper()


@flow
def inner_publish(text: str) -> None:
    publish(text)


@flow
def inner_keep(items: list[Any], text: str) -> None:
    items.append(text)


@flow
def inner_maybe_keep(items: list[Any], text: str) -> None:
    if text.startswith("yes"):
        return
    items.append("x")


@flow
def inner_strict(text: str) -> str:
    if not text.startswith("yes"):
        raise ValueError("no")
    return "ok"


# -- explicit flows ---------------------------------------------------------------------------------------------------


@attack
def direct(secret):
    publish(secret)


@attack
def read_by_a_tool(secret):
    publish(read_hr("bob"))


@attack
def formatted(secret):
    publish(f"{secret:>20}|{secret!r}")


@attack
def percent_and_format(secret):
    text = "%s" % secret  # noqa: UP031
    publish(f"{text}")


@attack
def joined(secret):
    publish(", ".join(["a", secret]))


@attack
def length(secret):
    publish(len(secret))


@attack
def truth(secret):
    publish(bool(secret))


@attack
def is_none(secret):
    value = None if len(secret) > 3 else 1
    publish(value is None)


@attack
def dict_key(secret):
    table = {secret: 1}
    publish(list(table))


@attack
def dict_value(secret):
    table = {"a": secret, "b": "public"}
    publish(table["a"])


@attack
def secret_index(secret):
    publish("abcdefghijklmnopqrstuvw"[len(secret)])


@attack
def secret_key_of_a_table(secret):
    table = {"yes": "1", "no": "0"}
    publish(table.get(secret[:3], "?"))


@attack
def in_a_set(secret):
    found = {"a", secret}
    publish(len(found) + len({"yes", secret}))


@attack
def record_field(secret):
    note = Note("title", secret)
    publish(note.shown())


@attack
def record_property(secret):
    note = Note("title", secret)
    publish(note.head)


@attack
def replaced_record(secret):
    card = replace(Card("a", "b"), text=secret)
    publish(card.text)


@attack
def slices_and_stars(secret):
    _, *rest = [*"ab", *secret]
    publish(rest[1:])


@attack
def compared(secret):
    publish("a" < secret < "z")


@attack
def sorted_by_a_key(secret):
    names = ["a", "b", "c"]
    publish(sorted(names, key=lambda one: secret.find(one)))


@attack
def regular_expression(secret):
    publish(re.sub("[aeiou]", "_", secret))


@attack
def as_json(secret):
    publish(json.dumps({"x": [secret]}))


@attack
def counted(secret):
    publish(Counter(secret).most_common())


@attack
def through_a_learned_function(secret):
    publish(summary(secret))


@attack
def through_two_learned_functions(secret):
    publish(summary(choose("which?", ["public", secret])))


@attack
def through_a_flow(secret):
    publish(inner_shout(secret))


@attack
def inside_a_flow(secret):
    inner_publish(secret)


@attack
def submitted(secret):
    later = summary.submit(secret)
    publish(gather(later)[0])


@attack
def submitted_flow(secret):
    later = inner_shout.submit(secret)
    publish(later.result())


@attack
def mapped(secret):
    publish(summary.map([secret, "b"]))


# -- aliases ----------------------------------------------------------------------------------------------------------


@attack
def alias(secret):
    first = []
    second = first
    first.append(secret)
    publish(second)


@attack
def nested_alias(secret):
    inner = ["a"]
    outer = {"x": [inner]}
    inner[0] = secret
    publish(outer)


@attack
def attribute_alias(secret):
    note = Note("a")
    kept = [note]
    note.body = secret
    publish(kept[0].body)


@attack
def tuple_of_a_list(secret):
    items: list[Any] = []
    pair = (items, 1)
    items.extend([secret])
    publish(pair)


@attack
def changed_by_a_helper(secret):
    items: list[Any] = []
    put_into(items, secret)
    publish(items)


@attack
def changed_by_a_flow(secret):
    items: list[Any] = []
    inner_keep(items, secret)
    publish(items)


@attack
def added_in_place(secret):
    items = ["a"]
    other = items
    items += [secret]
    publish(other)


@attack
def default_dict_and_deque(secret):
    table = defaultdict(list)
    table["a"].append(secret)
    line = deque()
    line.append(table)
    publish(list(line))


@attack
def which_object(secret):
    a, b = ["a"], ["b"]
    chosen = a if secret.startswith("yes") else b
    chosen.append("x")
    publish(a)


@attack
def which_object_by_index(secret):
    lists = [[], []]
    lists[len(secret) % 2].append("x")
    publish(lists[0])


@attack
def mapping_update(secret):
    a = {"x": "y"}
    b = {}
    b.update({"z": secret})
    a |= b
    publish(a["z"])


@attack
def iterator_made_before(secret):
    items = ["a"]
    later = iter(items)
    items[0] = secret
    publish(next(later))


@attack
def moved_iterator(secret):
    later = iter(["a", "b", "c"])
    if secret.startswith("yes"):
        next(later)
    publish(next(later))


# -- control ----------------------------------------------------------------------------------------------------------


@attack
def branch(secret):
    found = "no"
    if secret.startswith("yes"):
        found = "yes"
    publish(found)


@attack
def branch_not_taken(secret):
    found = True
    if not secret.startswith("yes"):
        found = False
    again = True
    if found:
        again = False
    publish(again)


@attack
def sink_in_a_branch(secret):
    if secret.startswith("yes"):
        publish("it does")


@attack
def object_in_a_branch(secret):
    items: list[str] = []
    if secret.startswith("yes"):
        items.append("x")
    publish(items)


@attack
def object_in_a_branch_by_alias(secret):
    items: list[str] = []
    if secret.startswith("yes"):
        other = items
        other.append("x")
    publish(items)


@attack
def object_in_a_branch_by_helper(secret):
    items: list[str] = []
    if secret.startswith("yes"):
        put_into(items, "x")
    publish(items)


@attack
def record_in_a_branch(secret):
    note = Note("a")
    if secret.startswith("yes"):
        note.tags.append("x")
    else:
        note.title = "b"
    publish([note.tags, note.title])


@attack
def conditional_expression(secret):
    publish("a" if secret else "b")


@attack
def short_circuit(secret):
    items: list[str] = []
    _ = secret.startswith("yes") and items.append("x")
    publish(items)


@attack
def walrus_in_a_condition(secret):
    found = "no"
    _ = secret.startswith("yes") and (found := "yes")
    publish(found)


@attack
def counted_rounds(secret):
    count = 0
    for _ in secret:
        count += 1
    publish(count)


@attack
def while_loop(secret):
    count = 0
    while count < len(secret):
        count += 1
    publish(count)


@attack
def early_return(secret):
    if secret.startswith("yes"):
        return
    publish("no")


@attack
def early_return_in_a_loop(secret):
    for one in ["no", "yes"]:
        if secret.startswith(one):
            return
    publish("neither")


@attack
def early_break(secret):
    count = 0
    for one in ["a", "b", "c", "no", "yes"]:
        if secret.startswith(one):
            break
        count += 1
    publish(count)


@attack
def broken_off_appends(secret):
    items: list[str] = []
    for one in ["no", "yes", "z"]:
        if secret.startswith(one):
            break
        items.append(one)
    publish(items)


@attack
def loop_else(secret):
    found = False
    for one in ["no", "yes"]:
        if secret.startswith(one):
            break
    else:
        found = True
    publish(found)


@attack
def continued(secret):
    items: list[str] = []
    for one in "yes":
        if one in secret:
            continue
        items.append(one)
    publish(items)


@attack
def comprehension_condition(secret):
    publish([one for one in "abcdefyes" if one in secret])


@attack
def comprehension_over_it(secret):
    publish([1 for _ in secret])


@attack
def generator(secret):
    publish(sum(1 for one in "yes" if one in secret))


@attack
def lazy_generator(secret):
    text = "public"
    later = (text for _ in range(1))
    text = secret
    publish(next(later))


@attack
def matched(secret):
    match secret.split(","):
        case [_]:
            found = "one"
        case ["yes", *_]:
            found = "yes"
        case _:
            found = "more"
    publish(found)


@attack
def match_guard(secret):
    found = "a"
    match ["x"]:
        case [_] if secret.startswith("yes"):
            found = "b"
    publish(found)


@attack
def exception(secret):
    found = "fine"
    try:
        strict(secret)
    except ValueError:
        found = "failed"
    publish(found)


@attack
def exception_without_a_trace(secret):
    reached = "a"
    try:
        1 / len(secret)
        reached = "b"
    except ZeroDivisionError:
        pass
    publish(reached)


@attack
def sink_after_what_may_fail(secret):
    try:
        1 / len(secret)
        publish("long")
    except ZeroDivisionError:
        pass


@attack
def exception_message(secret):
    try:
        telling(secret)
    except ValueError as problem:
        publish(str(problem))


@attack
def exception_argument(secret):
    problem = ValueError(secret)
    try:
        raise problem
    except ValueError as caught:
        publish(caught.args[0])


@attack
def exception_out_of_a_flow(secret):
    found = "a"
    try:
        inner_strict(secret)
        found = "b"
    except ValueError:
        pass
    publish(found)


@attack
def finally_block(secret):
    found = "a"
    try:
        with contextlib.suppress(ValueError):
            strict(secret)
            found = "b"
    finally:
        publish(found)


@attack
def swallowed_by_a_manager(secret):
    found = "a"
    with quiet():
        strict(secret)
        found = "b"
    publish(found)


@attack
def given_by_a_manager(secret):
    with opened(secret) as text:
        publish(text)


@attack
def returned_from_try(secret):
    try:
        strict(secret)
        return
    except ValueError:
        pass
    publish("no")


@attack
def violation_caught(secret):
    with contextlib.suppress(FlowViolation):
        publish(secret)
    try:
        if secret.startswith("yes"):
            publish(secret)
        publish("not yes")
    except FlowViolation:
        publish("stopped")
    publish(secret)


@attack
def asserted(secret):
    try:
        assert secret.startswith("yes")
    except AssertionError:
        publish("no")
    publish("end" if len(secret) else "END")


@attack
def flow_that_leaves_early(secret):
    items: list[str] = []
    inner_maybe_keep(items, secret)
    publish(items)


@attack
def which_function(secret):
    found = (str.upper if secret.startswith("yes") else str.lower)("Text")
    publish(found)


@attack
def which_sink(secret):
    (publish if secret.startswith("yes") else file_away)("x")


@attack
def deleted(secret):
    items = ["a", "b"]
    if secret.startswith("yes"):
        del items[0]
    publish(items)


@attack
def removed_by_secret(secret):
    table = {"yes": 1, "no": 2, "": 3}
    table.pop(secret[:3], None)
    publish(len(table))


# -- functions --------------------------------------------------------------------------------------------------------


@attack
def closure(secret):
    def tell():
        return secret

    publish(tell())


@attack
def lambda_later(secret):
    text = "public"
    tell = lambda: text  # noqa: E731
    text = secret
    publish(tell())


@attack
def default_argument(secret):
    def tell(text=secret):
        return text

    publish(tell())


@attack
def default_of_a_lambda(secret):
    publish((lambda text=secret: text)())


@attack
def nonlocal_name(secret):
    count = 0

    def add():
        nonlocal count
        count += len(secret)

    add()
    publish(count)


@attack
def nonlocal_in_a_branch(secret):
    found = "no"

    def say():
        nonlocal found
        found = "yes"

    if secret.startswith("yes"):
        say()
    publish(found)


@attack
def captured_list(secret):
    items: list[Any] = []

    def add(one):
        items.append(one)

    for one in secret:
        add(one)
    publish(items)


@attack
def partial(secret):
    publish(functools.partial(str.replace, secret, "a", "b")())


@attack
def bound_method(secret):
    tell = secret.upper
    publish(tell())


@attack
def bound_method_of_a_record(secret):
    tell = Note("a", secret).shown
    publish(tell())


@attack
def mapped_lazily(secret):
    publish(list(map(lambda one: one + secret, ["a"])))  # noqa: C417


@attack
def own_generator(secret):
    publish(list(one_by_one([secret])))


@attack
def library_iterator(secret):
    publish(list(itertools.chain(["a"], [secret])))


@attack
def class_in_a_flow(secret):
    class Holder:
        text = secret

        def tell(self):
            return self.text

    publish(Holder().tell())


@attack
def object_of_a_class(secret):
    holder = Stash()
    holder.put(secret)
    publish(holder.take())


@attack
def called_in_plain_code(secret):
    leak_inside(secret)


@attack
def called_by_a_helper(secret):
    call_it(publish, secret)


@attack
def called_by_a_lambda(secret):
    list(map(lambda one: publish(one), [secret]))  # noqa: C417


@attack
def read_in_plain_code(secret):
    read_and_publish()


@attack
def flow_in_plain_code(secret):
    call_it(inner_publish, secret)


@attack
def flow_result_in_plain_code(secret):
    publish(call_it(inner_shout, secret))


# -- the world outside ------------------------------------------------------------------------------------------------


@attack
def stashed(secret):
    stash(secret)
    publish(unstash())


@attack
def stashed_in_a_branch(secret):
    if secret.startswith("yes"):
        stash("x")
    publish(unstash())


@attack
def stashed_and_read_directly(secret):
    stash(secret)
    publish(SHELF)


@attack
def put_directly_and_unstashed(secret):
    SHELF.append(secret)
    publish(unstash())


@attack
def global_name(secret):
    set_last(secret)
    publish(LAST)


@attack
def global_name_of_the_flow(secret):
    global LAST
    LAST = secret
    publish(get_last())


@attack
def function_attribute(secret):
    remember(secret)
    publish(remember.kept)  # type: ignore[attr-defined]


@attack
def class_attribute(secret):
    Stash.kept = secret
    publish(Stash().kept)


@attack
def written_and_read(secret):
    keep_outside(secret)
    publish(look_outside())


@attack
def written_in_a_branch(secret):
    if secret.startswith("yes"):
        keep_outside("x")
    publish(look_outside())


@attack
def labelled_in_the_flow(secret):
    text = labelled("public", "hr")
    publish(text)


@attack
async def asynchronous(secret):
    async def tell():
        await asyncio.sleep(0)
        return secret

    publish(await tell())


@attack
async def asynchronous_flow(secret):
    found = await summary.acall(secret)
    publish(found)


# -- what must be possible --------------------------------------------------------------------------------------------


@benign
def public_only(secret):
    publish("hello")


@benign
def secret_to_its_sink(secret):
    file_away(secret)
    file_away(summary(secret))


@benign
def published_before(secret):
    publish("before")
    file_away(secret.upper())


@benign
def published_after_a_branch(secret):
    if secret.startswith("yes"):
        file_away("x")
    publish("after")


@benign
def other_names(secret):
    found = "no"
    if secret.startswith("yes"):
        found = "yes"
    other = "public"
    file_away(found)
    publish(other)


@benign
def other_elements(secret):
    documents = [secret, read_wiki("rivers")]
    publish(documents[1])
    publish(len(documents))


@benign
def other_fields(secret):
    note = Note("title", secret)
    publish(note.title)


@benign
def other_keys(secret):
    table = {"secret": secret, "public": "p"}
    publish(table["public"])
    publish(sorted(table))


@benign
def loop_over_documents(secret):
    for document in [read_wiki("a"), read_wiki("b")]:
        publish(summary(document))
    file_away(secret)


@benign
def helper_on_both(secret):
    file_away(tidy(secret))
    publish(tidy("Public "))


@benign
def comprehension_on_both(secret):
    both = [tidy(one) for one in ["A", secret, "B"]]
    publish(both[0])
    publish(both[2])


@benign
def flow_on_both(secret):
    file_away(inner_shout(secret))
    publish(inner_shout("public"))


@benign
def learned_on_both(secret):
    inside, outside = summary(secret), summary("public")
    file_away(inside)
    publish(outside)


@benign
def unpacked(secret):
    first, second = secret, "public"
    file_away(first)
    publish(second)


@benign
def counted_public_rounds(secret):
    count = 0
    for one in [secret, "b"]:
        file_away(one)
        count += 1
    publish(count)


@benign
def overwritten(secret):
    text = secret
    file_away(text)
    text = "public"
    publish(text)


@benign
def caught_and_over(secret):
    try:
        strict(secret)
    except ValueError:
        file_away("failed")
    publish("end")


@benign
def closure_of_public(secret):
    text = "public"

    def tell():
        return text

    file_away(secret)
    publish(tell())


@benign
def read_after_a_declared_write(secret):
    file_away(secret)
    publish(read_wiki("rivers"))


@benign
def matched_to_its_sink(secret):
    match secret.split(","):
        case ["yes", number]:
            file_away(number)
        case _:
            file_away("no")
    publish("done")


@benign
def filtered_documents(secret):
    documents = [read_wiki("a"), read_wiki("b"), "c"]
    long = [one for one in documents if len(one) > 3]
    file_away([secret, *long])
    publish(long)


@benign
def gathered(secret):
    a, b = gather(summary.submit(secret), summary.submit("public"))
    file_away(a)
    publish(b)


__all__ = ["ATTACKS", "BENIGN", "SECRETS", "Labelled", "Tried", "escapes", "reset", "run_attack"]
