"""A real server on this machine that behaves as badly as servers do; the client stays typed, bounded and silent.

Each test scripts the server with a list of replies: functions on the handler, the last one repeated for ever.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
import traceback
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from thalweg.errors import BudgetExceeded, ContextOverflow, EndpointError, ModelError, UnsupportedByBackend
from thalweg.models.pacing import retry_after, retry_delay
from thalweg.models.remote import RemoteModel
from thalweg.models.request import Format, Message, Request, Sampling

KEY = "sk-very-secret-0123456789"
TEXT = Format("text", max_chars=200)
CHOICES = Format("choices", choices=("refund", "complaint"))
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "severity": {"type": "integer", "minimum": 1}},
    "required": ["order", "severity"],
    "additionalProperties": False,
}
OBJECT = Format("json", schema=json.dumps(SCHEMA))
DIGITS = Format("regex", pattern="[0-9]{4}", max_chars=4)


def completion(content, finish="stop", **usage):
    message = content if isinstance(content, dict) else {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def reply(body, status=200, **headers):
    """A whole response; `body` is sent as JSON unless it is bytes."""

    def send(handler):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return send


def say(content, finish="stop", **usage):
    return reply(completion(content, finish, **usage))


def refuse(message, status=400, **headers):
    return reply({"error": {"message": message, "type": "invalid_request_error"}}, status, **headers)


def hang(handler):
    handler.server.released.wait(10)


def half(handler):
    """Announces more than it sends, then closes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.close_connection = True


def drop(handler):
    handler.close_connection = True


