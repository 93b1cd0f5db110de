"""The official client, unmodified, against a real server on the real small model."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import openai
import pytest
from pydantic import BaseModel, Field
from serving import serving

from thalweg.server import Settings, create_app

SAY = [{"role": "user", "content": "Name three colours."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"$ref": "#/$defs/Unit"}},
            "required": ["city", "unit"],
            "$defs": {"Unit": {"enum": ["C", "F"]}},
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}


class Pet(BaseModel):
    name: str = Field(max_length=40)
    kind: Literal["cat", "dog", "bird"]
    age: int


@pytest.fixture(scope="module")
def url(model: Any) -> Iterator[str]:
    with serving(create_app({}, model, Settings(ui=False, cache=False, journal=False))) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def chat(client: Any, messages: Any = SAY, **settings: Any) -> Any:
    settings = {"model": "thalweg", "temperature": 0, "max_tokens": 20} | settings
    return client.chat.completions.create(messages=messages, **settings)


def test_a_chat_answer_has_text_reason_and_usage(client: Any, model: Any) -> None:
    first, again = chat(client), chat(client, max_tokens=None, max_completion_tokens=20, model=model.name)
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].message.role == "assistant"
    assert first.choices[0].finish_reason == "length"
    assert first.model == model.name and first.system_fingerprint == again.system_fingerprint
    usage = again.usage
    assert usage.completion_tokens == 20
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1
    short = chat(client, [{"role": "user", "content": "Say only: yes"}], max_tokens=200)
    assert short.choices[0].finish_reason == "stop"


def test_a_stream_joins_to_the_whole_answer(client: Any) -> None:
    whole = chat(client, n=2, temperature=1, seed=7, logprobs=True, top_logprobs=1)
    stream = chat(
        client, n=2, temperature=1, seed=7, logprobs=True, top_logprobs=1,
        stream=True, stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    for choice in whole.choices:
        own = [piece for chunk in chunks for piece in chunk.choices if piece.index == choice.index]
        assert own[0].delta.role == "assistant"
        assert "".join(piece.delta.content or "" for piece in own) == choice.message.content
        assert [piece.finish_reason for piece in own if piece.finish_reason] == [choice.finish_reason]
        assert own[-1].logprobs.content == choice.logprobs.content
        assert len(own) > 8  # it came as it was written
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_client_s_own_streaming_helper_reads_the_stream(client: Any) -> None:
    with client.chat.completions.stream(
        model="thalweg", messages=SAY, temperature=0, max_tokens=300, response_format=Pet
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert isinstance(final.choices[0].message.parsed, Pet)


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_a_parsed_answer_is_a_value_of_its_type(client: Any, temperature: float) -> None:
    answer = client.chat.completions.parse(
        model="thalweg", messages=[{"role": "user", "content": "Invent a pet."}], response_format=Pet,
        temperature=temperature, n=3, seed=1, max_tokens=400,
    )  # fmt: skip
    assert all(isinstance(choice.message.parsed, Pet) for choice in answer.choices)


def test_an_answer_cut_by_the_limit_is_valid_and_says_so(client: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "pet", "schema": Pet.model_json_schema(), "strict": True}}
    cut = chat(client, response_format=form, max_tokens=2)
    Pet.model_validate_json(cut.choices[0].message.content)
    assert cut.choices[0].finish_reason == "length"
    loose = chat(client, response_format={"type": "json_object"}, max_tokens=5)
    assert isinstance(json.loads(loose.choices[0].message.content), dict)


def test_extensions_constrain_by_grammar_and_pattern(client: Any) -> None:
    colour = chat(client, extra_body={"regex": "(red|green|blue)(, (red|green|blue)){2}"})
    assert len(colour.choices[0].message.content.split(", ")) == 3
    told = chat(client, extra_body={"grammar": 'start: "<" WORD ">"\nWORD: /[a-z]{2,6}/'})
    assert told.choices[0].message.content[0] + told.choices[0].message.content[-1] == "<>"


def test_log_probabilities_are_those_of_the_constrained_distribution(client: Any) -> None:
    answer = chat(client, extra_body={"regex": "yes|no"}, logprobs=True, top_logprobs=5, temperature=1, seed=3)
    (content,) = [choice.logprobs.content for choice in answer.choices]
    assert "".join(one.token for one in content) == answer.choices[0].message.content
    first = content[0]
    assert math.fsum(math.exp(top.logprob) for top in first.top_logprobs) == pytest.approx(1, abs=1e-5)
    assert first.logprob in [top.logprob for top in first.top_logprobs]
    assert bytes(first.bytes).decode() == first.token
    free = chat(client, logprobs=True, top_logprobs=2)
    for one in free.choices[0].logprobs.content:
        assert one.logprob == one.top_logprobs[0].logprob >= one.top_logprobs[1].logprob
    assert chat(client, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []


def test_seeds_decide_draws(client: Any) -> None:
    texts = lambda answer: [choice.message.content for choice in answer.choices]  # noqa: E731
    three = texts(chat(client, n=3, seed=5, temperature=1.2))
    assert three == texts(chat(client, n=3, seed=5, temperature=1.2))
    assert len(set(three)) > 1
    assert texts(chat(client, seed=6, temperature=1.2)) == [three[1]]
    unseeded = {texts(chat(client, temperature=1.5))[0] for _ in range(4)}
    assert len(unseeded) > 1


def test_stop_texts_end_the_answer_whole_and_streamed(client: Any) -> None:
    whole = chat(client, max_tokens=60).choices[0].message.content
    stop = whole[17:23]
    stopped = chat(client, max_tokens=60, stop=["never said", stop])
    assert stopped.choices[0].message.content == whole[: whole.find(stop)]
    assert stopped.choices[0].finish_reason == "stop"
    stream = chat(client, max_tokens=60, stop=stop, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == stopped.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_call_is_valid_under_its_tool_s_schema(client: Any, choice: Any, stream: bool) -> None:
    asked = {"messages": [{"role": "user", "content": "What is the weather in Paris?"}], "tools": [ADD, WEATHER]}
    asked |= {"tool_choice": choice, "max_tokens": 100, "temperature": 1, "seed": 11}
    if stream:
        with client.chat.completions.stream(model="thalweg", **asked) as events:
            for _ in events:
                pass
            answer = events.get_final_completion()
    else:
        answer = chat(client, **asked)
    (call,) = answer.choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)
    if call.function.name == "get_weather":
        assert arguments.keys() == {"city", "unit"} and arguments["unit"] in ("C", "F")
    else:
        assert choice == "required" and isinstance(arguments["a"], int)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert not answer.choices[0].message.content and call.id.startswith("call_")


def test_with_auto_the_answer_is_a_call_or_free_text(client: Any) -> None:
    question = {"role": "user", "content": "What is the weather in Paris?"}
    seen = set()
    for seed in range(2):
        answer = chat(client, [question], tools=[WEATHER], temperature=1, seed=seed, max_tokens=30)
        message = answer.choices[0].message
        seen.add("call" if message.tool_calls else "text")
        assert bool(message.tool_calls) != bool(message.content)
        streamed = list(chat(client, [question], tools=[WEATHER], temperature=1, seed=seed, max_tokens=30, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
        assert text == (message.content or "")
    shown = [question, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function",
         "function": {"name": "get_weather", "arguments": '{"city": "Paris", "unit": "C"}'}}
    ]}, {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees, rain"}]  # fmt: skip
    pattern = [*shown, {"role": "user", "content": "What is the weather in Rome?"}]
    call = chat(client, pattern, tools=[WEATHER], max_tokens=60).choices[0].message
    assert call.tool_calls and json.loads(call.tool_calls[0].function.arguments)["unit"] in ("C", "F")
    assert chat(client, shown, tools=[WEATHER], tool_choice="none").choices[0].message.content


def test_texts_are_continued_as_they_are(client: Any, model: Any) -> None:
    prompts = ["The capital of France is", "One, two, three,"]
    answer = client.completions.create(
        model="thalweg", prompt=prompts, max_tokens=6, temperature=0, n=2, logprobs=2, stop=["\n\n\n"]
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == answer.choices[1].text and answer.choices[0].text.startswith(" ")
    for choice in answer.choices:
        told = choice.logprobs
        assert "".join(told.tokens) == choice.text
        assert all(choice.text[at:].startswith(token) for at, token in zip(told.text_offset, told.tokens, strict=True))
        assert [max(top.values()) for top in told.top_logprobs] == told.token_logprobs
    both = [client.completions.create(model="thalweg", prompt=one, max_tokens=6, temperature=0) for one in prompts]
    assert [one.choices[0].text for one in both] == [answer.choices[0].text, answer.choices[2].text]
    assert answer.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in both)
    ids = model.tokenizer.encode(prompts[0])
    by_ids = client.completions.create(model="thalweg", prompt=ids, max_tokens=6, temperature=0, echo=True)
    assert by_ids.choices[0].text == prompts[0] + answer.choices[0].text
    stream = client.completions.create(
        model="thalweg", prompt=prompts[0], max_tokens=6, temperature=0, stream=True, echo=True
    )
    assert "".join(chunk.choices[0].text for chunk in stream) == by_ids.choices[0].text


def test_near_texts_have_near_vectors_in_every_encoding(client: Any) -> None:
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The tax law was amended."]
    answer = client.embeddings.create(model="thalweg", input=texts)  # base64 on the wire: the client's default
    vectors = np.array([one.embedding for one in answer.data])
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.5 > 0.3 > far
    plain = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts[0], encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(vectors[0], abs=1e-5)
    raw = client.embeddings.with_raw_response.create(model="thalweg", input=texts[0], encoding_format="base64")
    coded = json.loads(raw.text)["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4") == pytest.approx(vectors[0], abs=1e-5)
    assert 0 < plain.usage.total_tokens < answer.usage.total_tokens


def test_models_are_listed(client: Any, model: Any) -> None:
    assert {"thalweg", model.name, "all-MiniLM-L6-v2"} == {one.id for one in client.models.list()}
    assert client.models.retrieve(model.name).id == model.name
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"extra_body": {"nonsense": 1}}, "nonsense"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stop": "a", "response_format": {"type": "json_object"}}, "stop"),
        ({"extra_body": {"grammar": "start: start"}}, "grammar"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no"}}}},
         "response_format"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages.0.content"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, "messages"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(client: Any, change: dict[str, Any], param: str) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            chat(client, **(change | {"stream": stream}))
        assert caught.value.param == param
        assert caught.value.type == "invalid_request_error"
        assert str(caught.value).rstrip().endswith(".")  # a remedy


def test_unknown_models_and_dimensions_are_refused(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, model="gpt-9")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="thalweg", input="a", dimensions=64)
    with pytest.raises(openai.BadRequestError, match="suffix"):
        client.completions.create(model="thalweg", prompt="a", suffix="b")


def test_prompts_are_shared_within_one_user_only(client: Any) -> None:
    said = [{"role": "system", "content": "You count sheep, one after the other, and never tire of it."}, *SAY]
    cached = lambda user: chat(client, said, user=user).usage.prompt_tokens_details.cached_tokens  # noqa: E731
    assert [cached("ann") > 30, cached("ann") > 30, cached("bob") > 30, cached("bob") > 30] == [False, True] * 2


def test_a_stream_that_nobody_reads_gives_its_place_back(client: Any, model: Any) -> None:
    count = [{"role": "user", "content": "Count from one to one thousand."}]
    stream = chat(client, count, max_tokens=900, stream=True, temperature=1, seed=2, extra_body={"regex": "(a|b){900}"})
    next(iter(stream))
    assert any(model.snapshot().running)
    before = model.counters.rows
    stream.close()
    deadline = time.monotonic() + 20
    while any(model.snapshot().running):
        assert time.monotonic() < deadline, "the request still runs"
        time.sleep(0.01)
    assert model.counters.rows - before < 400  # it would have taken 900
    assert model.snapshot().finished[-1].answer is None


def test_our_own_remote_model_gets_typed_values(url: str) -> None:
    import thalweg as tw
    from thalweg.models import RemoteModel

    @tw.learned
    def judge(review: str) -> Literal["good", "bad"]:
        """Is the review good or bad?"""

    @tw.learned
    def invent(kind: str) -> Pet:
        """Invent a pet."""

    @tw.learned
    def code(text: str) -> int:
        """How many stars?"""

    with RemoteModel("thalweg", url, retries=0, structured="json_schema", repairs=0) as remote, tw.using(model=remote):
        assert judge("I love it.") in ("good", "bad")
        assert isinstance(invent("dog"), Pet)
        assert isinstance(code("Five stars!"), int)
