"""The command line: `thalweg run | serve | ask | ...`; `runs | resume | ...` for durable runs.

Each command is a file of its own, imported when it is used, so that `thalweg --help` answers at once. Commands print
results to standard output and everything else to standard error; errors of the library end with exit status 1 and
their remedy, interruptions with 130.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

_COMMANDS = {
    "run": "map a program over a table",
    "serve": "programs and a model over HTTP",
    "ask": "call one function or ask one question",
    "optimize": "search for a better program by labelled examples",
    "compare": "two programs on the same rows: which one is better, and is it chance",
    "runs": "list durable runs",
    "resume": "go on with a durable run",
    "questions": "what waits for a person",
    "answer": "answer what a run asks",
    "events": "what happened in a durable run, and what happens",
    "inspect": "show the exact prompt and constraint, or what a run recorded",
    "models": "list models and prepare them for this machine",
    "bench": "measure a method beside its baseline",
    "doctor": "what is installed, what is in force, what is slow and why",
}
_FILES: dict[str, str] = dict.fromkeys(["resume", "questions", "answer", "events"], "runs")  # which share a file


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"thalweg.cli.{_FILES.get(cmd_name, cmd_name)}")
        return getattr(module, "command", None) or getattr(module, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="thalweg")
def cli() -> None:
    """Programs whose steps are learned."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `thalweg` command."""
    from thalweg.errors import Error

    try:
        result: Any = cli.main(args=arguments, prog_name="thalweg", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except Error as error:
        click.echo(f"thalweg: {type(error).__name__}: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(note, err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("thalweg: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
