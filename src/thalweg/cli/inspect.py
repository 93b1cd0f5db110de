"""`thalweg inspect`: the exact prompt and constraint of a function, or what a run recorded."""

from __future__ import annotations

import json
import time
from typing import Any

import click


@click.command("inspect")
@click.argument("target", required=False)
@click.argument("inputs", nargs=-1)
@click.option("--run", "run_id", help="A run's id: list its calls. 'last' for the newest.")
@click.option("--call", "path", help="With --run: one call in full, by its path.")
@click.option("--runs", is_flag=True, help="List the runs in the project's store.")
@click.option("--store", help="Folder of the store (default .thalweg).")
@click.option("--model", help="Model to render for.")
@click.option("--forest", type=click.Path(dir_okay=False), help="Draw how the answer was guessed ahead: .svg or .html.")
@click.option("--decoder", default="auto", show_default=True, help="With --forest: the drafter.")
@click.option("--size", type=click.IntRange(0), default=0, help="With --forest: guesses a pass (0: what pays).")
@click.option("--max-tokens", type=click.IntRange(1), default=96, show_default=True, help="With --forest.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Calls to list.")
def command(target: str | None, inputs: tuple[str, ...], run_id: str | None, path: str | None, **options: Any) -> None:
    """Show what the model sees for FILE.py:NAME and INPUTS, or look into recorded runs.

    \b
    thalweg inspect examples/mail/triage.py:judge "Subject: hello ..."
    thalweg inspect --forest forest.html --decoder lookahead notes.py:summary "The text ..."
    thalweg inspect --runs
    thalweg inspect --run last --call "row 0/triage#0/sort#0"
    """
    import thalweg as tw

    if target:
        from thalweg.cli.target import load_program
        from thalweg.program import Flow

        program = load_program(target)
        with tw.using(**({"model": options["model"]} if options["model"] else {})):
            if isinstance(program, Flow):
                click.echo(f"flow {program.name}; its learned functions (name one to see its prompt):")
                for state_path, one in program.learned().items():
                    click.echo(f"  {state_path}: {', '.join(field.name for field in one.signature.inputs)}")
                return
            if options["forest"]:
                _draw_forest(program, inputs, **options)
                return
            names = [field.name for field in program.signature.inputs]
            given = list(inputs) + [f"<{name}>" for name in names[len(inputs) :]]
            click.echo(str(program.render(*given)))
        return
    from thalweg.program.session import current, store_in_force

    with tw.using(**({"store": options["store"]} if options["store"] else {})):
        store = store_in_force(current())
    if options["runs"] or not run_id:
        for run, name, started, finished, status in store.runs():
            took = f"{finished - started:.1f} s" if finished else ""
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started))
            click.echo(f"{run:<28} {when}  {status:<9} {name:<20} {took}")
        return
    if run_id == "last":
        runs = store.runs()
        if not runs:
            raise click.UsageError("There is no run in this store yet.")
        run_id = str(runs[0][0])
    elif all(run != run_id for run, *_ in store.runs()):
        raise click.UsageError(f"There is no run {run_id!r} in this store. List them with --runs.")
    if path:
        call = store.call(run_id, path)
        if call is None:
            raise click.UsageError(f"Run {run_id} has no call {path!r}. List them with --run {run_id}.")
        _show(call)
        return
    if all(run_id != str(run[0]) for run in store.runs()):
        raise click.UsageError(f"There is no run {run_id!r} in this store. List them with --runs.")
    for call in store.calls(run_id, limit=options["limit"]):
        outcome = call.error or call.value or ""
        click.echo(f"{call.path:<40} {1000 * call.seconds:>8.1f} ms  {outcome[:90]}")


def _draw_forest(program: Any, inputs: tuple[str, ...], **options: Any) -> None:
    """Answer once with a drafter, and write what every pass guessed."""
    from pathlib import Path

    from thalweg.decoding.drafters import drafter_named, suited
    from thalweg.decoding.forest_view import to_html, to_svg, watch
    from thalweg.models import load

    place = Path(options["forest"])
    if place.suffix not in (".svg", ".html"):
        raise click.UsageError(f"--forest writes .svg or .html, not {place.name!r}.")
    if len(inputs) != len(program.signature.inputs):
        names = ", ".join(field.name for field in program.signature.inputs)
        raise click.UsageError(f"--forest answers the call, so it needs all inputs: {names}.")
    import thalweg as tw
    from thalweg.scheduling import Engine

    scorer = load(options["model"] or "tree:smollm2-135m")
    if getattr(scorer, "capabilities", None) is None or scorer.capabilities.speculation == "none":
        raise click.UsageError(f"{options['model']} cannot check guesses; use a local model such as tree:smollm2-135m.")
    engine = Engine(scorer, workers=1)
    name = suited(scorer) if options["decoder"] == "auto" else options["decoder"]
    try:
        with tw.using(model=engine, max_tokens=options["max_tokens"]):
            request = program.request(*inputs)
        watched = watch(request, engine.prompt_tokens(request), scorer, drafter_named(name), size=options["size"])
    finally:
        engine.close()
    place.write_text(to_svg(watched) if place.suffix == ".svg" else to_html(watched), encoding="utf-8")
    counts = watched.counts
    click.echo(watched.text)
    click.echo(
        f"{place}: {counts.tokens} tokens in {counts.passes} passes ({counts.mean_accepted:.2f} a pass), "
        f"{counts.accepted} of {counts.drafted} guesses accepted",
        err=True,
    )


def _show(call: Any) -> None:
    answer = json.loads(call.answer) if call.answer else {}
    usage = answer.get("usage", {})
    click.echo(f"path      {call.path}\nfunction  {call.function} ({call.kind})\nmodel     {call.model}")
    click.echo(f"inputs    {call.inputs}\nvalue     {call.value}\nerror     {call.error}\nkey       {call.key}")
    click.echo(
        f"seed      {call.seed}\nlogprob   {answer.get('logprob')}\nusage     {usage}\nseconds   {call.seconds:.4f}"
    )
    click.echo(f"tokens    {answer.get('tokens')}\n\n{call.prompt or ''}{answer.get('text', '')}")
