"""Decoders through the engine: the same answers, counters that say what guessing did, and refusals that say why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from thalweg.decoding.drafters import DraftModel, Lookahead
from thalweg.errors import UnsupportedByBackend
from thalweg.models import prepare
from thalweg.models.llama_cpp import LlamaCpp
from thalweg.models.llama_tree import LlamaTree
from thalweg.models.request import Format, Message, Request, Sampling
from thalweg.scheduling import Engine

TEXT = "The Rhine passes Basel, Strasbourg, Cologne and Rotterdam and reaches the North Sea."
PROMPT = f"<|im_start|>user\nRepeat this text word by word: {TEXT}<|im_end|>\n<|im_start|>assistant\n"
REQUEST = Request(
    (Message("user", TEXT),), Format("text", max_chars=200), Sampling(max_tokens=32), suffix=PROMPT, reserve=4
)


@pytest.fixture(scope="module")
def path() -> str:
    return str(prepare.prepared("smollm2-135m:q8_0").path)


@pytest.fixture(scope="module")
def engine(path: str) -> Iterator[Engine]:
    engine = Engine(LlamaTree(path, name="tree:smollm2-135m", streams=2, context=384, threads=1), workers=2)
    yield engine
    engine.close()


def test_every_named_decoder_gives_the_plain_answer_and_says_what_it_did(engine: Engine) -> None:
    plain = engine.submit(REQUEST).result()
    assert plain.usage.passes == 0
    for name in ("auto", "prompt_lookup", "token_recycling", "lookahead", "rasd", "prompt_tokens"):
        answer = engine.submit(replace(REQUEST, decoder=name)).result()
        assert (answer.text, answer.logprob, answer.tokens) == (plain.text, plain.logprob, plain.tokens), name
        assert 0 < answer.usage.passes <= len(plain.tokens) + 1
        assert answer.usage.accepted_tokens <= answer.usage.drafted_tokens


def test_a_drafter_of_ones_own_learns_across_requests_and_workers(engine: Engine) -> None:
    mine = Lookahead()
    mine.name = "mine"
    engine.use_drafter(mine, size=15)
    warm = replace(REQUEST, sampling=replace(REQUEST.sampling, temperature=0.7), decoder="mine")
    requests = [replace(warm, sampling=replace(warm.sampling, seed=i % 3)) for i in range(9)]
    answers = [future.result() for future in [engine.submit(request) for request in requests]]
    for i, answer in enumerate(answers):
        assert answer.text == answers[i % 3].text
    again = engine.submit(requests[0]).result()  # what was written before is guessed whole
    assert again.usage.passes < len(again.tokens) / 2


def test_a_draft_model_guesses_with_the_requests_own_numbers(engine: Engine, path: str) -> None:
    small = DraftModel(LlamaCpp(path, streams=2, context=384, threads=1), length=4)
    engine.use_drafter(small, size=4)
    for temperature in (0.0, 0.9):
        sampling = replace(REQUEST.sampling, temperature=temperature, seed=3)
        plain = engine.submit(replace(REQUEST, sampling=sampling)).result()
        answer = engine.submit(replace(REQUEST, sampling=sampling, decoder=small.name)).result()
        assert answer.tokens == plain.tokens
        assert answer.usage.accepted_tokens > 0.5 * answer.usage.drafted_tokens  # the same model, nearly
    loose = replace(REQUEST, sampling=sampling, decoder=small.name, lossless="distribution")
    assert engine.submit(loose).result().usage.accepted_tokens > 0


def test_refusals_name_the_way_out(engine: Engine, path: str) -> None:
    with pytest.raises(UnsupportedByBackend, match="Did you mean 'lookahead'"):
        engine.submit(replace(REQUEST, decoder="lookahed")).result()
    lanes = Engine(LlamaCpp(path, streams=2, context=384, threads=1), workers=1)
    try:
        with pytest.raises(UnsupportedByBackend, match="tree:"):
            lanes.submit(replace(REQUEST, decoder="lookahead")).result()
        assert lanes.submit(replace(REQUEST, decoder="auto")).result().usage.passes == 0  # plain, silently
        close = lanes.submit(replace(REQUEST, decoder="lookahead", lossless="argmax")).result()
        assert close.usage.passes > 0
    finally:
        lanes.close()


def test_guesses_leave_an_answer_all_the_room_it_has(engine: Engine) -> None:
    long = PROMPT.replace(TEXT, TEXT * 20)
    kept = len(engine.tokenizer.encode(long, special=True)) - 350
    words = engine.tokenizer.decode(engine.tokenizer.encode(TEXT * 20)[kept:])
    request = replace(REQUEST, suffix=PROMPT.replace(TEXT, words), sampling=Sampling(max_tokens=64))
    plain = engine.submit(request).result()  # some thirty tokens fit: it is closed early, it does not fail
    assert len(plain.prompt_tokens) + len(plain.tokens) > 384 - 64
    assert engine.submit(replace(request, decoder="lookahead")).result().tokens == plain.tokens
