"""The page in headless Chromium, over the real model: running calls, the details of one, states, both colour schemes.

Skipped where there is no Chromium: `apt-get install chromium`, `pip install playwright`.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from serving import serving

from thalweg.models.request import Format, Hint, Message, Request, Sampling
from thalweg.server import Service, Settings
from thalweg.server.app import create_app

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")

ARGUMENTS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
HEAD = "<|im_start|>system\nYou sort the mail of a shop that sells chairs and lamps.<|im_end|>\n<|im_start|>user\n"
TAIL = "<|im_end|>\n<|im_start|>assistant\n"
TEXT = Format("text", max_chars=400)
EVIL = '<img src=x onerror="window.broken=1"><b>bold</b>'


def asked(text: str, format: Format = TEXT, tokens: int = 24, **hint: Any) -> Request:
    sampling = Sampling(max_tokens=tokens)
    return Request((Message("user", text),), format, sampling, prefix=HEAD, suffix=text + TAIL, hint=Hint(**hint))


@dataclass
class Load:
    """Calls that follow each other in several streams until `stop`."""

    model: Any
    stop: threading.Event

    def run(self, stream: int) -> None:
        while not self.stop.is_set():
            app = ("triage 0123abcd", "reply")[stream % 2]
            self.model.submit(asked(f"Lamp {stream} came broken.", tokens=60, app=app, group="mail")).result(60)


@contextmanager
def loaded(model: Any, streams: int = 4) -> Iterator[None]:
    load = Load(model, threading.Event())
    threads = [threading.Thread(target=load.run, args=(stream,)) for stream in range(streams)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> Iterator[list[str]]:
    """What the console complains of; must be empty at the end."""
    found: list[str] = []
    yield found
    assert found == []


@contextmanager
def served(
    browser: Any, service: Service, troubles: list[str], *, width: int = 1440, height: int = 900, **more: Any
) -> Iterator[Any]:
    """The page over `service`; what is wrong in its console goes to `troubles`."""
    context = browser.new_context(viewport={"width": width, "height": height}, **more)
    page = context.new_page()
    page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    with serving(create_app(service=service)) as url:
        try:
            page.goto(url + "/ui")
            yield page
        finally:  # before the server stops: it waits for its streams to end
            context.close()


def wide(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


CONTRAST = """() => {
  const light = (colour) => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = (colour) => colour === "rgba(0, 0, 0, 0)" || colour === "transparent";
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    let below = element;
    while (below && clear(getComputedStyle(below).backgroundColor)) below = below.parentElement;
    const ground = getComputedStyle(below ?? document.body).backgroundColor;
    const [a, b] = [light(getComputedStyle(element).color), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = element.className || element.tagName;
    if (ratio < 4.5) poor.push(`${name}: ${ratio.toFixed(2)} ${element.textContent.slice(0, 20)}`);
  }
  return [...new Set(poor)];
}"""


UNNAMED = """[...document.querySelectorAll("button, input")].filter((one) => one.checkVisibility()
  && !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).length"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_running_batch_and_the_details_of_a_call(browser: Any, model: Any, troubles: list[str], scheme: str) -> None:
    with served(browser, Service({}, model, Settings()), troubles, color_scheme=scheme) as page:
        with loaded(model):
            page.wait_for_selector(".row[data-state=running]")
            page.locator(".app").nth(1).wait_for()
            assert page.locator("#status").inner_text() == "Live"
            assert page.locator(".node-head").first.is_visible()
            assert page.evaluate("Number(document.querySelector('[data-name=running] .value').textContent) >= 1")
            page.wait_for_selector(".row[data-state=done], .chip[data-state=done]")
            assert wide(page) == 1440
        mails = [one.waiting for one in model.snapshot().finished if one.waiting.request.hint.group == "mail"]
        page.locator(f"[data-call='{mails[-1].number}']").first.click()
        page.wait_for_selector("[data-known=yes] button.token")
        drawer = page.locator("#drawer")
        assert "You sort the mail of a shop" in drawer.locator(".part[data-kind=shared]").first.inner_text()
        assert "calls share this" in drawer.locator(".part-label").first.inner_text()
        assert "free text of 1 to 400 characters" in drawer.inner_text()
        assert "triage" in page.locator(".app").all_inner_texts()  # without the number of its run
        page.locator("button.token").first.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".alternatives .bars li[data-drawn=yes]")
        assert "Token 2 of" in page.locator(".alternatives").inner_text()
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 19, 20)"
        assert dark == (scheme == "dark")
        assert page.evaluate(CONTRAST) == []
        page.keyboard.press("Escape")
        assert not page.locator("#drawer .drawer-body > *").count()


