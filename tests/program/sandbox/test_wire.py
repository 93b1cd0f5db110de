"""Laws of what crosses between tests and program: values come back equal, nonsense is refused and never executed."""

from __future__ import annotations

import collections
import contextlib
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.program.sandbox.child.remote import Remote, raised, reraise, serve_passed
from thalweg.program.sandbox.child.wire import Gone, Wire, assign

hashable = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False)
hashable |= st.dates() | st.uuids() | st.fractions() | st.complex_numbers(allow_nan=False) | st.tuples(st.integers())
values = st.recursive(
    hashable | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.lists(inner, max_size=3).map(collections.deque)
    ),
    max_leaves=8,
)
messages = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["tuple", "set", "dict", "bytes", "range", "Decimal", "datetime", "yours", "mine", "exception"]
            )
            | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


def wire(read: int = -1, write: int = -1) -> Wire:
    made = Wire("tests", read, write, remote=Remote, serve=serve_passed, raised=raised, reraise=reraise)
    made.marker = Remote
    return made


@settings(deadline=None)
@given(values)
def test_a_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    back = wire().decode(wire().encode(value))
    assert back == value
    assert type(back) is type(value)


@settings(deadline=None)
@given(messages)
def test_decoding_gives_a_value_or_refuses(message: Any) -> None:
    with contextlib.suppress(Gone):
        wire().decode(message)


@given(st.lists(st.integers() | st.lists(st.integers())), st.lists(st.integers() | st.lists(st.integers())))
def test_assigning_makes_equal_and_keeps_identity(old: list, new: list) -> None:
    kept = old
    assign(old, new)
    assert kept == new


@pytest.mark.parametrize(
    "data", [b"", b"0000000", b"zzzzzzzz", b"ffffffff", b"00000002[]", b"0000000a[[[[[[[[[[", b"-0000001x"]
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    with pytest.raises(Gone):
        wire(read).receive()
    os.close(read)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list = []
    value.append(value)
    with pytest.raises(TypeError, match="contains itself"):
        wire().encode(value)
