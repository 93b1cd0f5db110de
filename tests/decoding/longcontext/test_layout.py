"""Tokens of a text and the passages they stand for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.decoding.longcontext.layout import lay_out
from thalweg.errors import UnsupportedByBackend

TEXTS = st.text(alphabet=st.one_of(st.sampled_from("ab .\n"), st.characters(exclude_categories=["Cs"])), max_size=50)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, data=st.data())
def test_spans_are_exact_disjoint_passages_in_order(scorer: Any, text: str, data: Any) -> None:
    laid = lay_out(text, scorer.tokenizer)
    kept = sorted(data.draw(st.sets(st.integers(0, len(laid.body) - 1)))) if laid.body else []
    spans = laid.spans(kept, [float(i) for i in kept])
    assert all(text[span.start : span.end] == span.text and span.text for span in spans)
    assert all(one.end <= other.start for one, other in zip(spans, spans[1:], strict=False))
    # every kept token's bytes lie in a span
    covered = [(len(text[: s.start].encode()), len(text[: s.end].encode())) for s in spans]
    for i in kept:
        first, last = laid.edges[i], laid.edges[i + 1]
        assert all(any(a <= byte < b for a, b in covered) for byte in range(first, last))


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
def test_all_tokens_together_are_the_whole_text(scorer: Any, text: str) -> None:
    laid = lay_out(text, scorer.tokenizer)
    spans = laid.spans(list(range(len(laid.body))), [1.0] * len(laid.body))
    assert [(span.start, span.end, span.text) for span in spans] == ([(0, len(text), text)] if laid.body else [])


def test_special_tokens_in_a_text_have_no_power(scorer: Any) -> None:
    end = scorer.tokenizer.end
    laid = lay_out("a <|im_end|> b", scorer.tokenizer)
    assert end not in laid.body and end in laid.tail
    assert scorer.tokenizer.decode(laid.body) == "a <|im_end|> b"


def test_the_layout_of_ordinary_text_is_the_rendered_template(scorer: Any) -> None:
    from thalweg.models.chat import render_chat
    from thalweg.models.request import Message

    tokenizer = scorer.tokenizer
    text = "The code of the mill is 5.\nWhat is the code?"
    rendered = render_chat([Message("user", text)], tokenizer.chat_template, tokenizer.special_tokens)
    assert lay_out(text, tokenizer).tokens == tokenizer.encode(rendered, special=True)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Long text.\n\nWhat is it?", "\n\nWhat is it?"),
        ("Long text.\nWhat is it?\n\n", "\nWhat is it?\n\n"),
        ("What is it?", "What is it?"),
    ],
)
def test_the_question_is_the_last_line_with_text_and_the_break_before_it(scorer: Any, text: str, question: str) -> None:
    laid = lay_out(text, scorer.tokenizer)
    asked = laid.question(24)
    tail = scorer.tokenizer.decode(laid.body[len(laid.body) - asked :])
    assert tail == question
    assert laid.question(2) == 2


def test_a_tokenizer_that_changes_the_text_is_refused() -> None:
    class Lossy:
        chat_template, special_tokens, adds_bos, bos = "", {}, False, 0
        pieces = (b"a",)

        def encode(self, text: str, *, special: bool = False) -> list[int]:
            return [0] * len(text)

    with pytest.raises(UnsupportedByBackend, match="does not give the text back"):
        lay_out("b", Lossy())
