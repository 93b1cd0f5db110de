"""Reports of a study: what they must say is there, nothing breaks out of the page, pictures have their size."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.optimizing import Search, Study, exact_match, optimize
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.report_page import Markup, table, tag, write_page

NASTY = '</td></pre><script>alert(1)</script> & "quotes" \'n \x07'
ROWS = [{"text": f"{i} <b>&", "label": "odd" if i % 2 else "even"} for i in range(30)]
VOID = {"meta", "img", "source", "br"}


@tw.learned
def parity(text: str) -> Literal["odd", "even"]:
    """Say whether the number is odd or even."""


@tw.flow
def through(text: str) -> str:
    how = tw.choice("plain", "shout", name="how")
    return parity(text if how == "plain" else text.upper())


def script(request: Request) -> str:
    """Right for numbers below 20, and for all where the instruction says exact."""
    number = int(re.findall(r"(\d+) <", request.messages[-1].content)[-1])
    wrong = number >= 20 and "exact" not in request.messages[0].content
    return ("odd", "even")[(number % 2 == 0) != wrong]


@dataclass(frozen=True)
class Given(Composable):
    """Tries what it is given."""

    work: Callable[[Search], None]
    name: str = "Given <i>"

    def run(self, search: Search) -> None:
        self.work(search)


def better(search: Search) -> None:
    first = search.best.genome
    search.try_(first.replace({"parity/instruction": "Be careful."}), note=NASTY)
    shown = [{"inputs": {"text": one.text}, "output": one.label} for one in search.train[:2]]
    new = {"parity/instruction": "Be exact.\nSay <odd> or even.", "parity/demonstrations": shown}
    search.try_(first.replace(new), parent=search.trials[0], note="exact & <script>")


def study_of(folder: Path, work: Callable[[Search], None] = better, program: Any = parity, **said: Any) -> Study:
    splits: dict[str, Any] = {"train": ROWS[:8], "dev": ROWS[8:24], "test": [*ROWS[24:], ROWS[0]]} | said
    with tw.using(model=ScriptedModel(script, identity="by exact"), store=folder):
        return optimize(program, strategy=Given(work), progress=False, metric=exact_match, **splits)


class Page(HTMLParser):
    """Reads a page strictly: what is open, what is text, what is a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def ground_of(source: str) -> Any:
    """The colour of the corner of an inline picture."""
    image = pytest.importorskip("PIL.Image")
    read = image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    return read.convert("RGB").getpixel((3, 3))


# -- text -------------------------------------------------------------------------------------------------------------


def test_the_text_puts_held_out_first_and_calls_dev_flattering(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    lines = study.report().splitlines()
    assert lines[1].split()[:2] == ["held", "out"]
    assert study.held_out is not None and str(study.held_out) in lines[1]
    assert "flatters" in lines[2] and f"{study.baseline.score:.3f} -> 1.000" in lines[2]
    text = study.report()
    assert "parity/demonstrations: 0 demonstrations -> 2 demonstrations" in text
    assert "best is number 2 (exact & <script>)" in text
    assert "stopped by   finished" in text


def test_without_a_test_split_the_text_says_that_nothing_is_known(tmp_path: Path) -> None:
    assert "no test split was given, so nothing tells" in study_of(tmp_path, test=None).report()


# -- page -------------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_self_contained_and_shows_the_best_program(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    page = Page(study.html(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert all(one.startswith("data:image/png;base64,") for one in page.sources) and len(page.sources) == 2
    dark, light = (ground_of(one) for one in page.sources)
    assert max(dark) < 60 and min(light) > 240
    for words in ("Be exact. Say <odd> or even.", "parity by Given <i>", "exact & <script>", "text: 0 <b>&",
                  "- Say whether the number is odd or even.", "alert(1)", "None.",
                  "text: ‹text›", f"{study.spent.evaluations}"):  # fmt: skip
        assert words in page.text, words


def test_rows_that_are_still_wrong_are_shown_with_feedback(tmp_path: Path) -> None:
    study = study_of(tmp_path, lambda search: None)
    page = Page(study.html(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Nothing was better than the program as it was" in page.text
    assert "text: 20 <b>&" in page.text and "text: 19 <b>&" not in page.text
    assert "the answer was 'odd', right is 'even'" in page.text


def test_a_study_read_from_a_file_has_a_page_too(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    loaded = Study.load(parity, study.save(tmp_path / "s.json"))
    page = Page(loaded.html(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "read from a file" in page.text and "Be exact." in page.text


def test_a_flow_is_shown_function_by_function_with_its_choices(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        new = {"through/how": "shout", "through.parity/instruction": "Be exact."}
        search.try_(search.best.genome.replace(new), note="both")

    study = study_of(tmp_path, work, through)
    page = Page(study.html(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "through/how plain shout" in page.text.replace("  ", " ") or "through/howplainshout" in page.text
    assert "through.parity, as the model sees it" in page.text


def test_many_trials_are_folded_below_the_best_ten(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        for number in range(30):
            search.try_(search.trials[0].genome.replace({"parity/instruction": f"Try {number}."}), note=f"n{number}")

    page = Page(study_of(tmp_path, work, dev=ROWS[18:22]).html(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "All 31 trials" in page.text and page.tags.count("details") == 1


@given(st.text(), st.text())
def test_nothing_that_is_put_into_a_page_breaks_out_of_it(text: str, attribute: str) -> None:
    shown = Page(tag("p", text, class_=attribute) + table([text], [[text]], best=0))
    assert shown.tags == ["p", "div", "table", "thead", "tr", "th", "tbody", "tr", "td"]
    readable = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
    assert "".join(shown.words) == readable * 3


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="cannot be written"):
        write_page(tmp_path / "no" / "page.html", "t", [Markup("<p>x</p>")])


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", [ROWS[24:], None])
def test_the_plot_is_a_picture_of_its_size_with_both_parts(tmp_path: Path, test: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    study = study_of(tmp_path, test=test)
    read = image.open(study.plot(tmp_path / "p.png"))
    assert read.size == (1800, 840)
    colours = {colour for _, colour in read.convert("RGB").getcolors(1 << 24)}
    assert (0x00, 0x72, 0xB2) in colours  # the line of dev
    assert ((0x00, 0x9E, 0x73) in colours) is (test is not None)  # the bar of the best
    with pytest.raises(SearchError, match="no PNG file's name|is not a PNG"):
        study.plot(tmp_path / "p.jpg")
