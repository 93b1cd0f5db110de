"""The reading of Python text: told apart by the tokenizer's rules, however the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.code.python_reading import PythonReading, hides

CASES = {  # text: (in code, typed behind a dereference, what closes it)
    "x.": (True, "", ""),
    "x.ab": (True, "ab", ""),
    "x1.": (True, "", ""),
    "x.y.z": (True, "z", ""),
    "f(x[1].": (True, "", ")"),
    "{'a': b[c.": (True, "", "]}"),
    "x = f()\n    .": (True, "", ""),
    "'a'.": (True, "", ""),
    '"".': (True, "", ""),
    '"""a""".jo': (True, "jo", ""),
    "rb'\\\\'.": (True, "", ""),
    "f'{a.": (True, "", "}'"),
    'f"""{g(a.': (True, "", ')}"""'),
    "f'{{{a.": (True, "", "}'"),
    "# a.\nb.": (True, "", ""),
    "None.": (True, "", ""),
    "1.": (True, None, ""),
    "0x1f.": (True, None, ""),
    "1_000.": (True, None, ""),
    "1.5.": (True, None, ""),
    "return.": (True, None, ""),
    "from .": (True, None, ""),
    "from . import x": (True, None, ""),
    "...": (True, None, ""),
    "x. ": (True, None, ""),
    "x.1": (True, None, ""),
    "'a.": (False, None, ""),
    "'a\\'.": (False, None, ""),
    '"""a. "b".': (False, None, ""),
    "f'{{a.": (False, None, ""),
    "f'{a}.": (False, None, ""),
    "# a.": (False, None, ""),
}


@pytest.mark.parametrize("text", CASES)
def test_strings_comments_and_numbers_are_no_places_to_ask_at(text: str) -> None:
    reading = PythonReading().read(text)
    assert (reading.code, reading.typed, reading.closers) == CASES[text]


@given(st.lists(st.sampled_from([*"ab1.'\"#\n\\{}()[]f ", '"""', "f'", "x."]), max_size=30).map("".join), st.data())
def test_a_reading_does_not_depend_on_how_the_text_is_cut(text: str, data: st.DataObject) -> None:
    whole = PythonReading().read(text)
    cut = data.draw(st.integers(0, len(text)))
    parts = PythonReading().read(text[:cut])
    again = parts.read(text[cut:])
    assert (again.code, again.typed, again.closers) == (whole.code, whole.typed, whole.closers)
    assert parts.read(text[cut:]).closers == again.closers, "reading on changes nothing"


@given(st.lists(st.sampled_from(["'", '"', '"""', "'''", "a", "\\", "\n", "#", " "]), max_size=12).map("".join))
def test_strings_end_where_python_says(text: str) -> None:
    """Where the text compiles as it is, it ends in code or a comment; the tokenizer is the judge."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "text", "exec")
    except (SyntaxError, ValueError):
        return
    assert PythonReading().read(text + "\n").code


def test_tokens_that_hide_a_dereference_are_known() -> None:
    assert [hides(piece, True) for piece in (".x", "a.b", "). y", ".\n", ".", "a.", ".5", "..", "ab")] == [
        True, True, True, True, False, False, False, False, False,
    ]  # fmt: skip
    assert [hides(piece, False) for piece in (".x", ". The", "'.x", '".join', "}.x", "\nx.y", "'.")] == [
        False, False, True, True, True, True, False,
    ]  # fmt: skip