def dribble(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        if handler.server.released.wait(0.03):
            return
        handler.wfile.write(b" ")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies, self.bodies, self.headers, self.paths, self.times = [say("fine")], [], [], [], []
        self.lock, self.released = threading.Lock(), threading.Event()
        self.now = self.most = 0

    def handle_error(self, request, client_address):
        pass  # clients that give up are part of the tests

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self):  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.paths.append(self.path)
            server.times.append(time.monotonic())
            answer = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            answer(self)
        finally:
            with server.lock:
                server.now -= 1

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("THALWEG_API_KEY", "OPENAI_API_KEY", "THALWEG_OPENAI_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def connect(server, monkeypatch):
    models = []
    monkeypatch.setattr("thalweg.models.remote_http.retry_delay", lambda attempt, timeout: 0.01 * attempt)

    def make(*replies, **options):
        if replies:
            server.replies = list(replies)
        options = {"api_key": KEY, "timeout": 2.0, "retries": 2} | options
        models.append(RemoteModel("toy", server.url, **options))
        return models[-1]

    yield make
    for model in models:
        model.close()


def ask(model, format=TEXT, text="Where is my parcel?", **others):
    request = Request((Message("system", "Read e-mails."), Message("user", text)), format, **others)
    return model.submit(request)


def failure(model, *args, **others) -> Exception:
    error = ask(model, *args, **others).exception(10)
    assert error is not None
    told = "".join(traceback.format_exception(error)) + repr(error.__dict__)
    chain = error
    while chain is not None:
        told += str(chain)
        chain = chain.__cause__ or chain.__context__
    assert KEY not in told
    return error


# What is sent and what comes back


def test_an_answer_and_its_usage(server, connect):
    details = {"cached_tokens": 7}
    model = connect(say(" On its way.\n", prompt_tokens=9, completion_tokens=4, prompt_tokens_details=details))
    answer = ask(model, sampling=Sampling(temperature=0.5, top_p=0.9, seed=3, max_tokens=50)).result(5)
    assert answer.text == "On its way." and answer.finish == "complete" and answer.model == model.identity
    assert (answer.usage.prompt_tokens, answer.usage.cached_tokens, answer.usage.output_tokens) == (9, 7, 4)
    assert 0 < answer.usage.seconds < 5
    assert server.bodies == [
        {
            "model": "toy",
            "messages": [
                {"role": "system", "content": "Read e-mails."},
                {"role": "user", "content": "Where is my parcel?"},
            ],
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "max_tokens": 50,
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}" and server.paths == ["/v1/chat/completions"]


def test_names_and_capabilities_are_honest(server, connect):
    model = connect(max_concurrency=3)
    assert model.name == f"openai:toy@{server.url}"
    assert model.identity != connect(structured="none").identity and model.identity.startswith(model.name)
    assert model.capabilities.constraints == "server" and model.capabilities.logits == "none"
    assert (model.capabilities.context, model.capabilities.streams) == (0, 3)
    assert connect(structured="none").capabilities.constraints == "none"
    assert KEY not in repr(model) + model.identity


def test_json_is_asked_as_a_schema_and_comes_back_compact(server, connect):
    answer = ask(connect(say('{"order":"Ü12",\n "severity":2}')), OBJECT).result(5)
    assert answer.text == '{"order": "Ü12", "severity": 2}'
    assert server.bodies[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }


def test_choices_and_regex_travel_in_an_object(server, connect):
    model = connect(say('{"answer": "complaint"}'), say('{"answer": "0042"}'))
    assert ask(model, CHOICES).result(5).text == "complaint"
    assert ask(model, DIGITS).result(5).text == "0042"
    schemas = [body["response_format"]["json_schema"]["schema"] for body in server.bodies]
    assert schemas[0] == {
        "type": "object",
        "properties": {"answer": {"enum": ["refund", "complaint"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    assert schemas[1]["properties"]["answer"] == {"type": "string", "pattern": "^(?:[0-9]{4})$"}


def test_a_union_at_the_root_travels_in_an_object_with_its_definitions(server, connect):
    definitions = {"A": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
    alternatives = [{"$ref": "#/$defs/A"}, {"type": "null"}]
    union = Format("json", schema=json.dumps({"anyOf": alternatives, "$defs": definitions}))
    model = connect(say('{"answer": {"a": 1}}'), say('{"a": 2}'))
    assert ask(model, union).result(5).text == '{"a": 1}'
    assert ask(model, union).result(5).text == '{"a": 2}'  # a server that ignores the schema
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["$defs"] == definitions and "$defs" not in schema["properties"]["answer"]


@pytest.mark.parametrize(
    ("format", "said", "text"),
    [
        (CHOICES, " refund \n", "refund"),
        (CHOICES, "Complaint", "complaint"),
        (CHOICES, '"refund"', "refund"),
        (CHOICES, "<think>refund? no.</think>\n\ncomplaint", "complaint"),
        (DIGITS, "0042\n", "0042"),
        (OBJECT, '```json\n{"order": "1", "severity": 3}\n```', '{"order": "1", "severity": 3}'),
        (OBJECT, 'Here:\n```\n{"order": "1", "severity": 3}\n```\nBye.', '{"order": "1", "severity": 3}'),
        (TEXT, "a\r\nb", "a\nb"),
    ],
)
def test_what_chat_models_put_around_an_answer_is_taken_off(server, connect, format, said, text):
    assert ask(connect(say(said), structured="none"), format).result(5).text == text
    assert len(server.bodies) == 1


def test_answers_in_parts_are_joined(connect):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert ask(connect(say({"content": parts}))).result(5).text == "ab"


# Servers without structured output


def test_a_refused_response_format_is_remembered(server, connect):
    model = connect(refuse("response_format is not supported"), say("refund"))
    assert ask(model, CHOICES).result(5).text == "refund"
    assert ask(model, CHOICES).result(5).text == "refund"
    assert ["response_format" in body for body in server.bodies] == [True, False, False]
    assert model.capabilities.constraints == "none"
    system = server.bodies[1]["messages"][0]
    assert system["role"] == "system" and system["content"].startswith("Read e-mails.")
    assert '"refund", "complaint"' in system["content"]


def test_a_server_that_breaks_on_a_response_format_is_asked_without_it(server, connect):
    broken = refuse("Internal Server Error", 500)
    model = connect(broken, broken, say("refund"), broken, broken, say("refund"), say("complaint"), retries=3)
    assert [ask(model, CHOICES).result(20).text for _ in range(3)] == ["refund", "refund", "complaint"]
    # Once may be a bad moment of the server; twice is what it is like.
    assert ["response_format" in body for body in server.bodies] == [True, True, False, True, True, False, False]


def test_a_server_that_breaks_for_a_moment_keeps_structured_output(server, connect):
    right = say('{"answer": "refund"}')
    model = connect(refuse("Internal Server Error", 500), right, right, retries=3)
    assert [ask(model, CHOICES).result(20).text for _ in range(2)] == ["refund", "refund"]
    assert ["response_format" in body for body in server.bodies] == [True, True, True]


def test_a_refused_pattern_costs_structured_output_for_regex_only(server, connect):
    model = connect(refuse("pattern is not supported", 422), say("0042"), say("0043"), say('{"answer": "refund"}'))
    assert [ask(model, DIGITS).result(5).text for _ in range(2)] == ["0042", "0043"]
    assert ask(model, CHOICES).result(5).text == "refund"
    assert ["response_format" in body for body in server.bodies] == [True, False, False, True]


def test_a_refused_schema_does_not_cost_the_others(server, connect):
    right = say('{"order": "1", "severity": 1}')
    model = connect(say('{"answer": "refund"}'), refuse("unsupported keyword"), right, say("complaint"))
    for format in (CHOICES, OBJECT, CHOICES):
        ask(model, format).result(5)
    assert ["response_format" in body for body in server.bodies] == [True, True, False, True]


def test_a_refusal_for_another_reason_is_an_error_and_not_remembered(server, connect):
    model = connect(refuse("bad seed"), refuse("bad seed"), say('{"answer": "refund"}'))
    error = failure(model, CHOICES)
    assert type(error) is EndpointError and "bad seed" in str(error)
    assert ask(model, CHOICES).result(5).text == "refund"
    assert ["response_format" in body for body in server.bodies] == [True, False, True]


def test_insisting_on_structured_output_makes_a_refusal_an_error(server, connect):
    error = failure(connect(refuse("no response_format"), structured="json_schema"), CHOICES)
    assert type(error) is EndpointError and len(server.bodies) == 1


def test_servers_that_name_the_length_otherwise(server, connect):
    model = connect(refuse("Use 'max_completion_tokens' instead."), say("fine"))
    for _ in range(2):
        assert ask(model).result(5).text == "fine"
    assert ["max_tokens" in body for body in server.bodies] == [True, False, False]


# Invalid answers


def test_a_wrong_answer_is_asked_again_with_the_reason(server, connect):
    wrong = say('{"order": "1", "severity": 0}', prompt_tokens=10, completion_tokens=5)
    right = say('{"order": "1", "severity": 1}', prompt_tokens=20, completion_tokens=5)
    answer = ask(connect(wrong, right), OBJECT).result(5)
    assert answer.text == '{"order": "1", "severity": 1}' and len(server.bodies) == 2
    assert (answer.usage.prompt_tokens, answer.usage.output_tokens) == (30, 10)
    roles = [message["role"] for message in server.bodies[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "$.severity must be at least 1" in server.bodies[1]["messages"][-1]["content"]


@pytest.mark.parametrize("format", [CHOICES, DIGITS, OBJECT])
def test_answers_that_stay_wrong_are_an_error_that_quotes_them(server, connect, format):
    error = failure(connect(say(f"I would rather not, {KEY}. " + "x" * 5000)), format)
    assert type(error) is EndpointError and "I would rather not" in str(error) and len(str(error)) < 700
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    "said", ['{"order": NaN}', "[" * 50_000, '{"order": "\\ud800", "severity": 1}', "1e999", "", None]
)
def test_json_that_is_none_is_an_error(server, connect, said):
    assert type(failure(connect(say(said), repairs=0), OBJECT)) is EndpointError
    assert len(server.bodies) == 1


def test_a_refusing_model_is_quoted(connect):
    error = failure(connect(say({"content": None, "refusal": "Not that."}), repairs=1), CHOICES)
    assert type(error) is EndpointError and "Not that." in str(error)


def test_an_answer_cut_by_the_length_limit(server, connect):
    error = failure(connect(say('{"order": "12', finish="length")), OBJECT, sampling=Sampling(max_tokens=5))
    assert type(error) is BudgetExceeded and "max_tokens=5" in str(error) and len(server.bodies) == 1
    assert ask(connect(say("A long st", finish="length"))).result(5).finish == "closed"


def test_distributions_and_scores_are_refused_with_a_remedy(server, connect):
    model = connect()
    for want in ("distribution", "score"):
        error = failure(model, CHOICES, want=want, target="refund")
        assert type(error) is UnsupportedByBackend and "local model" in str(error)
    assert server.bodies == []


# Failures that pass and failures that do not


@pytest.mark.parametrize("bad", [refuse("busy", 500), refuse("busy", 503), refuse("busy", 408), half, drop])
def test_failures_that_pass_are_retried(server, connect, bad):
    assert ask(connect(bad, bad, say("fine"))).result(5).text == "fine"
    assert len(server.bodies) == 3


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b'{"choices": [{"messag', b"", {}, {"choices": []}, [1]])
def test_a_body_that_is_no_completion_is_retried_then_an_error(server, connect, body):
    error = failure(connect(reply(body)))
    assert type(error) is EndpointError and len(server.bodies) == 3 and "3 attempt" in str(error)
    assert server.url in str(error)


def test_a_server_that_hangs_is_a_timeout(server, connect):
    started = time.monotonic()
    error = failure(connect(hang, timeout=0.25))
    assert type(error) is EndpointError and "did not answer within 0.25 s" in str(error) and "timeout" in error.remedy
    assert len(server.bodies) == 3 and time.monotonic() - started < 3


def test_a_server_that_dribbles_is_a_timeout(server, connect):
    started = time.monotonic()
    error = failure(connect(dribble, timeout=0.2, retries=0))
    assert "did not answer" in str(error) and time.monotonic() - started < 1.5


def test_a_server_that_is_not_there_is_an_error(server, connect):
    server.shutdown()
    server.server_close()
    error = failure(connect())
    assert type(error) is EndpointError and "ConnectError" in str(error) and "3 attempt" in str(error)
    assert error.fault == pickle.loads(pickle.dumps(error)).fault == "connection"


def test_only_a_connection_that_nobody_took_is_the_connections_fault(server, connect):
    said = "upstream: ConnectError, ConnectTimeout"  # by a server that is there
    faults = [failure(connect(answer, timeout=0.25, retries=0)).fault for answer in (refuse(said, 500), hang)]
    assert faults == ["server", "server"]


def test_retry_after_in_seconds_is_honoured(server, connect):
    assert ask(connect(refuse("slow down", 429, Retry_After="0.2"), say("fine"))).result(5).text == "fine"
    assert len(server.bodies) == 2 and server.times[1] - server.times[0] >= 0.19


def test_retry_after_as_a_date_is_honoured(server, connect):
    started, date = time.monotonic(), int(time.time() + 2)
    wait = date - time.time()
    model = connect(refuse("slow down", 429, Retry_After=formatdate(date, usegmt=True)), say("fine"))
    assert ask(model).result(5).text == "fine"
    assert len(server.bodies) == 2 and server.times[1] - started >= wait - 0.01


def test_waits_between_retries_double_and_headers_are_read():
    for attempt, longest in ((1, 0.25), (2, 0.5), (3, 1.0), (10, 8.0)):
        assert all(longest / 2 <= retry_delay(attempt, timeout=60) <= longest for _ in range(20))
    assert retry_delay(1, timeout=0.1) < 0.02
    assert [retry_after(value) for value in ("2.5", "-3", "1e9", "inf")] == [2.5, 0.0, 60.0, 60.0]
    assert [retry_after(value) for value in (None, "", "soon", "nan", "Mon, 99 Foo")] == [None] * 5
    assert retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0


def test_a_wait_beyond_the_deadline_is_not_begun(server, connect):
    started = time.monotonic()
    error = failure(connect(refuse("slow down", 429, Retry_After="3600")))
    assert "429" in str(error) and "deadline" in str(error)
    assert len(server.bodies) == 1 and time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "THALWEG_API_KEY"), (403, "THALWEG_API_KEY"), (404, "'toy'"), (402, "Correct"), (307, "base_url")],
)
def test_other_refusals_are_not_retried(server, connect, status, remedy):
    error = failure(connect(refuse(f"no: {KEY} is wrong", status, Location="http://127.0.0.1:9/")))
    assert type(error) is EndpointError and str(status) in str(error) and server.url in str(error)
    assert remedy in error.remedy and "***" in str(error) and len(server.bodies) == 1


def test_a_prompt_that_is_too_long_is_a_context_overflow(server, connect):
    error = failure(connect(refuse("This model's maximum context length is 128 tokens.")), CHOICES)
    assert type(error) is ContextOverflow and len(server.bodies) == 1


# Side by side


def test_no_more_than_the_allowed_requests_run_at_once(server, connect):
    def slow(handler):
        time.sleep(0.03)
        say("fine")(handler)

    futures = [ask(model) for model in [connect(slow, max_concurrency=3)] for _ in range(12)]
    assert [future.result(5).text for future in futures] == ["fine"] * 12
    assert server.most == 3


def test_the_rate_limit_spaces_requests(server, connect):
    model = connect(requests_per_minute=1200)
    started = time.monotonic()
    for future in [ask(model) for _ in range(5)]:
        future.result(5)
    arrivals = sorted(arrival - started for arrival in server.times)
    assert len(arrivals) == 5 and all(arrival >= 0.05 * index - 0.001 for index, arrival in enumerate(arrivals))


def test_closing_cancels_what_waits_and_refuses_what_comes(server, connect):
    model = connect(hang, max_concurrency=1, timeout=0.2, retries=0)
    running, waiting = ask(model), ask(model)
    while not server.bodies:
        time.sleep(0.005)
    model.close()
    assert waiting.cancelled() and type(running.exception(5)) is EndpointError
    assert "closed" in str(failure(model))


def test_closing_ends_a_wait_between_retries(server, connect):
    model = connect(refuse("slow", 503, Retry_After="5"), timeout=3, max_concurrency=1)
    future = ask(model)
    while not server.bodies:
        time.sleep(0.005)
    started = time.monotonic()
    model.close()
    assert isinstance(future.exception(4), ModelError) and time.monotonic() - started < 1


def test_submitting_starts_no_thread_before_the_first_call(server, connect):
    before = threading.active_count()
    model = connect()
    assert threading.active_count() == before
    ask(model).result(5)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("thalweg-toy"))


# Configuration


def test_address_and_key_come_from_the_environment(server, connect, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    with RemoteModel("toy") as model:
        ask(model).result(5)
    monkeypatch.setenv("THALWEG_API_KEY", "sk-thalweg")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("THALWEG_OPENAI_BASE_URL", server.url + "/")
    with RemoteModel("toy") as model:
        ask(model).result(5)
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer sk-openai", "Bearer sk-thalweg"]


def test_no_key_sends_no_header(server, connect):
    ask(connect(api_key=None)).result(5)
    assert "Authorization" not in server.headers[0]


def test_no_address_names_the_variable(server):
    with pytest.raises(ModelError, match="THALWEG_OPENAI_BASE_URL"):
        RemoteModel("toy")
    for wrong in ("localhost:8000", "ftp://host", "http://", "http://[bad", "http://host:port"):
        with pytest.raises(ModelError, match="http://"):
            RemoteModel("toy", wrong)


def test_credentials_in_the_address_stay_there(server):
    port = server.server_address[1]
    server.replies = [refuse("no hunter2 here", 401)]
    with RemoteModel("toy", f"http://me:hunter2@127.0.0.1:{port}/v1?token=abc123") as model:
        told = f"{model!r} {model.name} {model.identity} {failure(model)}"
    assert "hunter2" not in told and "abc123" not in told
    assert server.paths == ["/v1/chat/completions?token=abc123"]


def test_a_key_that_is_none_is_refused_without_showing_it(server):
    with pytest.raises(ModelError) as caught:
        RemoteModel("toy", server.url, api_key=f"{KEY}\nX: y")
    assert KEY not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
