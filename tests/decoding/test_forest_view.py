"""The picture shows every pass, every guess, and no more accepted ones than there were."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from thalweg.decoding.forest_view import Pass, Watched, to_html, to_svg
from thalweg.decoding.speculate import Speculation

PASSES = (
    Pass(("a", "<b>", "c"), (-1, 0, 0), (0.9, 0.5, 0.2), frozenset({0, 2}), ("a", "c", "d")),
    Pass((), (), (), frozenset(), ("e",)),
    Pass((), (), (), frozenset(), ("f",)),
    Pass(("g",), (-1,), (0.1,), frozenset(), ("h",)),
)
WATCHED = Watched("acdefh & more", "prompt", "mine", PASSES, Speculation(4, 6, 4, 2, [4, 1, 1, 2]))
NAME = "{http://www.w3.org/2000/svg}"


def test_the_svg_is_well_formed_and_holds_every_guess_once() -> None:
    root = ET.fromstring(to_svg(WATCHED))
    groups = list(root.iter(f"{NAME}g"))
    colours = [next(group.iter(f"{NAME}rect")).attrib["fill"] for group in groups]
    assert colours.count("#0f766e") == 2  # accepted
    assert colours.count("#e5e7eb") == 2  # rejected
    texts = [text.text for text in root.iter(f"{NAME}text")]
    assert "<b>" in texts and any("6 tokens in 4 passes, 1.50 a pass" in (text or "") for text in texts)


def test_passes_without_guesses_share_a_line() -> None:
    assert "2\u20133" in to_svg(WATCHED)


def test_what_is_left_out_is_said() -> None:
    assert "3 more passes" in to_svg(WATCHED, limit=1)


def test_the_page_escapes_the_answer() -> None:
    assert "acdefh &amp; more" in to_html(WATCHED)
