"""Keys, origins, sizes, queue, time: who may not is told so, and what the server holds stays bounded."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from programs import FLOWS, Gate, scripted
from serving import serving

from thalweg.errors import DataError
from thalweg.server import Service, Settings, create_app
from thalweg.server.settings import keys_from

QUIET: dict[str, Any] = {"journal": False, "cache": False}
MAIL = {"mail": "a refund"}


def test_without_a_key_of_the_server_no_call_is_made() -> None:
    keys = (("shop", "secret-of-the-shop"), ("lab", "secret-of-the-lab"))
    with scripted() as model, serving(create_app(FLOWS, model, Settings(api_keys=keys, **QUIET))) as url:
        for given in (None, "Bearer wrong-wrong", "Basic secret-of-the-shop", "Bearer", "secret-of-the-shop"):
            headers = {} if given is None else {"Authorization": given}
            for path in ("/flows/triage", "/v1/chat/completions"):
                refused = httpx.post(url + path, json=MAIL, headers=headers)
                assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
                assert "secret" not in refused.text
            assert httpx.get(f"{url}/metrics", headers=headers).status_code == 401
        assert httpx.get(f"{url}/health").status_code == 200
        allowed = httpx.post(f"{url}/flows/triage", json=MAIL, headers={"Authorization": "Bearer secret-of-the-lab"})
        assert allowed.json() == {"value": "billing:8812"}


def test_cached_prompts_are_shared_within_one_tenant_only(model: Any) -> None:
    keys = (("one", "key-of-number-one"), ("two", "key-of-number-two"))
    body = {"mail": "What is the weather like on the other side of the hills, and will it stay?"}
    with serving(create_app(FLOWS, model, Settings(api_keys=keys, **QUIET))) as url:
        cached = []
        for _, key in (keys[0], keys[0], keys[1], keys[1]):
            before = model.counters.cached_tokens
            answer = httpx.post(
                f"{url}/flows/urgent", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60
            )
            assert answer.status_code == 200
            cached.append(model.counters.cached_tokens - before)
    assert cached[0] == cached[2] == 0 and min(cached[1], cached[3]) > 20, cached


def test_pages_of_other_origins_and_other_host_names_are_refused() -> None:
    settings = Settings(origins=("https://desk.example",), **QUIET)
    with scripted() as model, serving(create_app(FLOWS, model, settings)) as url:
        for origin, status in ((url, 200), ("https://desk.example", 200), ("https://evil.example", 403), ("null", 403)):
            assert httpx.post(f"{url}/flows/triage", json=MAIL, headers={"Origin": origin}).status_code == status
        for host, status in (("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost:1", 200)):
            assert httpx.post(f"{url}/flows/triage", json=MAIL, headers={"Host": host}).status_code == status


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_announced_or_not(announced: bool) -> None:
    with scripted() as model, serving(create_app(FLOWS, model, Settings(max_body_bytes=5000, **QUIET))) as url:
        parts = (b'{"mail": "' if not i else b"x" * 1000 for i in range(20))
        content: Any = b"x" * 20_000 if announced else parts
        answer = httpx.post(f"{url}/flows/triage", content=content)
        assert answer.status_code == 413 and "5000" in answer.json()["error"]["what"]
        assert httpx.post(f"{url}/flows/triage", json=MAIL).status_code == 200


def test_more_than_may_wait_are_told_when_to_come_back() -> None:
    gate = Gate(streams=2)
    with gate.model as model, serving(create_app(FLOWS, model, Settings(max_waiting=3, **QUIET))) as url:
        with ThreadPoolExecutor(12) as pool:
            asked = [
                pool.submit(httpx.post, f"{url}/flows/urgent", json={"mail": str(i)}, timeout=60) for i in range(5)
            ]
            gate.wait_for(2)
            until_full(url, 5)
            refused = httpx.post(f"{url}/flows/urgent", json={"mail": "one more"})
            assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 60
            gate.open.set()
            assert [one.result().status_code for one in asked] == [200] * 5
        assert httpx.post(f"{url}/flows/urgent", json={"mail": "again"}).status_code == 200


def until_full(url: str, count: int) -> None:
    while httpx.get(f"{url}/health").json()["under_way"] < count:
        pass


def test_what_takes_too_long_is_given_up_and_its_waiting_calls_with_it() -> None:
    gate = Gate(streams=1)
    with gate.model as model, serving(create_app(FLOWS, model, Settings(timeout_seconds=0.2, **QUIET))) as url:
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(httpx.post, f"{url}/flows/urgent", json={"mail": str(i)}, timeout=60) for i in range(3)
            ]
            answers = [one.result() for one in asked]
        assert [answer.status_code for answer in answers] == [504] * 3 and "--timeout" in answers[0].text
        gate.open.set()
        assert httpx.get(f"{url}/health").json()["under_way"] == 0
    assert gate.asked == 1  # the two that waited were never begun


def test_a_client_that_leaves_cancels_what_waits() -> None:
    gate = Gate(streams=1)
    service = Service(FLOWS, gate.model, Settings(**QUIET))
    with gate.model, serving(create_app(service=service)) as url:
        host, port = url.removeprefix("http://").split(":")
        body = b'{"mail": "x"}'
        sockets = []
        for _ in range(3):
            one = socket.create_connection((host, int(port)))
            one.sendall(
                b"POST /flows/urgent HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            sockets.append(one)
        gate.wait_for(1)
        until_full(url, 3)
        for one in sockets:
            one.close()
        until_idle(url)
        gate.open.set()
    assert gate.asked == 1 and service.rejected["client gone"] == 3


def until_idle(url: str) -> None:
    for _ in range(2000):
        if httpx.get(f"{url}/health").json()["under_way"] == 0:
            return
    raise AssertionError("requests of clients that left are still under way")


def test_keys_come_from_options_a_file_and_the_environment(tmp_path: Any) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the shop\nshop:12345678\n\nlab:abcdefgh\n")
    found = keys_from(["mine:87654321"], file=file, environment={"THALWEG_API_KEYS": "hgfedcba,"})
    assert dict(found) == {"mine": "87654321", "shop": "12345678", "lab": "abcdefgh", "default": "hgfedcba"}
    for wrong in ("short", "with space 1234", "a:ümlaut-ümlaut"):
        with pytest.raises(DataError) as error:
            keys_from([wrong], environment={})
        assert wrong not in str(error.value)
    with pytest.raises(DataError):
        keys_from(["a:12345678", "b:12345678"], environment={})
