"""No attempt to get out succeeds, in any back end that works here; each is judged by what happened outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks import ALONE, KERNEL
from world import World, world_in

from thalweg.program.sandbox import Sandbox

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="observed through Linux's /proc")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("attack", ALONE)
def test_attempt_fails(world: World, backend, attack: str) -> None:
    execution = Sandbox(via=backend, require="any").run(world.source(ALONE[attack]))
    assert not world.harm(execution.stdout + execution.stderr)


@pytest.mark.parametrize("attack", KERNEL)
def test_attempt_on_the_kernel_fails(world: World, strong_backend, attack: str) -> None:
    execution = Sandbox(via=strong_backend).run(world.source(KERNEL[attack]))
    assert not world.harm(execution.stdout + execution.stderr)


@pytest.mark.long
@pytest.mark.parametrize("attack", ALONE)
def test_the_same_attempt_without_a_sandbox_is_seen(world: World, attack: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", world.source(ALONE[attack])], cwd=folder, capture_output=True, text=True,
        close_fds=False, timeout=20,
    )  # fmt: skip
    if "PermissionError" in done.stdout:
        pytest.skip("this machine refuses it to everybody")
    assert world.harm(done.stdout + done.stderr)
