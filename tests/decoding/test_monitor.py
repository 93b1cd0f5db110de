"""Monitors: behind a dereference only known names are written, however tokens cut them; no analyser hangs a run."""

from __future__ import annotations

import re
import statistics
import string
import threading
import time
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking import LAST, drive

from thalweg.decoding import generate
from thalweg.decoding.constraints import AllOf, Grammar
from thalweg.decoding.constraints.monitor import PATIENCE, Monitor, MonitorState
from thalweg.errors import AnalyserError
from thalweg.models.request import Format, Sampling


class Dots:
    """The reading of a toy language: a dot behind a letter dereferences, "..." quotes."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.code = text.count('"') % 2 == 0

    @property
    def typed(self) -> str | None:
        found = re.search(r"\w\.(\w*)$", self.text) if self.code else None
        return found[1] if found else None

    def read(self, text: str) -> Dots:
        return Dots(self.text + text)


class Table:
    """An analyser that has the answers: name in front of the dot -> members."""

    name_characters = string.ascii_letters + string.digits + "_"

    def __init__(self, table: dict[str, Collection[str]]) -> None:
        self.table = table
        self.asked: list[tuple[str, str]] = []

    def begin(self, text: str) -> Dots:
        return Dots(text)

    def hides(self, piece: str, code: bool) -> bool:
        return bool(re.search(r"\.\w" if code else r'".*\.\w', piece))

    def suggest(self, text: str, typed: str) -> Collection[str]:
        self.asked.append((text, typed))
        found = re.search(r"(\w+)\.\w*$", text)
        return self.table.get(found[1], ()) if found else ()


class Crashing(Table):
    def suggest(self, text: str, typed: str) -> Collection[str]:
        raise RecursionError("too deep")


class Hanging(Table):
    """Hangs until `free` is set."""

    def __init__(self) -> None:
        super().__init__({})
        self.free = threading.Event()

    def suggest(self, text: str, typed: str) -> Collection[str]:
        self.free.wait(60)
        return ()


class Toy:
    """A vocabulary with names in pieces, breaks alone and joined to names, a dereference inside a token."""

    def __init__(self) -> None:
        single = [bytes([byte]) for byte in range(256)]
        joined = b"ta tally quux _ta quux_ (x ). _( x. x.t .ta ta( tally( ally, \xc3\xa9t".split() + [b" = ", b"\n  "]
        self.pieces = [b"", *single, *joined]
        self.size = len(self.pieces)
        self.end = 0

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The longest piece first."""
        data, out = text.encode(), []
        while data:
            piece = max((one for one in self.pieces if one and data.startswith(one)), key=len)
            out.append(self.pieces.index(piece))
            data = data[len(piece) :]
        return out


TOY = Toy()
MEMBERS = ("quux_tally", "quux_rate", "ta", "tally")


def write(state: MonitorState, *pieces: str) -> MonitorState:
    for piece in pieces:
        token = TOY.pieces.index(piece.encode())
        assert state.allowed()[token], piece
        state.advance(token)
    return state


def pieces(state: MonitorState) -> set[str]:
    return {TOY.pieces[token].decode("latin-1") for token in np.flatnonzero(state.allowed())}


def test_a_name_may_be_spelled_with_any_tokens_and_nothing_else_may() -> None:
    state = Monitor(Table({"x": MEMBERS}), TOY, before="x.").start()
    assert pieces(state) == {"q", "quux", "quux_", "t", "ta", "tally", "ta(", "tally("}
    write(state, "quux")
    assert pieces(state) == {"_", "_ta"}
    write(state, "_")
    assert pieces(state) == {"t", "ta", "tally", "tally(", "r"}
    write(state, "ta")
    assert pieces(state) == {"l"}
    write(state, "l", "l")
    assert pieces(state) == {"y"}


def test_a_name_that_is_whole_ends_at_a_break_and_a_longer_one_may_go_on() -> None:
    monitor = Monitor(Table({"x": MEMBERS}), TOY, before="x.")
    state = write(monitor.start(), "ta")
    now = pieces(state)
    assert {"", " ", "\n", "(", ".", ")", " = ", "(x", "l"} <= now  # "" is the end
    assert not {"a", "_", "9", "x", "_ta", ".ta", "\xe9"} & now, "what goes on with the name, or hides a dereference"
    write(state, "l", "l", "y")
    assert "l" not in pieces(state) and "(" in pieces(state)
    write(state, "(x")
    assert {"a", "quux", "tally", "ally,"} <= pieces(state), "free again"
    assert monitor.usage.masked_steps == 5 and monitor.usage.queries == 1


