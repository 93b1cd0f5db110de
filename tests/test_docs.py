"""Runs the manual: what README.md and docs/*.md show must work as it is shown.

- Blocks marked `python` are executed in order; those of one file share a namespace, a real module with a real source
  file, so that data classes, type hints and `inspect.getsource` work as in a script. Lines keep their numbers.
- Blocks marked `bash` are executed if all their commands are `thalweg ...`; if only some are, the test asks to split.
- A block marked `text` right after one of these is its output (if it printed something); `...` stands for anything.
- `<!-- not executed: REASON -->` right above a block leaves it out; Python is still compiled.

All blocks of a file run in one temporary folder that has a copy of `examples/`. The environment is kept.
"""

from __future__ import annotations
import __future__

import contextlib
import contextvars
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.exists()]
COMMAND_SECONDS = 300

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$")
REASON = re.compile(r"^\s*<!--\s*not executed:\s*\S.*-->\s*$")
THALWEG = re.compile(r"^([A-Z_]+=\S* )*thalweg( |$)")
FUTURES = 0
for _name in __future__.all_feature_names:
    FUTURES |= getattr(__future__, _name).compiler_flag


@dataclass
class Block:
    language: str
    line: int  # of the first line of the code, counted from 1
    code: str
    executed: bool  # False where a comment says so
    output: str | None = field(default=None)  # of the text block right after it


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    after: Block | None = None  # the block that only blank lines part from here
    marked = False
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if not opening:
            if lines[at].strip():
                after, marked = None, bool(REASON.match(lines[at]))
            at += 1
            continue
        fence, start = opening["fence"], at + 1
        closing = re.compile(rf"^\s*{fence[0]}{{{len(fence)},}}\s*$")
        end = next((n for n in range(start, len(lines)) if closing.match(lines[n])), None)
        assert end is not None, f"the block that opens in line {at + 1} is not closed"
        language = (opening["info"].split() or [""])[0].lower()
        code = textwrap.dedent("\n".join(lines[start:end]) + "\n")
        if language == "text" and after is not None and not marked:
            after.output = code
        block = Block(language, start + 1, code, not marked)
        found.append(block)
        after = block if language in ("python", "bash") else None
        marked = False
        at = end + 1
    return found


def commands_of(code: str) -> list[str]:
    """The commands of a shell block: comments and blank lines left out, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", code)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def same_output(shown: str, printed: str) -> bool:
    """Whether what was printed is what the page shows; `...` stands for anything, spaces at line ends do not count."""
    shown, printed = ("\n".join(line.rstrip() for line in text.strip("\n").splitlines()) for text in (shown, printed))
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def run_page(name: str, text: str, folder: Path) -> None:
    """Execute the blocks of one page with `folder` as the working directory."""
    blocks = blocks_of(text)
    module = types.ModuleType("page_" + re.sub(r"\W", "_", Path(name).stem))
    source = folder / f"{module.__name__}.py"
    module.__file__ = str(source)
    source.write_text(_source_of(blocks), encoding="utf-8")
    sys.modules[module.__name__] = module
    flags = 0
    try:
        for block in blocks:
            where = f"{name}, line {block.line}"
            printed = None
            if block.language == "python":
                code = compile(_at_its_line(block), module.__file__, "exec", flags=flags, dont_inherit=True)
                if block.executed:
                    flags |= code.co_flags & FUTURES  # as if all blocks were one file
                    printed = _execute(code, module, where)
            elif block.language == "bash" and block.executed:
                printed = _command(block, folder, where)
            if printed and block.output is not None and not same_output(block.output, printed):
                pytest.fail(
                    f"{where}: the page shows\n\n{block.output}\nbut this was printed\n\n{printed}", pytrace=False
                )
    finally:
        del sys.modules[module.__name__]


def _at_its_line(block: Block) -> str:
    return "\n" * (block.line - 1) + block.code


def _source_of(blocks: list[Block]) -> str:
    """One source file with every executed Python block where it stands on the page, all other lines blank."""
    lines: list[str] = []
    for block in blocks:
        if block.language == "python" and block.executed:
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    return "\n".join(lines) + "\n"


def _execute(code: types.CodeType, module: types.ModuleType, where: str) -> str:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        raise AssertionError(f"{where}: the block raised {type(error).__name__}: {error}") from error
    return printed.getvalue()


def _command(block: Block, folder: Path, where: str) -> str | None:
    ours = [bool(THALWEG.match(command)) for command in commands_of(block.code)]
    if not any(ours):
        return None
    if not all(ours):
        pytest.fail(
            f"{where}: some commands are `thalweg ...`, some are not. Split the block, or mark it "
            "`<!-- not executed: REASON -->`.",
            pytrace=False,
        )
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    script = ["bash", "-euo", "pipefail", "-c", block.code]
    try:
        done = subprocess.run(
            script,
            cwd=folder,
            env=here,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{where}: the commands did not end within {COMMAND_SECONDS} seconds", pytrace=False)
    if done.returncode:
        pytest.fail(f"{where}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a copy of the examples."""
    if (ROOT / "examples").exists():
        unwanted = shutil.ignore_patterns("__pycache__", ".thalweg")
        shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=unwanted)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_works_as_shown(page, folder):
    # A context of its own, so that what a page configures is not in force on the next one.
    contextvars.copy_context().run(run_page, page.relative_to(ROOT).as_posix(), page.read_text("utf-8"), folder)


