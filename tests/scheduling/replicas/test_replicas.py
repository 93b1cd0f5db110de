"""Several servers as one model: nothing is lost, nothing doubled, and every answer belongs to its own request."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest
from faulty_server import ALL, FaultyServer, answer, running

import thalweg as tw
from thalweg.errors import EndpointError, ModelError
from thalweg.models import Answer, Format, Message, RemoteModel, Request, Sampling
from thalweg.program.table_run import TableRun
from thalweg.scheduling.replicas import Replicas, replicas_of
from thalweg.scheduling.replicas.circuit import Circuit
from thalweg.scheduling.replicas.router import Router

TEXT = Format("text", max_chars=400)


def asked(text: str, system: str = "") -> Request:
    messages = (*((Message("system", system),) if system else ()), Message("user", text))
    return Request(messages, TEXT, Sampling(max_tokens=32))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_under_random_faults_nothing_is_lost_doubled_or_mixed_up(seed: int) -> None:
    servers = [FaultyServer(ALL, 0.3, seed=seed * 10 + i, delay=0.002) for i in range(3)]
    with running(*servers) as urls, Replicas("m", urls, timeout=0.5, deadline=60, max_concurrency=16) as model:
        came: list[int] = []
        futures = []
        for i in range(200):
            future = model.submit(asked(f"question {i}"))
            future.add_done_callback(lambda _, i=i: came.append(i))
            futures.append(future)
        assert [future.result(90).text for future in futures] == [answer(f"question {i}") for i in range(200)]
        assert sorted(came) == list(range(200))
        status = model.status()
    assert sum(one.answered for one in status) == 200
    assert sum(one.failed for one in status) >= 20 and sum(one.met.total() for one in servers) >= 20


def test_a_replica_that_dies_in_the_middle_costs_nothing_and_is_taken_back() -> None:
    first, second = FaultyServer(delay=0.02), FaultyServer(delay=0.02)
    port = first.server_address[1]
    with running(second, first), Replicas("m", [first.url, second.url], timeout=2, max_concurrency=4) as model:
        before = [model.submit(asked(f"a {i}")) for i in range(20)]
        wait(before[:6])
        first.die()
        after = [model.submit(asked(f"b {i}")) for i in range(20)]
        assert [one.result(30).text for one in before + after] == [
            *(answer(f"a {i}") for i in range(20)), *(answer(f"b {i}") for i in range(20)),
        ]  # fmt: skip
        assert model.status()[0].circuit != "closed" and first.url in model.status()[0].last_error
        again = FaultyServer(delay=0.01, port=port)
        with running(again):
            deadline = time.monotonic() + 20
            while not again.seen:
                assert time.monotonic() < deadline, "the replica was never asked again"
                assert model.submit(asked(f"c {time.monotonic()}")).result(30)
            assert model.status()[0].circuit == "closed"


def test_when_all_are_down_it_says_what_each_said_and_no_key() -> None:
    servers = [FaultyServer(("broken",), 1.0), FaultyServer(("garbage",), 1.0)]
    with running(*servers) as urls, Replicas("m", urls, api_key="sk-secret-0123", timeout=1, deadline=1.5) as model:
        started = time.monotonic()
        with pytest.raises(EndpointError) as error:
            model.submit(asked("x")).result(30)
        assert time.monotonic() - started < 6
    for url in urls:
        assert url in str(error.value)
    assert "out of memory" in str(error.value) and "sk-secret" not in str(error.value) + repr(model.status())


def test_an_answer_that_cannot_be_used_is_not_asked_for_elsewhere() -> None:
    servers = [FaultyServer(), FaultyServer()]
    choices = Request((Message("user", "x"),), Format("choices", choices=("yes", "no")), Sampling())
    with running(*servers) as urls, Replicas("m", urls) as model, pytest.raises(EndpointError, match="invalid"):
        model.submit(choices).result(30)
    assert sorted(len(one.texts) for one in servers) == [0, 3]  # the repairs of one replica


def test_documents_stay_with_the_replica_that_has_read_them() -> None:
    servers = [FaultyServer(delay=0.004), FaultyServer(delay=0.004)]
    draw = random.Random(5)
    documents = ["".join(draw.choice("abcdef ") for _ in range(1500)) for _ in range(12)]
    requests = [(d, asked(f"question {q}", documents[d])) for q in range(8) for d in range(12)]
    pool = ThreadPoolExecutor(16)  # so few that no replica is ever too busy for its own
    with running(*servers) as urls, Replicas("m", urls, max_concurrency=8) as model, pool:
        assert all(pool.map(lambda one: model.submit(one[1]).result(60), requests))
    home = [[sum(text.startswith(document) for text in one.texts) for one in servers] for document in documents]
    assert sum(max(counts) for counts in home) >= 0.95 * len(requests), home
    loads = [len(one.texts) for one in servers]
    assert min(loads) > 0.25 * len(requests), loads


def test_the_first_of_a_beginning_goes_alone_and_the_others_follow_it() -> None:
    server = FaultyServer(delay=0.05)
    document = "x" * 1000
    with running(server) as urls, Replicas("m", urls, max_concurrency=16) as model:
        futures = [model.submit(asked(f"question {i}", document)) for i in range(10)]
        futures[0].result(30)
        assert server.most == 1 and len(server.texts) == 1
        wait(futures, 30)
    assert server.most > 3 and len(server.texts) == 10


def test_load_stays_within_the_bound_even_if_all_share_one_beginning() -> None:
    router = Router(3, lead=False)
    from thalweg.scheduling.replicas.router import Routed

    for _ in range(300):
        text = list(b"y" * 500)
        routed = Routed(text)
        router.sent(routed, router.choose(text, [0, 1, 2]))
        assert max(router.load) <= 1.5 * min(router.load) + 5


def test_a_circuit_opens_after_failures_and_lets_one_trial_through() -> None:
    circuit = Circuit()
    assert circuit.allows()
    circuit.failed()
    circuit.failed()
    assert circuit.allows()
    circuit.failed()
    assert circuit.state == "open" and not circuit.allows()
    circuit.until = 0.0
    assert circuit.state == "half-open" and circuit.allows()
    circuit.sent()
    assert not circuit.allows()
    first = circuit.opened
    circuit.failed()
    assert circuit.state == "open" and circuit.opened == first + 1
    circuit.succeeded()
    assert circuit.state == "closed" and circuit.allows()
    circuit.failed(retry_after=30.0)
    assert not circuit.allows() and circuit.failures == 0


def test_a_server_that_reports_a_failed_connection_of_its_own_is_not_dead() -> None:
    ill, well = FaultyServer(("relay",), 1.0), FaultyServer()
    with running(ill, well) as urls, Replicas("m", urls, deadline=60) as model:
        for i in range(10):
            if not ill.texts:
                assert model.submit(asked(f"question {i}")).result(30).text == answer(f"question {i}")
        first = model.status()[0]
        assert (first.failed, first.circuit) == (1, "closed")


def test_cancelled_and_closed_requests_end() -> None:
    server = FaultyServer(("stall",), 1.0)
    with running(server) as urls:
        model = Replicas("m", urls, timeout=5, max_concurrency=1)
        futures = [model.submit(asked(str(i))) for i in range(5)]
        model.close()
        server.released.set()
        done, _ = wait(futures, 10)
        assert len(done) == 5
        with pytest.raises(ModelError, match="closed"):
            model.submit(asked("late")).result(5)


def test_requests_that_wait_for_a_leader_end_when_the_model_is_closed_or_they_are_cancelled() -> None:
    server = FaultyServer(("stall",), 1.0)
    with running(server) as urls:
        for end in (Replicas.cancel_waiting, Replicas.close):
            model = Replicas("m", urls, timeout=5, max_concurrency=4)
            futures = [model.submit(asked(f"question {i}", "x" * 1000)) for i in range(6)]
            while not server.texts:
                time.sleep(0.01)
            end(model)
            done, _ = wait(futures[1:], 3)
            assert len(done) == 5
            model.close()
            server.texts.clear()
        server.released.set()


def test_what_a_server_sends_beyond_an_answer_answers_no_other_request() -> None:
    servers = [FaultyServer(("twice",), 0.5, seed=i) for i in range(2)]
    with running(*servers) as urls, Replicas("m", urls, timeout=2, max_concurrency=4) as model:
        futures = [model.submit(asked(f"question {i}")) for i in range(100)]
        assert [one.result(30).text for one in futures] == [answer(f"question {i}") for i in range(100)]
    assert sum(one.met["twice"] for one in servers) > 20


def test_a_request_that_breaks_every_server_is_given_up_and_the_others_are_answered() -> None:
    servers = [FaultyServer(poison="poison"), FaultyServer(poison="poison")]
    with running(*servers) as urls, Replicas("m", urls, timeout=1, retries=3, max_concurrency=2) as model:
        bad = model.submit(asked("poison"))
        good = [model.submit(asked(f"question {i}")) for i in range(30)]
        assert [one.result(30).text for one in good] == [answer(f"question {i}") for i in range(30)]
        with pytest.raises(EndpointError, match="out of memory"):
            bad.result(30)
    assert sum(one.texts.count("poison") for one in servers) == 4


@pytest.mark.parametrize("fault, tries", [("rejected", 1), ("locked", 2)])
def test_what_no_replica_will_take_fails_at_once(fault: str, tries: int) -> None:
    servers = [FaultyServer((fault,), 1.0), FaultyServer((fault,), 1.0)]
    with running(*servers) as urls, Replicas("m", urls, deadline=60) as model, pytest.raises(EndpointError):
        model.submit(asked("x")).result(10)
    assert sum(len(one.texts) for one in servers) == tries


def test_a_replica_that_lists_another_model_is_refused() -> None:
    servers = [FaultyServer(models=["m"]), FaultyServer(models=["other"])]
    with running(*servers) as urls, Replicas("m", urls) as model:
        first = [model.submit(asked(f"question {i}")) for i in range(20)]
        assert all(one.result(30) for one in first)
        deadline = time.monotonic() + 10
        while {one.circuit for one in model.status()} != {"closed", "refused"} and time.monotonic() < deadline:
            assert model.submit(asked("again")).result(30)
        status = model.status()
        assert [one.circuit for one in status] == ["closed", "refused"] and "'other'" in status[1].last_error
    with running(FaultyServer(models=["a"]), FaultyServer(models=["a"])) as urls, Replicas("m", urls) as model:
        assert model.submit(asked("x")).result(30).text == answer("x")  # all call theirs the same


def test_requests_that_wait_longer_than_the_deadline_for_busy_replicas_are_answered() -> None:
    server = FaultyServer(delay=0.05)
    with running(server) as urls, Replicas("m", urls, deadline=0.5, max_concurrency=1) as model:
        futures = [model.submit(asked(f"question {i}")) for i in range(30)]
        assert [one.result(30).text for one in futures] == [answer(f"question {i}") for i in range(30)]


class Held(RemoteModel):
    """A server whose exchanges end when the test says so; once it is `well`, it answers at once."""

    def __init__(self) -> None:
        super().__init__("m", "http://127.0.0.1:9/v1", retries=0)
        self.waiting: list[Future[Answer]] = []
        self.well = False

    def served(self, timeout: float = 5.0) -> list[str] | None:
        return None

    def submit(self, request: Request) -> Future[Answer]:
        future: Future[Answer] = Future()
        if self.well:
            future.set_result(Answer(answer(request.messages[-1].content)))
        else:
            self.waiting.append(future)
        return future


def test_a_long_queue_at_a_replica_that_fails_is_asked_for_again_whole() -> None:
    held = Held()
    with Replicas("m", ["http://127.0.0.1:9/v1"], max_concurrency=500, lead=False, connect=lambda url: held) as model:
        futures = [model.submit(asked(f"question {i}")) for i in range(1200)]
        deadline = time.monotonic() + 20
        while len(held.waiting) < 1200:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        held.well = True
        for one in held.waiting[:3]:  # these open the circuit, which gives back all that wait: far more than a stack
            one.set_running_or_notify_cancel()
            one.set_exception(EndpointError("It broke.", "Mend it."))
        _, left = wait(futures, 30)
        assert not left, f"{len(left)} requests never ended"
        assert [one.result().text for one in futures] == [answer(f"question {i}") for i in range(1200)]


def test_a_spec_with_several_addresses_names_replicas() -> None:
    assert replicas_of("openai:m@http://a/v1,http://b:8000/v1/") == ("m", ["http://a/v1", "http://b:8000/v1"])
    for other in ("openai:m@http://a/v1", "smollm2-135m", "openai:m,n", "recorded:a,b"):
        assert replicas_of(other) is None
    for wrong in ("openai:m@http://a/v1,b/v1", "openai:m@http://a/v1,http://a/v1/", "openai:@http://a,http://b"):
        with pytest.raises(ModelError):
            replicas_of(wrong)


@tw.learned
def echo(text: str) -> str:
    """Say it again."""


def test_a_table_loses_no_row_when_a_replica_dies(tmp_path: Path) -> None:
    first, second = FaultyServer(delay=0.01), FaultyServer(("broken", "reset"), 0.2, delay=0.01)
    table = tmp_path / "in.jsonl"
    table.write_text("".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(120)))
    with running(second), running(first):
        spec = f"openai:m@{first.url},{second.url}"
        seen = 0

        def watch(progress: Any) -> None:
            nonlocal seen
            seen = progress.done
            if seen == 30:
                first.die()

        with tw.using(model=spec, cache=False):
            summary = TableRun(echo, table, tmp_path / "out.jsonl").run(watch=watch)
    assert summary.finished and summary.rows == 120 and summary.failed == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [f"row {i}" for i in range(120)]
    assert all(f"row {i}" in json.dumps(row) for i, row in enumerate(rows))


def llama_server(model_path: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(model_path), "--host", "127.0.0.1",
        "--port", str(port), "--n_ctx", "512", "--n_threads", "1", "--n_threads_batch", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(300):
        try:
            httpx.get(f"{url}/models", timeout=2).raise_for_status()
            return process, url
        except httpx.HTTPError:
            assert process.poll() is None
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


def test_real_servers_one_of_which_is_killed_answer_everything(model_path: Path) -> None:
    started = [llama_server(model_path) for _ in range(2)]
    try:
        with Replicas("any", [url for _, url in started], timeout=60, max_concurrency=2) as model:
            futures = [model.submit(asked(f"Name a colour, number {i}.")) for i in range(12)]
            futures[1].result(60)
            os.kill(started[0][0].pid, signal.SIGKILL)
            answers = [future.result(120) for future in futures]
            status = model.status()
        assert all(one.text for one in answers) and len(answers) == 12
        assert status[0].circuit != "closed" and status[1].answered >= 1
        assert sum(one.answered for one in status) == 12
    finally:
        for process, _ in started:
            process.kill()
            process.wait()
