"""The page in a real browser: what runs is shown while it runs, a click shows the whole call, nothing comes from
elsewhere."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from programs import FLOWS
from serving import serving

from thalweg.server import Settings, create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


def opened(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    page = browser.new_page(**options)
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda asked: troubles.append(asked.url) if not asked.url.startswith(url) else None)
    page.goto(f"{url}/ui")
    return page, troubles


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_watcher_sees_calls_run_and_one_of_them_whole(browser: Any, model: Any, scheme: str) -> None:
    with serving(create_app(FLOWS, model, Settings(journal=False, cache=False))) as url:
        page, troubles = opened(browser, url, viewport={"width": 1440, "height": 900}, color_scheme=scheme)
        page.wait_for_selector('#status[data-state="live"]')
        stop = threading.Event()

        def ask(i: int) -> None:
            while not stop.is_set():
                httpx.post(f"{url}/flows/triage", json={"mail": f"Parcel {i} <b>is</b> late."}, timeout=60)

        asking = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
        for one in asking:
            one.start()
        try:
            page.wait_for_selector('.leaf[data-state="running"], .leaf[data-state="reading"]', timeout=30_000)
            page.wait_for_selector('.leaf[data-state="done"] .call', timeout=30_000)
            page.wait_for_selector(".row.span")
            page.keyboard.press("Space")  # pause: the rows stay where they are
            assert page.inner_text("#status") == "Paused"
            page.locator('.leaf[data-state="done"] .call').first.click()
            page.wait_for_selector('button.token[data-forced="no"]', timeout=60_000)
        finally:
            stop.set()
            for one in asking:
                one.join()
        drawer = page.inner_text("#drawer")
        assert "is valid under this schema" in drawer and "<b>is</b>" in drawer and '"type"' in drawer
        page.locator('button.token[data-forced="no"]').first.focus()
        page.wait_for_selector(".option.drawn")
        assert "%" in page.inner_text(".alternatives")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(",")) / 3
        assert (brightness > 128) == (scheme == "light")
        page.keyboard.press("Escape")
        assert "Choose a call" in page.inner_text("#drawer")
        for width in (375, 1440):
            page.set_viewport_size({"width": width, "height": 812})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not troubles
        page.close()


def test_with_keys_the_page_asks_for_one_and_an_idle_server_says_how_to_begin(browser: Any, model: Any) -> None:
    settings = Settings(api_keys=(("shop", "secret-of-the-shop"),), journal=False, cache=False)
    with serving(create_app(FLOWS, model, settings)) as url:
        page, _ = opened(browser, url)
        page.wait_for_selector("#ask-key[open]")
        page.fill("#key", "wrong-wrong-wrong")
        page.click("#key-form button")
        page.wait_for_selector("#key-wrong:not([hidden])")
        page.fill("#key", "secret-of-the-shop")
        page.click("#key-form button")
        page.wait_for_selector('#status[data-state="live"]')
        assert f"curl {url}/v1/chat/completions" in page.inner_text("#empty")
        page.close()