def test_a_break_token_may_lead_to_the_next_name() -> None:
    monitor = Monitor(Table({"x": ["ta"], "ta": ["quux"], "y": ["rate"]}), TOY, before="x.")
    state = write(monitor.start(), "ta", ".")
    assert pieces(state) == {"q", "quux"}
    write(state, "quux", " = ", "y", ".")
    assert pieces(state) == {"r"}
    assert monitor.usage.queries == 3


def test_what_is_typed_of_a_name_is_respected() -> None:
    table = Table({"x": MEMBERS})
    assert pieces(Monitor(table, TOY, before="x.quux_t").start()) == {"a", "ally,"}
    assert table.asked == [("x.quux_t", "quux_t")]


def test_without_suggestions_nothing_is_constrained() -> None:
    table = Table({"x": MEMBERS})
    for before in ("y.", "x.zebra", "x = 1", 'print("x.'):
        monitor = Monitor(table, TOY, before=before)
        allowed = monitor.start().allowed()
        assert allowed.sum() >= 256 and monitor.usage.masked_steps == 0
        assert allowed is monitor.start().allowed(), "the mask of free text is never built again"
    state = Monitor(table, TOY, before="y.").start()
    write(state, "z", "z")
    assert len(table.asked) == 5, "one place is asked about once"


def test_no_token_hides_a_dereference_in_code_and_strings_are_free() -> None:
    state = Monitor(Table({"x": MEMBERS}), TOY, before="a = ").start()
    assert not {"x.t", ".ta"} & pieces(state)
    write(state, '"', "x", ".")
    assert {"x.t", ".ta", "z", " "} <= pieces(state)


def test_names_beyond_ascii_are_spelled_byte_by_byte() -> None:
    state = Monitor(Table({"x": ["caf\xe9t\xe9"]}), TOY, before="x.").start()
    for piece in (b"c", b"a", b"f", b"\xc3\xa9t", b"\xc3", b"\xa9"):
        token = TOY.pieces.index(piece)
        assert state.allowed()[token]
        state.advance(token)
    assert state._written == "caf\xe9t\xe9"
    assert state.allowed()[TOY.end] and not state.allowed()[TOY.pieces.index(b"\xc3")]


def test_forks_go_their_own_ways() -> None:
    monitor = Monitor(Table({"x": MEMBERS}), TOY, before="x.")
    one = monitor.start()
    other = one.fork()
    write(one, "quux")
    assert "ta(" in pieces(other)
    write(other, "ta")
    third = other.fork()
    write(other, "(")
    assert pieces(one) == {"_", "_ta"} and "l" in pieces(third)
    assert monitor.usage.queries == 1


