"""Keys name requests, stored answers come back as they were."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import StoreError
from thalweg.models.request import Answer, Format, Message, Request, Sampling, Usage
from thalweg.models.request_codec import answer_from_json, answer_to_json, request_key

COLOURS = Format("choices", choices=("red", "blue"))
REQUEST = Request((Message("system", "Say a colour."), Message("user", "sky, bleu ciel é")), COLOURS)

_counts = st.integers(0, 2**40)
_floats = st.floats()
_tokens = st.lists(st.integers(0, 300_000), max_size=30).map(tuple)
_answers = st.builds(
    Answer,
    text=st.text(),
    logprob=_floats,
    tokens=_tokens,
    prompt_tokens=_tokens,
    probabilities=st.lists(_floats, max_size=5).map(tuple),
    finish=st.sampled_from(["complete", "closed"]),
    usage=st.builds(Usage, _counts, _counts, _counts, _counts, st.floats(0, 1e6)),
    model=st.text(max_size=20),
)


def _comparable(answer: Answer):
    """nan compares unequal to itself; its name does not."""
    return json.dumps(dataclasses.asdict(answer))


@given(_answers)
def test_an_answer_comes_back_as_it_was(answer):
    text = answer_to_json(answer)
    assert "\n" not in text and text.isascii()
    assert _comparable(answer_from_json(text)) == _comparable(answer)


def test_stored_text_is_strict_json():
    answer = Answer("x", logprob=math.nan, probabilities=(math.inf, -math.inf, math.nan))

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    data = json.loads(answer_to_json(answer), parse_constant=refuse)
    assert data["logprob"] is None and data["probabilities"][2] is None


def test_numpy_numbers_are_stored_as_numbers():
    answer = Answer("x", logprob=np.float32(-1.5), tokens=tuple(np.array([3, 4])), probabilities=(np.float64(0.5),))
    assert answer_from_json(answer_to_json(answer)) == Answer("x", logprob=-1.5, tokens=(3, 4), probabilities=(0.5,))


def test_unknown_keys_are_ignored_and_missing_ones_default():
    answer = answer_from_json('{"text": "a", "later": {"version": 2}, "usage": {"output_tokens": 2, "joules": 1}}')
    assert answer.text == "a" and math.isnan(answer.logprob) and answer.usage == Usage(output_tokens=2)


@pytest.mark.parametrize(
    "garbage",
    ["", "nonsense", "[]", "3", "null", "{}", '{"text": 3}', '{"text": "a", "tokens": ["b"]}']
    + ['{"text": "a", "tokens": 5}', '{"text": "a", "probabilities": "no"}']
    + ['{"text": "a", "tokens": [1.5]}', '{"text": "a", "usage": 3}', '{"text": "a", "usage": null}', '{"text": "a"']
    + ['{"text": "a", "logprob": "high"}', '{"text": "a", "finish": "no"}', '{"text": "a", "finish": []}']
    + ['{"text": "a", "usage": {"seconds": []}}', "[" * 100_000, b"\xff\xfe\x00"],
)
def test_garbage_is_a_store_error_with_a_remedy(garbage):
    with pytest.raises(StoreError) as caught:
        answer_from_json(garbage)
    assert "run the call again" in str(caught.value) and len(str(caught.value)) < 500


def test_a_key_is_the_same_in_another_process():
    code = (
        "from thalweg.models.request import *\nfrom thalweg.models.request_codec import request_key\n"
        "f = Format('choices', choices=('red', 'blue'))\n"
        "m = (Message('system', 'Say a colour.'), Message('user', 'sky, bleu ciel \\u00e9'))\n"
        "print(request_key(Request(m, f), 'model'))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == request_key(REQUEST, "model") == "5e0c5d481aa6ddb2c9b79fa08f208dbf"
    assert len(printed) == 32


def test_everything_that_decides_the_answer_changes_the_key():
    change = dataclasses.replace
    sampling = Sampling()
    variants = [
        REQUEST,
        change(REQUEST, messages=REQUEST.messages[:1]),
        change(REQUEST, messages=(Message("user", "Say a colour."), REQUEST.messages[1])),
        change(REQUEST, format=Format("choices", choices=("blue", "red"))),
        change(REQUEST, format=Format("text", max_chars=10)),
        change(REQUEST, want="distribution"),
        change(REQUEST, want="score", target="red"),
        change(REQUEST, want="score", target="blue"),
        *[
            change(REQUEST, sampling=change(sampling, **{field: value}))
            for field, value in {"temperature": 1.0, "top_p": 0.5, "top_k": 3, "seed": 7, "max_tokens": 9}.items()
        ],
    ]
    keys = [request_key(variant, "model") for variant in variants] + [request_key(REQUEST, "other")]
    assert len(set(keys)) == len(keys)


def test_messages_do_not_run_into_each_other():
    one = Request((Message("user", "a"), Message("user", "b")), COLOURS)
    other = Request((Message("user", "a\x1fuser\x1f1\x1fb"),), COLOURS)
    assert request_key(one, "m") != request_key(other, "m")


def test_the_rendering_does_not_count():
    rendered = dataclasses.replace(REQUEST, prefix="ab", suffix="cdef")
    assert request_key(rendered, "m") == request_key(REQUEST, "m")


def test_equal_numbers_of_other_types_give_equal_keys():
    plain = request_key(dataclasses.replace(REQUEST, sampling=Sampling(temperature=0.0, seed=3)), "m")
    for temperature in (0, -0.0, np.float32(0)):
        sampling = Sampling(temperature=temperature, seed=np.int64(3))
        assert request_key(dataclasses.replace(REQUEST, sampling=sampling), "m") == plain


def test_a_prompt_with_half_a_surrogate_pair_has_a_key():
    assert len(request_key(Request((Message("user", "\ud800"),), COLOURS), "m")) == 32
