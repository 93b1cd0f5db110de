"""A study as a picture: how the search went, and what it gained on examples that it never saw.

On the left every trial is a dot, over the evaluations that were made until then; the lines are the best so far on dev
and the same candidates on train, so that a search which only learns its examples by heart is seen. On the right is the
program as it was beside the best one, on test. Colours are those of Okabe and Ito 2008, which the colour-blind can tell
apart. Cost: about a second, most of it for matplotlib, imported only here.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.optimizing.study import Study

DEV, TRAIN, DOTS, AFTER = "#0072B2", "#D55E00", "#8A8F98", "#009E73"
_INK = {False: ("#1d2433", "#ffffff", "#d9dee7"), True: ("#e6e9ef", "#14171d", "#333b4a")}
_BRIGHT = {DEV: "#56B4E9", TRAIN: "#E69F00", DOTS: "#8A8F98", AFTER: "#2FBF95"}  # on a dark ground
_NEAR = 0.03  # of the height: labels closer than this would overlap


def png(study: Study, *, dark: bool = False) -> bytes:
    """The picture as a PNG of 1800 x 840 pixels, made to be shown at 900."""
    # The figure is made without pyplot, so no global state and no window system is touched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink, ground, line = _INK[dark]
    figure = Figure(figsize=(9, 4.2), dpi=200, layout="constrained", facecolor=ground)
    FigureCanvasAgg(figure)
    if study.held_out is not None:
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [3.2, 1]})
        _draw_test(right, study, dark)
        axes = [left, right]
    else:
        axes = [left := figure.subplots()]
    _draw_search(left, study, dark)
    for one in axes:
        one.set_facecolor(ground)
        one.tick_params(colors=ink, labelsize=9)
        one.grid(axis="y", color=line, linewidth=0.7)
        one.set_axisbelow(True)
        for name, spine in one.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(line)
        one.xaxis.label.set_color(ink)
        one.yaxis.label.set_color(ink)
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=ground, metadata={"Software": None})
    return file.getvalue()


def _draw_search(axes: Any, study: Study, dark: bool) -> None:
    ink, ground, _ = _INK[dark]
    colour = _BRIGHT if dark else {one: one for one in _BRIGHT}
    at = {trial.number: max(1, trial.spent.evaluations) for trial in study.trials}
    scored = [trial for trial in study.trials if math.isfinite(trial.score)]
    ran = [one for one in scored if not one.evaluation.error]
    broken = [one for one in scored if one.evaluation.error]
    last = max([*at.values(), study.spent.evaluations, 1])
    axes.scatter([at[one.number] for one in ran], [one.score for one in ran], s=18, color=colour[DOTS], alpha=0.75,
                 linewidths=0, label="each trial, on dev", zorder=2)  # fmt: skip
    if broken:
        axes.scatter([at[one.number] for one in broken], [one.score for one in broken], s=22, marker="x",
                     color=colour[DOTS], linewidths=1, label="could not run", zorder=2)  # fmt: skip
    for index, (name, key, marker, dash) in enumerate(
        (("best so far, on dev", DEV, "o", "-"), ("the same, on train", TRAIN, "s", (0, (4, 2))))
    ):
        points = [(at.get(one[0], 1), one[1 + index]) for one in study.curve if math.isfinite(one[1 + index])]
        if not points:
            continue
        axes.step([*(x for x, _ in points), last], [*(y for _, y in points), points[-1][1]], where="post",
                  color=colour[key], linewidth=1.8, linestyle=dash, zorder=3 + index)  # fmt: skip
        axes.plot([x for x, _ in points], [y for _, y in points], linestyle="", marker=marker, markersize=5,
                  color=colour[key], markeredgecolor=ground, markeredgewidth=0.6, zorder=5 + index)  # fmt: skip
        axes.plot([], [], color=colour[key], linewidth=1.8, linestyle=dash, marker=marker, markersize=5, label=name)
    axes.set_title(f"{study.space.name}: {len(study.trials)} trials", fontsize=10.5, loc="left", color=ink)
    axes.set_xlabel("evaluations (one candidate on one example)", fontsize=9)
    axes.set_ylabel("mean score", fontsize=9)
    axes.set_xlim(0, last * 1.03)
    axes.set_ylim(*_limits(study))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.3), ncols=4, fontsize=8.5, frameon=False, labelcolor=ink,
                handletextpad=0.5, columnspacing=1.4)  # fmt: skip


def _draw_test(axes: Any, study: Study, dark: bool) -> None:
    ink, _, _ = _INK[dark]
    colour = _BRIGHT if dark else {one: one for one in _BRIGHT}
    found = study.held_out
    assert found is not None
    low, high = _limits(study)
    for place, (one, fill) in enumerate(((found.before, colour[DOTS]), (found.after, colour[AFTER]))):
        axes.bar(place, one.mean - low, bottom=low, width=0.62, color=fill, zorder=2)
        axes.errorbar(place, one.mean, [[max(0.0, one.mean - one.low)], [max(0.0, one.high - one.mean)]], ecolor=ink,
                      elinewidth=1.3, capsize=5, fmt="none", zorder=3)  # fmt: skip
        room = (high - low) * _NEAR
        axes.text(place, min(one.high, high - 2 * room) + room / 2, f"{one.mean:.3f}", ha="center", va="bottom",
                  fontsize=9.5, color=ink, fontweight="bold", zorder=4)  # fmt: skip
    axes.set_xticks([0, 1], ["as it was", "best"], fontsize=9)
    axes.set_xlim(-0.6, 1.6)
    axes.set_title(f"held out (n = {found.before.n})", fontsize=10.5, loc="left", color=ink)
    axes.set_xlabel(f"difference {found.difference.mean:+.3f}\n[{found.difference.low:+.3f}, "
                    f"{found.difference.high:+.3f}], 95 %", fontsize=8.5)  # fmt: skip


def _limits(study: Study) -> tuple[float, float]:
    """From 0 to 1 where all scores lie there, else what they need."""
    values = [one.score for one in study.trials] + [value for one in study.curve for value in one[1:]]
    if study.held_out is not None:
        values += [value for one in (study.held_out.before, study.held_out.after) for value in (one.low, one.high)]
    values = [one for one in values if math.isfinite(one)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low >= 0 and high <= 1:
        return 0.0, 1.08
    room = 0.08 * (high - low or 1.0)
    return min(0.0, low - room), high + room