@given(st.sets(st.from_regex(r"[a-c_][a-c_0]{0,5}", fullmatch=True), min_size=1, max_size=8), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_whatever_is_drawn_every_name_behind_a_dereference_is_known(members: set[str], salt: int) -> None:
    table = Table(dict.fromkeys("abcxyz", members) | dict.fromkeys(members, members))
    monitor = Monitor(table, TOY, before="x.")
    made = drive(
        generate(LAST, monitor, Sampling(temperature=1.0, seed=salt), end=TOY.end, limit=60, reserve=20), TOY.size, salt
    )
    text = "x." + b"".join(TOY.pieces[token] for token in made.tokens).decode(errors="replace")
    first = re.match(r"x\.(\w*)", text)
    assert first and first[1] in members
    for place in re.finditer(r"(?:(?<=\.)|^)(\w+)\.(\w*)", text):
        code = text[: place.start()].count('"') % 2 == 0
        if code and table.table.get(place[1]):
            assert place[2] in members, text


def test_the_shortest_way_out_completes_the_name() -> None:
    state = Monitor(Table({"x": ["quux_tally_rates", "quux_tally"]}), TOY, before="x.quux").start()
    logits = np.zeros(TOY.size, np.float32)
    written = b""
    while (token := state.shortest(state.allowed(), logits)) != TOY.end:
        assert state.allowed()[token]
        state.advance(token)
        written += TOY.pieces[token]
    assert written == b"_tally"
    state.advance(TOY.end)
    assert state.done


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_crash_leaves_the_text_free_or_raises_as_chosen() -> None:
    monitor = Monitor(Crashing({}), TOY, before="x.")
    assert monitor.start().allowed().sum() >= 256
    assert monitor.usage.failures == 1 and "RecursionError: too deep" in monitor.usage.failure
    with pytest.raises(AnalyserError, match="RecursionError: too deep.*on_failure"):
        Monitor(Crashing({}), TOY, before="x.", on_failure="error").start().allowed()


def test_a_failure_warns_once_and_after_three_in_a_row_nothing_is_asked() -> None:
    monitor = Monitor(Crashing({}), TOY, before="x.")
    state = monitor.start()
    with pytest.warns(RuntimeWarning, match="not constrained there") as warned:
        for _ in range(PATIENCE + 2):
            write(state, "x", ".", "x")
    assert len(warned) == 1
    assert monitor.usage.queries == monitor.usage.failures == PATIENCE


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_hang_holds_decoding_up_for_no_longer_than_allowed() -> None:
    analyser = Hanging()
    monitor = Monitor(analyser, TOY, before="x.", timeout=0.05)
    started = time.perf_counter()
    state = write(monitor.start(), "z", " ", "x", ".", "z")
    assert time.perf_counter() - started < 2
    assert monitor.usage.failures == 2 and monitor.usage.failure == "did not answer within 0.05 s"
    assert not state.done
    analyser.free.set()


def test_with_a_grammar_both_hold() -> None:
    monitor = Monitor(Table({"x": MEMBERS}), TOY, before="x.")

    class Upto:
        """Only short texts: what `AllOf` needs of a constraint beside the monitor."""

        uniform = False

        def __init__(self, left: int = 4) -> None:
            self.left = left

        def start(self) -> Upto:
            return Upto(self.left)

        fork = start

        @property
        def done(self) -> bool:
            return False

        def forced(self) -> list[int]:
            return []

        def allowed(self) -> Any:
            return np.array([not piece or len(piece) <= self.left for piece in TOY.pieces])

        def advance(self, token: int) -> None:
            self.left -= len(TOY.pieces[token])

        def shortest(self, allowed: Any, logits: Any) -> int:
            return TOY.end

    state: Any = AllOf(monitor, Upto(), end=TOY.end).start()
    assert pieces(state) == {"q", "quux", "t", "ta", "ta("}


def test_on_the_model_a_monitor_and_a_regex_hold_together(model: Any) -> None:
    tokenizer = model.tokenizer
    monitor = Monitor(Table({"ledger": ["quux_tally", "quux_rate"]}), tokenizer, before="ledger.")
    line = Grammar(Format("regex", pattern=r"[a-z_]{1,30}\([a-z]{0,9}\)"), tokenizer)
    for seed in range(3):
        made = drive(
            generate(LAST, AllOf(monitor, line, end=tokenizer.end), Sampling(temperature=1.0, seed=seed),
                     end=tokenizer.end, limit=60, reserve=30),
            tokenizer.size, seed,
        )  # fmt: skip
        assert re.fullmatch(r"quux_(tally|rate)\([a-z]{0,9}\)", tokenizer.decode(made.tokens))


def test_a_step_costs_next_to_nothing_outside_names_and_under_a_millisecond_in_one(model: Any) -> None:
    tokenizer = model.tokenizer
    names = [f"{stem}_{noun}_{i}" for stem in ("quux", "frob", "zorp") for noun in ("tally", "rate") for i in range(15)]
    monitor = Monitor(Table({"ledger": names}), tokenizer, before="ledger.")
    state = monitor.start()
    state.allowed()
    inside, outside = [], []
    for _ in range(3):
        for token in tokenizer.encode("frob_tally_7"):
            monitor.names._masks.clear()
            inside.append(_seconds(state, token))
        for token in tokenizer.encode(" = a + b * 3\nfor i in range(3):\n    print(i)\nledger."):
            outside.append(_seconds(state, token))
    # Times of a busy machine: the bars of the bench are 60 us and 1 ms.
    assert statistics.median(outside) < 300e-6 and statistics.median(inside) < 3e-3


def _seconds(state: MonitorState, token: int) -> float:
    started = time.perf_counter()
    assert state.allowed()[token]
    state.advance(token)
    return time.perf_counter() - started
