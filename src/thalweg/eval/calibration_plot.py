"""A reliability diagram: is a stated confidence of 0.8 right eight times in ten?

Above, the share of right answers in each bin of confidence (bars) against the diagonal of perfect calibration; below,
how many rows each bin holds. Choose it to see where `expected_calibration_error` comes from. Bins with few rows jump:
their Wilson intervals are drawn as whiskers. Source: A. Niculescu-Mizil, R. Caruana (2005), Predicting good
probabilities with supervised learning. Cost: about a second, most of it for matplotlib, imported only here.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import DataError
from thalweg.eval.metrics import expected_calibration_error, reliability_bins
from thalweg.program.intervals import wilson_interval


def calibration_plot(
    confidence: ArrayLike, correct: ArrayLike, path: str | PathLike[str], *, title: str, bins: int = 10
) -> Path:
    """Draw the diagram into a PNG file of 960 x 1120 pixels and return its path. Missing folders are made.

    Args:
        confidence: [rows], probabilities in [0, 1].
        correct: [rows], booleans (or 0 and 1).
        path: where to write; must end in `.png`.
        title: one line above the diagram.
        bins: how many equal widths of confidence.

    Raises:
        DataError: as `reliability_bins`; a path that does not end in `.png` or cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise DataError(f"{str(target)!r} is not a PNG file's name.", "Let the path end in `.png`.")
    parts = reliability_bins(confidence, correct, bins)
    error = expected_calibration_error(confidence, correct, bins)
    rows = sum(part.count for part in parts)

    # The figure is made without pyplot, so no global state and no window system is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(6, 7), layout="constrained")
    FigureCanvasAgg(drawing)
    above, below = drawing.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})

    width = 1 / bins
    centers = [(part.low + part.high) / 2 for part in parts]
    filled = [(center, part) for center, part in zip(centers, parts, strict=True) if part.count]
    at = [center for center, _ in filled]
    shares = np.array([part.accuracy for _, part in filled])  # [filled bins]
    bounds = [wilson_interval(round((part.accuracy or 0) * part.count), part.count) for _, part in filled]
    low, high = np.array(bounds).T
    above.bar(at, shares, width * 0.94, color="#2a7f8e", label=f"right answers (ECE {error:.3f}, n = {rows:,})")
    above.errorbar(
        at,
        shares,
        [shares - low, high - shares],
        fmt="none",
        ecolor="#12343b",
        elinewidth=1,
        capsize=3,
        label="95 % interval",
    )
    means = [part.confidence for _, part in filled]
    above.plot(means, shares, "o", color="#d9822b", markersize=5, label="mean confidence of the bin")
    above.plot([0, 1], [0, 1], "--", color="#555555", linewidth=1, label="perfect calibration")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers", title=title)
    above.grid(axis="y", color="#dddddd", linewidth=0.6)
    above.set_axisbelow(True)
    above.legend(loc="upper left", fontsize=9, framealpha=0.92)

    below.bar(centers, [part.count for part in parts], width * 0.94, color="#9aa7ab")
    below.set(xlabel="confidence", ylabel="rows")
    below.set_xticks([tick / 10 for tick in range(0, 11, 2)])
    below.grid(axis="y", color="#dddddd", linewidth=0.6)
    below.set_axisbelow(True)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(target, format="png", dpi=160)
    except OSError as failure:
        raise DataError(f"{str(target)!r} cannot be written: {failure}.", "Choose another path.") from failure
    return target
