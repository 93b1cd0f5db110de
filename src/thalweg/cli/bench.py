"""`thalweg bench NAME`: measure a method beside its baseline, in one run, on this machine."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("bench")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of a table.")
@click.option("--save", type=click.Path(file_okay=False), help="Also write results to this folder.")
@click.option("--quick", is_flag=True, help="Fewer repetitions: to see that it works, not to quote.")
def command(name: str | None, as_json: bool, save: str | None, quick: bool) -> None:
    """Run the benchmark NAME, or `all`; without a name, list them."""
    from thalweg.eval import machine, write_results
    from thalweg.eval.benches import BENCHES, load

    if name is None:
        for key in BENCHES:
            click.echo(f"{key:<14} {load(key).question}")
        return
    if name != "all" and name not in BENCHES:
        raise click.UsageError(f"There is no benchmark {name!r}; there are: {', '.join(BENCHES)}.")
    for key in BENCHES if name == "all" else [name]:
        click.echo(f"{key}: {load(key).question}", err=True)
        figures = list(load(key, quick=quick).run())
        for figure in figures:
            if as_json:
                click.echo(figure.to_json_line())
            else:
                ratio = f"{figure.ratio:.3g} x" if figure.ratio is not None else ""
                beside = f"(baseline {figure.baseline:.5g})" if figure.baseline is not None else ""
                value = f"{figure.value:>10.5g} {figure.unit:<10}"
                click.echo(f"  {figure.figure:<44} {value} {beside:<24} {ratio:<10} {figure.note}")
        if save:
            write_results(Path(save), key, figures)
    if not as_json:
        facts = machine()
        click.echo(
            ", ".join(f"{key} {value}" for key, value in facts.items() if isinstance(value, str | int | float)),
            err=True,
        )
