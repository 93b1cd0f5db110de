"""Learned functions over a real HTTP server: typed values, honest refusals, a table that survives."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from mail_program import Complaint, Refund, read

import thalweg as tw
from thalweg.errors import EndpointError, UnsupportedByBackend
from thalweg.models.remote import RemoteModel
from thalweg.program.session import current, store_in_force
from thalweg.program.table_run import TableRun


@dataclass
class Server:
    url: str
    bodies: list[dict[str, Any]]
    answer: Callable[[dict[str, Any]], tuple[int, str]]


@pytest.fixture
def server() -> Iterator[Server]:
    """An OpenAI-compatible server whose answers a test chooses: (status, content)."""
    made = Server("", [], lambda body: (200, "good"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.bodies.append(body)
            status, content = made.answer(body)
            message = {"role": "assistant", "content": content}
            whole = {
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
            reply = json.dumps(whole if status == 200 else {"error": {"message": content}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{running.server_address[1]}/v1"
    yield made
    running.shutdown()
    running.server_close()


@tw.learned
def verdict(text: str) -> Literal["good", "bad"]:
    """Judge the review."""


def test_a_remote_answer_is_a_typed_value_with_its_usage_in_the_journal(server: Server) -> None:
    text = read.signature.output.encode(Complaint("staff", 4))
    server.answer = lambda body: (200, text)
    with RemoteModel("m", server.url, retries=0) as model, tw.using(model=model):
        assert read("The driver was rude.") == Complaint("staff", 4)
        shown = read.render("The driver was rude.")
        (call,) = store_in_force(current()).calls()
        assert read("The driver was rude.") == Complaint("staff", 4)
    assert len(server.bodies) == 1, "the second call is answered by the cache"
    assert [one["content"] for one in server.bodies[0]["messages"]][-1] == "mail: The driver was rude."
    assert "Read a customer's e-mail." in server.bodies[0]["messages"][0]["content"]
    assert "[system]" in shown.text
    usage = json.loads(call.answer or "")["usage"]
    assert (usage["prompt_tokens"], usage["output_tokens"]) == (7, 3)


def test_streams_tell_a_remote_answer_whole(server: Server) -> None:
    with RemoteModel("m", server.url, retries=0) as model, tw.using(model=model):
        events = list(verdict.stream("x"))
    assert events == [
        tw.Started("verdict"), tw.Token("verdict", "good"), tw.Partial("verdict", "good"),
        tw.Finished("verdict", "good"), tw.Done("good"),
    ]  # fmt: skip


def test_probabilities_are_refused_with_the_remedy(server: Server) -> None:
    with RemoteModel("m", server.url, retries=0) as model, tw.using(model=model):
        for verb in (verdict.distribution, lambda text: verdict.score(text, "good")):
            with pytest.raises(UnsupportedByBackend, match="local model"):
                verb("x")
    assert server.bodies == []


def test_garbage_and_refusals_fail_their_rows_only(server: Server, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, str]:
        said = body["messages"][1]["content"]
        return (200, "excellent!") if "garbage" in said else (500, "on fire") if "fire" in said else (200, "good")

    server.answer = answer
    (tmp_path / "in.csv").write_text("text\nfine\ngarbage\nfire\nlast\n")
    with RemoteModel("m", server.url, retries=0, repairs=1) as model, tw.using(model=model):
        results = verdict.map(["fine", "garbage", "fire", "last"])
        summary = TableRun(verdict, tmp_path / "in.csv", tmp_path / "out.jsonl").run()
    assert [bool(one) for one in results] == [True, False, False, True]
    assert isinstance(results[1], tw.Failure)
    assert all(isinstance(one.error, EndpointError) for one in results if isinstance(one, tw.Failure))
    assert (summary.rows, summary.failed) == (4, 2)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["output"] for row in rows] == ["good", None, None, "good"]
    assert "EndpointError: " in rows[2]["_error"]
    assert "row 2" in rows[2]["_error"]
    assert rows[0]["_confidence"] is None, "a server tells no probabilities"


def test_a_fallback_body_answers_for_an_endpoint_that_is_down() -> None:
    @tw.learned(mode="fallback")
    def kind(mail: str) -> Refund | Complaint:
        """Read."""
        return Refund("0") if "back" in mail else Complaint("staff", 1)

    with RemoteModel("m", "http://127.0.0.1:9/v1", retries=0, timeout=5) as model, tw.using(model=model):
        assert kind("money back") == Refund("0")
        assert kind.map(["money back", "rude"]) == [Refund("0"), Complaint("staff", 1)]
