"""Completion in a workspace: jedi in this process and through the protocol know the same; what is written exists."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg.code import Members, Suggestion, Workspace, complete
from thalweg.code.complete import fit
from thalweg.code.until import Until
from thalweg.errors import AnalyserError, DataError

FAKE = Path(__file__).with_name("fake_server.py")
PARTS = '''
class QuuxLedger:
    """A ledger."""

    def __init__(self) -> None:
        self.frob_rate = 1

    def wibble_tally(self) -> int:
        return 3
'''
SUPPLY = "from .parts import QuuxLedger\n\n\ndef new_ledger() -> QuuxLedger:\n    return QuuxLedger()\n"
WORK = "from zorple.supply import new_ledger\n\n\ndef tally() -> int:\n    ledger = new_ledger()\n    return ledger."


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = tmp_path_factory.mktemp("src") / "zorple"
    package.mkdir()
    for name, text in (("__init__", ""), ("parts", PARTS), ("supply", SUPPLY), ("work", WORK + "wibble_tally()\n")):
        (package / f"{name}.py").write_text(text)
    return package.parent


@pytest.fixture(scope="module")
def workspace(root: Path) -> Iterator[Workspace]:
    with Workspace(root) as workspace:
        yield workspace


def own(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("__")}


def test_jedi_and_a_language_server_suggest_the_same_members(root: Path, workspace: Workspace) -> None:
    expected = {"frob_rate", "wibble_tally"}
    with Workspace(root, "basedpyright", timeout=60) as other:
        for place in (workspace, other):
            members = Members(place, "zorple/work.py")
            assert own(members.suggest(WORK, "")) == expected
            assert own(members.suggest(WORK + "wi", "wi")) == {"wibble_tally"}
            # Inside brackets, which are missing their ends, and in the braces of a string.
            assert own(members.suggest(WORK[:-14] + "print(f(x=[ledger.", "")) == expected
            assert own(members.suggest(WORK[:-14] + "print(f'{ledger.", "")) == expected
            assert members.suggest(WORK[:-14] + "nobody_knows.", "") == set()


@pytest.mark.skipif(shutil.which("typescript-language-server") is None, reason="no TypeScript server is installed")
def test_members_of_typescript(tmp_path: Path) -> None:
    (tmp_path / "tsconfig.json").write_text("{}")
    (tmp_path / "parts.ts").write_text(
        "export class QuuxLedger { frobRate = 1; wibbleTally(): number { return 3; } }\n"
    )
    (tmp_path / "supply.ts").write_text(
        'import { QuuxLedger } from "./parts";\nexport const newLedger = () => new QuuxLedger();\n'
    )
    work = 'import { newLedger } from "./supply";\nconst ledger = newLedger();\n'
    with Workspace(tmp_path, "typescript", timeout=60) as workspace:
        members = Members(workspace, "work.ts")
        assert members.suggest(work + "console.log(`${ledger.", "") == {"frobRate", "wibbleTally"}
        assert members.suggest(work + "ledger.wi", "wi") == {"wibbleTally"}


def test_an_answer_is_asked_for_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(workspace, "zorple/work.py")
    members.suggest(WORK, "")
    monkeypatch.setattr(workspace, "suggestions", lambda *_, **__: pytest.fail("asked again"))
    assert "frob_rate" in members.suggest(WORK + "fr", "fr")


def test_definitions_hover_and_diagnostics(root: Path, workspace: Workspace) -> None:
    text = "from zorple.supply import new_ledger\nnew_ledger(\n"
    place = workspace.definitions("zorple/new.py", 30, text=text)[0]
    assert place.path == (root / "zorple/supply.py").resolve() and (place.line, place.column) == (3, 4)
    assert "new_ledger" in workspace.hover("zorple/new.py", 30, text=text)
    assert workspace.diagnostics("zorple/new.py", text=text)[0].severity == "error"
    assert workspace.diagnostics("zorple/work.py") == []


def test_members_that_are_written_exist(model: Any, workspace: Workspace) -> None:
    """Four samples, hot; the text without the monitor need not comply, the one with it must."""
    made = complete(workspace, "zorple/work.py", len(WORK), model=model, max_tokens=8, stop=["\n"],
                    temperature=1.0, n=4)  # fmt: skip
    for one in made:
        assert re.match(r"(frob_rate|wibble_tally|__\w+__)\b", one.text), one.text
        assert "\n" not in one.text
        assert one.monitor and one.monitor.queries >= 1 and one.monitor.masked_steps >= 1 and not one.monitor.failures
    free = complete(workspace, "zorple/work.py", len(WORK), model=model, max_tokens=8, n=2, monitor=False)
    assert [one.monitor for one in free] == [None, None] and all(one.usage.output_tokens <= 8 for one in free)


def test_a_completion_is_reproducible_and_cut_at_its_stop(model: Any, workspace: Workspace) -> None:
    settings: dict[str, Any] = {"model": model, "max_tokens": 12, "temperature": 0.7, "seed": 3}
    one = complete(workspace, "zorple/work.py", len(WORK), **settings)[0]
    again = complete(workspace, "zorple/work.py", text=WORK, **settings)[0]
    assert one.text == again.text and one.logprob == again.logprob
    stop = one.text[3:5]
    cut = complete(workspace, "zorple/work.py", len(WORK), stop=[stop], **settings)[0]
    assert cut.text == one.text[: one.text.index(stop)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mode", ["dies", "silent", "garbage"])
def test_the_run_goes_on_when_the_server_fails(model: Any, root: Path, mode: str) -> None:
    with Workspace(root, [sys.executable, str(FAKE), mode], timeout=1.0) as broken:
        started = time.monotonic()
        made = complete(broken, "zorple/work.py", len(WORK), model=model, max_tokens=6, timeout=0.5)[0]
        assert time.monotonic() - started < 20
        assert made.text and made.monitor and made.monitor.failures >= 1 and made.monitor.masked_steps == 0
        with pytest.raises(AnalyserError, match="analyser that watches the text"):
            complete(broken, "zorple/work.py", len(WORK), model=model, max_tokens=6, timeout=0.5, on_failure="error")
    # The engine has lost nothing by it.
    assert complete(Workspace(root), "zorple/work.py", len(WORK), model=model, max_tokens=4)[0].monitor


def test_a_workspace_that_hangs_is_restarted(root: Path) -> None:
    with Workspace(root, [sys.executable, str(FAKE), "silent"], timeout=0.2) as workspace:
        for _ in range(3):
            with pytest.raises(AnalyserError):
                workspace.suggestions("zorple/work.py", 3)
        workspace.server = [sys.executable, str(FAKE), "good"]
        workspace.restart()
        workspace.timeout = 5.0
        assert Suggestion("QuuxLedger:") not in workspace.suggestions("zorple/work.py", 3)
        assert Suggestion("at_0_3") in workspace.suggestions("zorple/work.py", 3)
    with pytest.raises(AnalyserError, match="is closed"):
        workspace.suggestions("zorple/work.py", 3)


def test_mistakes_are_told(model: Any, root: Path, workspace: Workspace) -> None:
    with pytest.raises(AnalyserError, match="There is no language server 'nonsense'"):
        Workspace(root, "nonsense")
    with pytest.raises(DataError, match="no folder"):
        Workspace(root / "zorple" / "work.py")
    with pytest.raises(DataError, match="cannot be read"):
        complete(workspace, "zorple/nothing.py", 1, model=model)
    for offset in (0, 10_000):
        with pytest.raises(DataError, match="offset"):
            complete(workspace, "zorple/work.py", offset, model=model)
    with pytest.raises(DataError, match="no stop is empty"):
        complete(workspace, "zorple/work.py", model=model, stop=[""])


def test_a_prompt_keeps_the_lines_that_fit(model: Any) -> None:
    lines = "".join(f"value_{i} = {i}\n" for i in range(200))
    prompt = fit("# c\n", lines, model.tokenizer, 60)
    assert len(model.tokenizer.encode(prompt)) <= 60 and prompt.startswith("# c\nvalue_") and lines.endswith(prompt[4:])
    assert fit("", "x = 1\ny = x.", model.tokenizer, 60) == "x = 1\ny = x."
    assert fit("", "<|im_end|>", model.tokenizer, 60) != "<|im_end|>"
    with pytest.raises(DataError, match="no room"):
        fit("word " * 100, "x", model.tokenizer, 60)


def test_a_stop_is_found_across_tokens(model: Any) -> None:
    tokenizer = model.tokenizer
    until = Until(["\n\n", "é!"], tokenizer)
    for text, ends in (("a\n\n", True), ("a\nb\n", False), ("é!", True), ("é", False)):
        state = until.start()
        for byte in text.encode():
            assert not state.done
            state.advance(tokenizer.pieces.index(bytes([byte])))
        assert state.done is ends
    assert until.cut("a\n\nbé!") == "a" and until.cut("ab") == "ab"
    assert not until.anything[[token for token, piece in enumerate(tokenizer.pieces) if not piece and token != 2]].any()


def test_nobody_waits_behind_a_question_that_hangs_in_this_process(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, free = threading.Event(), threading.Event()

    def hang(*_: Any) -> list[Suggestion]:
        hanging.set()
        free.wait(60)
        return []

    monkeypatch.setattr(workspace._backend, "suggestions", hang)
    monkeypatch.setattr(workspace, "timeout", 0.3)
    stuck = threading.Thread(target=workspace.suggestions, args=("zorple/work.py", 3), daemon=True)
    stuck.start()
    try:
        assert hanging.wait(10)
        for _ in range(6):
            started = time.monotonic()
            with pytest.raises(AnalyserError, match="still busy"):
                workspace.suggestions("zorple/work.py", 3)
            last = time.monotonic() - started
        assert last < 0.3, "three times its time over, it counts as hanging"
    finally:
        free.set()
        stuck.join(10)
