"""`--evaluate LABEL`: compare an output column with the truth; accuracy, per class, calibration plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from thalweg.errors import DataError
from thalweg.program.tables import open_table


def check(job: Any, spec: str) -> None:
    """Find out before the run whether its output will have the columns to compare. Raises `DataError`."""
    label, _, column = spec.partition("=")
    names = job.output_names()
    if label not in names:
        raise DataError(
            f"The output will have no column {label!r} to evaluate against; it has: {', '.join(names)}.",
            "Name a label column of the input, and keep it (--keep).",
            column=label,
        )
    column = column or _decision(names, label)
    if column not in names:
        raise DataError(
            f"The output will have no column {column!r}; it has: {', '.join(names)}.", "Write --evaluate LABEL=COLUMN."
        )


def evaluate(output: Path, spec: str) -> None:
    """Print the report for a finished output table and write ``<output>.calibration.png``."""
    from thalweg.eval import calibration_plot, evaluation_report

    label, _, column = spec.partition("=")
    table = open_table(output)
    if label not in table.columns:
        raise DataError(
            f"{output} has no column {label!r} to evaluate against; it has: {', '.join(table.columns)}.",
            "Name a label column of the input, and keep it (--keep).",
            column=label,
        )
    column = column or _decision(table.columns, label)
    if column not in table.columns:
        raise DataError(
            f"{output} has no column {column!r}; it has: {', '.join(table.columns)}.",
            "Write --evaluate LABEL=COLUMN.",
            column=column,
        )
    expected: list[str] = []
    got: list[str] = []
    confidence: list[float] = []
    skipped = 0
    for row in table:
        values = row.values or {}
        if values.get("_error") or values.get(column) is None:
            skipped += 1
            continue
        expected.append(str(values[label]))
        got.append(str(values[column]))
        confidence.append(float(values["_confidence"] or "nan"))
    if not expected:
        raise DataError(f"{output} has no row with a result to evaluate.", "Look at the column _error.")
    known = all(value == value for value in confidence)
    click.echo(f"\n{column} against {label}" + (f" ({skipped} rows without result left out)" if skipped else ""))
    click.echo(evaluation_report(expected, got, confidence if known else None).text())
    if known:
        target = output.with_name(output.name + ".calibration.png")
        correct = [a == b for a, b in zip(expected, got, strict=True)]
        calibration_plot(confidence, correct, target, title=f"{column} against {label}")
        click.echo(f"calibration plot  {target}")


def _decision(columns: tuple[str, ...], label: str) -> str:
    """The result column to compare: one named like the label behind a program's name, else the first result column."""
    for name in columns:
        if name != label and name.endswith(f"_{label}"):
            return name
    if "output" in columns:
        return "output"
    raise DataError(
        f"Which column answers {label!r} is not clear from the names: {', '.join(columns)}.",
        "Write --evaluate LABEL=COLUMN.",
    )
