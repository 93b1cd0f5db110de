"""One self-contained HTML page for people: parts of a report as text that nothing can break out of.

Choose it for reports that are sent around: no script, nothing is fetched, light and dark, readable on paper. Whatever
is put into `Markup` by `tag` or `table` is escaped unless it is `Markup` already. Cost: string joins.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import SearchError

STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --dim: #5c6577; --line: #d9dee7; --ground: #ffffff; --card: #f5f7fa;
  --good: #0a6b52; --bad: #a8400a; --blue: #0b62a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #9aa4b5; --line: #333b4a; --ground: #14171d;
  --card: #1d222b; --good: #56c8a4; --bad: #f0945a; --blue: #6cb6ee; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 64rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.25rem 0 .6rem; }
h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; } p { margin: .4rem 0; max-width: 46rem; }
.dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); }
code, pre { font: 13px/1.45 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem; margin: .3rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre .good, pre .bad { display: inline-block; width: 100%; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.card span { color: var(--dim); font-size: .85rem; }
.note { border-left: 3px solid var(--bad); background: var(--card); padding: .5rem .9rem; margin: .5rem 0; }
.wide { overflow-x: auto; } .plot, .plot img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 600; white-space: nowrap; overflow-wrap: normal; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td { background: var(--card); font-weight: 600; }
.turn { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .45rem .8rem; }
.turn > span { color: var(--dim); font-size: .78rem; text-transform: uppercase; letter-spacing: .05em; }
.turn pre { border: 0; background: none; padding: 0; margin: .1rem 0 0; max-height: 13rem; overflow-y: auto; }
details > summary { cursor: pointer; color: var(--blue); margin: .4rem 0; }
@media print { body { max-width: none; } .turn pre { max-height: none; } details > * { display: block; } }
"""


class Markup(str):
    """Text that is HTML already."""


def escaped(value: Any) -> Markup:
    """A value as text of a page. Characters that a page cannot hold are shown as U+FFFD."""
    if isinstance(value, Markup):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    shown = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
    return Markup(html.escape(shown))


def tag(name: str, *parts: Any, **attributes: str) -> Markup:
    """An element: ``tag("p", text, class_="dim")``."""
    said = "".join(f' {key.rstrip("_")}="{escaped(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{said}>{''.join(map(escaped, parts))}</{name}>")


def joined(parts: Iterable[Any]) -> Markup:
    return Markup("".join(map(escaped, parts)))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Iterable[int] = (), best: int | None = None
          ) -> Markup:  # fmt: skip
    """A table. `numbers`: columns set to the right. `best`: the row that stands out."""
    right = set(numbers)

    def cells(name: str, row: Sequence[Any]) -> Markup:
        return joined(
            tag(name, one, class_="number") if index in right else tag(name, one) for index, one in enumerate(row)
        )

    body = joined(
        tag("tr", cells("td", row), class_="best") if index == best else tag("tr", cells("td", row))
        for index, row in enumerate(rows)
    )
    made = tag("table", tag("thead", tag("tr", cells("th", head))), tag("tbody", body))
    return tag("div", made, class_="wide")


def card(value: Any, said: Any) -> Markup:
    """A figure with what it is."""
    return tag("div", tag("b", value), tag("span", said), class_="card")


def write_page(path: str | os.PathLike[str], title: str, parts: Iterable[Any]) -> Path:
    """Write the page, atomically. Raises `SearchError` where it cannot be written."""
    head = joined([
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title), Markup(f"<style>{STYLE}</style>"),
    ])  # fmt: skip
    text = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{joined(parts)}\n</body></html>\n'
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        raise SearchError(f"{target} cannot be written ({error.strerror}).", "Choose a writable path.") from error
    return target