def page(*blocks: tuple[str, str]) -> str:
    return "# A page\n\n" + "\n\n".join(f"```{language}\n{code}\n```" for language, code in blocks)


def test_blocks_share_a_module_in_which_hints_and_sources_are_found(folder):
    first = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int"
    second = (
        "import inspect, typing\n@dataclass\nclass B:\n    a: A\ndef f(b: B) -> A:\n    return b.a\n"
        "assert typing.get_type_hints(f) == {'b': B, 'return': A}\nassert B.__annotations__ == {'a': 'A'}\n"
        "print(inspect.getsource(f), inspect.getsource(B), f(B(A(3))))"
    )
    shown = "def f(b: B) -> A:\n    return b.a\n @dataclass\nclass B:\n    a: A\n A(x=3)"
    run_page("docs/a.md", page(("python", first), ("python", second), ("text", shown)), folder)


def test_another_output_than_shown_fails(folder):
    run_page("a.md", page(("python", "print('ECE', 1 / 3, 'of', 12)"), ("text", "ECE 0.3... of ...")), folder)
    with pytest.raises(pytest.fail.Exception, match="line 4.*shows"):
        run_page("a.md", page(("python", "print(1)"), ("text", "2")), folder)
    run_page("a.md", page(("python", "x = 1"), ("text", "a drawing")), folder)


def test_an_error_names_the_page_and_the_line(folder):
    with pytest.raises(AssertionError, match="a.md, line 8: the block raised ZeroDivisionError") as caught:
        run_page("a.md", page(("python", "x = 0"), ("python title='b.py'", "\n1 / x")), folder)
    assert inspect.getinnerframes(caught.value.__cause__.__traceback__)[-1].lineno == 9  # type: ignore[union-attr]


def test_a_marked_block_is_compiled_only(folder):
    mark = "<!-- not executed: needs a server -->\n"
    run_page("a.md", mark + "```python\nraise SystemExit\n```\n```text\nnothing\n```\n", folder)
    run_page("a.md", mark + "\n```bash\nthalweg no-such-command\n```\n", folder)
    with pytest.raises(SyntaxError):
        run_page("a.md", mark + "```python\nreturn in\n```\n", folder)
    with pytest.raises(AssertionError, match="SystemExit"):
        run_page("a.md", "<!-- not executed: -->\n```python\nraise SystemExit\n```\n", folder)


def test_commands_of_thalweg_run_and_others_do_not(folder, monkeypatch):
    (folder / "bin").mkdir()
    fake = folder / "bin" / "thalweg"
    fake.write_text('#!/bin/sh\n[ "$1" != bad ] && echo "$PLACE" "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    run_page("a.md", page(("bash", "make setup")), folder)
    run_page("a.md", page(("bash", "# first\nPLACE=here thalweg run \\\n    x"), ("text", "here run x")), folder)
    with pytest.raises(pytest.fail.Exception, match="shows"):
        run_page("a.md", page(("bash", "thalweg run x"), ("text", "run y")), folder)
    with pytest.raises(pytest.fail.Exception, match="exit status 1"):
        run_page("a.md", page(("bash", "thalweg bad\nthalweg run")), folder)
    with pytest.raises(pytest.fail.Exception, match="Split"):
        run_page("a.md", page(("bash", "make setup\nthalweg run")), folder)


def test_indented_and_longer_fences_are_read():
    text = "1. A step\n\n    ```python\n    x = 1\n    ```\n\n````markdown\n```python\nraise\n```\n````\n"
    assert [(block.language, block.code) for block in blocks_of(text)] == [
        ("python", "x = 1\n"),
        ("markdown", "```python\nraise\n```\n"),
    ]
