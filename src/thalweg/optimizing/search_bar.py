"""The progress bar of a search: rows as they are scored, the best so far beside the program as it was, the time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from thalweg.optimizing.search import Search
from thalweg.program.budget import Budget


@contextmanager
def progress_bar(name: str, budget: Budget, wanted: bool | None) -> Iterator[Callable[[Search], None]]:
    """What to tell the search's state to, from any thread; silent where not wanted (default: no terminal)."""
    shown = wanted if wanted is not None else sys.stderr.isatty()
    if not shown:
        yield lambda search: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"optimize {name}", total=budget.evaluations, said="")
        yield lambda search: bar.update(task, completed=rows_done(search), said=state(search))


def rows_done(search: Search) -> int:
    """Evaluations so far, those under way included."""
    return search.spent.evaluations + (0 if search.finishing else search.under_way[0])


def state(search: Search) -> str:
    """How the search stands, in a line."""
    done, wanted = search.under_way
    what = "measuring" if search.finishing else f"candidate {len(search.trials)}"
    rows = f"{rows_done(search)} rows" + (f", {what}: {done}/{wanted}" if wanted else "")
    if not search.trials:
        return rows
    best = search.best
    return f"best {best.score:.3f} (trial {best.number}), as it was {search.trials[0].score:.3f}; {rows}"
