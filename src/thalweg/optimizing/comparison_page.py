"""Two programs side by side as one HTML page: scores, test, and every row that one of them won."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.optimizing.report_page import card, escaped, table, tag, write_page
from thalweg.program.types import render_value

if TYPE_CHECKING:
    from thalweg.optimizing.comparison import Paired
    from thalweg.optimizing.study_journal import Row

MOST = 300  # rows of a table


def page_of(paired: Paired, path: str | os.PathLike[str]) -> Path:
    """Write the page and return its path."""
    found = paired.comparison
    first, second = paired.names
    difference = found.difference
    verdict = f"{paired.names[difference.mean > 0]} is better" if found.significant else "no more than chance"
    parts = [
        tag("h1", f"{first} and {second}"),
        tag("p", f"{paired.metric} on {len(paired.examples)} examples, the same for both", class_="dim"),
        tag(
            "div", card(f"{found.before.mean:.3f}", f"{first} [{found.before.low:.3f}, {found.before.high:.3f}]"),
            card(f"{found.after.mean:.3f}", f"{second} [{found.after.low:.3f}, {found.after.high:.3f}]"),
            card(f"{difference.mean:+.3f}", f"difference [{difference.low:+.3f}, {difference.high:+.3f}]"),
            card(f"{found.won} / {found.lost}", f"won / lost, sign test p = {found.p:.2g}"), class_="cards",
        ),
        tag("p", tag("b", verdict), " (95 % intervals over examples by bootstrap, paired)"),
    ]  # fmt: skip
    for title, indices in ((f"Rows that {second} won", paired.won), (f"Rows that {second} lost", paired.lost)):
        parts.append(tag("h2", f"{title} ({len(indices)})"))
        rows = [
            [
                paired.examples[index].number, _inputs(paired.examples[index]),
                _shown(paired.examples[index].label), *(_answer(rows[index]) for rows in paired.rows),
            ]
            for index in indices[:MOST]
        ]  # fmt: skip
        parts.append(
            table(["row", "columns", "right", first, second], rows, numbers=(0,)) if rows else tag("p", "none")
        )
        if len(indices) > MOST:
            parts.append(tag("p", f"and {len(indices) - MOST} more", class_="dim"))
    return write_page(path, f"{first} and {second}", parts)


def _inputs(example: Any) -> str:
    text = "\n".join(f"{name}: {render_value(value)}" for name, value in example.row.items())
    return text if len(text) <= 400 else text[:397] + "..."


def _answer(row: Row) -> Any:
    if row.error:
        return tag("span", row.error, class_="bad")
    return escaped(_shown(row.output))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=render_value)
    return text if len(text) <= 400 else text[:397] + "..."
