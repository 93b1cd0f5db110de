"""The reading of JavaScript and TypeScript text, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.code.script_reading import ScriptReading

CASES = {  # text: (in code, typed behind a dereference, what closes it)
    "x.": (True, "", ""),
    "x?.ab": (True, "ab", ""),
    "x!.": (True, "", ""),
    "$x.$y": (True, "$y", ""),
    "f(x[1].": (True, "", ")"),
    "() => { x\n  .": (True, "", "}"),
    "`a ${b.": (True, "", "}`"),
    "`a ${{b: `${c.": (True, "", "}`}}`"),
    "'a'.": (True, "", ""),
    "`a`.": (True, "", ""),
    "/* a. */ b.": (True, "", ""),
    "// a.\nb.": (True, "", ""),
    "a / b.": (True, "", ""),
    "1.": (True, None, ""),
    "return.": (True, None, ""),
    "[...": (True, None, "]"),
    "'a.": (False, None, ""),
    "`a $b.": (False, None, ""),
    "`${a}.": (False, None, ""),
    "'\\'.": (False, None, ""),
    "// a.": (False, None, ""),
    "/* a.\n b.": (False, None, ""),
    "/*/ a.": (False, None, ""),
}


@pytest.mark.parametrize("text", CASES)
def test_strings_templates_comments_and_numbers_are_no_places_to_ask_at(text: str) -> None:
    reading = ScriptReading().read(text)
    assert (reading.code, reading.typed, reading.closers) == CASES[text]


@given(st.lists(st.sampled_from([*"ab1.'\"`/*\n\\{}()${ ", "x.", "//", "/*", "*/", "${"]), max_size=30), st.data())
def test_a_reading_does_not_depend_on_how_the_text_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    whole = ScriptReading().read(text)
    cut = data.draw(st.integers(0, len(text)))
    again = ScriptReading().read(text[:cut]).read(text[cut:])
    assert (again.code, again.typed, again.closers) == (whole.code, whole.typed, whole.closers)
