"""A picture of an analysis: one reading against another, the Pareto set joined and named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.program.analysis.analyze import Analysis

LABELS = {"cost": "cost", "error": "expected error", "seconds": "seconds", "calls": "calls", "prompt": "prompt tokens",
          "output": "output tokens"}  # fmt: skip


def plot(analysis: Analysis, path: Path, x: str, y: str) -> Path:
    """Write the picture to `path` and give it back."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    best = analysis.pareto(x, y)
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    axes.scatter(
        [getattr(one, x) for one in analysis.rows], [getattr(one, y) for one in analysis.rows], color="#9ab8b0", s=26,
        label="settings",
    )  # fmt: skip
    axes.plot(
        [getattr(one, x) for one in best], [getattr(one, y) for one in best], "o-", color="#0b6e63", label="Pareto set"
    )
    for one in best:
        named = one.setting if len(analysis.parallelism) == 1 else one.setting | {"at once": one.parallelism}
        said = ", ".join(f"{name}={value}" for name, value in named.items())
        axes.annotate(said, (getattr(one, x), getattr(one, y)), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set_xlabel(LABELS.get(x, x))
    axes.set_ylabel(LABELS.get(y, y))
    axes.set_title(f"{analysis.program}: {LABELS.get(y, y)} against {LABELS.get(x, x)}", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return path