def test_a_narrow_screen_holds_all(browser: Any, model: Any, troubles: list[str]) -> None:
    model.submit(asked("My chair is late.", app="narrow")).result(60)
    with served(browser, Service({}, model, Settings()), troubles, width=375, height=812, has_touch=True) as page:
        page.wait_for_selector(".chip")
        assert wide(page) == 375
        page.locator(".chip").first.tap()
        page.wait_for_selector("[data-known=yes] button.token")
        assert wide(page) == 375
        box = page.locator("#drawer").bounding_box()
        assert box["x"] == 0 and box["width"] == 375 and box["y"] + box["height"] <= 812
        page.locator("#drawer .tool", has_text="Close").tap()
        page.wait_for_selector("#drawer", state="hidden")


def test_pause_theme_and_keys(browser: Any, model: Any, troubles: list[str]) -> None:
    model.submit(asked("My chair is late.", app="keys")).result(60)
    with served(
        browser, Service({}, model, Settings()), troubles, color_scheme="light", reduced_motion="reduce"
    ) as page:
        page.wait_for_selector(".chip")
        page.keyboard.press("Space")
        assert page.locator("#status").inner_text() == "Paused"
        before = page.locator("[data-name=finished] .value").inner_text()
        model.submit(asked("My lamp is late.", app="keys")).result(60)
        assert page.locator("[data-name=finished] .value").inner_text() == before
        page.locator("#pause").click()
        playwright.expect(page.locator("[data-name=finished] .value")).not_to_have_text(before)
        page.locator("#theme").click()
        page.locator("#theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.reload()
        page.wait_for_selector(".chip")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.locator(".node-head").first.focus()
        page.keyboard.press("ArrowLeft")
        assert page.locator(".node-head").first.get_attribute("aria-expanded") == "false"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.closest('#tree') !== null")
        assert page.evaluate("document.activeElement !== document.querySelector('.node-head')")
        assert page.evaluate(UNNAMED) == 0


def test_what_a_prompt_holds_is_text(browser: Any, model: Any, troubles: list[str]) -> None:
    choice = Format("choices", choices=("<i>one</i>", "<i>two</i>"))
    model.submit(asked(EVIL, choice, app="<b>evil</b>")).result(60)
    number = model.snapshot().finished[-1].waiting.number
    with served(browser, Service({}, model, Settings()), troubles) as page:
        page.locator(f"[data-call='{number}']").first.click()
        page.wait_for_selector("[data-known=yes] button.token")
        assert EVIL in page.locator(".prompt").inner_text()
        assert page.locator(".choices code").all_inner_texts() == list(choice.choices)
        assert page.locator("main img, main b:not(.times b), main i i").count() == 0
        assert page.evaluate("window.broken") is None


def test_an_unused_server_says_how_to_begin(browser: Any, troubles: list[str]) -> None:
    from thalweg.models import ScriptedModel

    with served(browser, Service({}, ScriptedModel(lambda request: "x"), Settings()), troubles) as page:
        page.wait_for_selector("#empty pre")
        assert (
            page.locator("#empty pre")
            .inner_text()
            .startswith(f"curl {page.url.removesuffix('/ui')}/v1/chat/completions")
        )
        assert "cannot be watched" in page.locator("#facts").inner_text()


def test_a_key_is_asked_for_and_a_lost_line_comes_back(browser: Any, model: Any) -> None:
    settings = Settings(api_keys=(("eve", "key-of-eve"), ("bob", "key-of-bob")))
    service = Service({}, model, settings)
    model.submit(asked("Eve's lamp.", app="eve", partition="eve")).result(60)
    with served(browser, service, []) as page:
        page.wait_for_selector("#ask-key[open]")
        page.fill("#key", "key-of-nobody")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-wrong:not([hidden])")
        page.fill("#key", "key-of-eve")
        page.keyboard.press("Enter")
        page.wait_for_selector(".chip")
        assert page.locator("#apps").inner_text() == "eve"
        service.draining = True  # nothing is under way: the line ends, and the page tries again
        page.wait_for_selector("#status[data-state=offline]")
        service.draining = False
        page.wait_for_selector("#status[data-state=live]")
