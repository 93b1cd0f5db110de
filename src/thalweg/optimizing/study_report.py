"""A study for people: as text, as a plot, as one HTML page with everything in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.optimizing.study import Study


def text(study: Study) -> str:
    """The report as plain text."""
    best, first = study.best_trial, study.baseline
    train, dev, test = study.sizes
    lines = [
        f"study {study.id}: `{study.space.name}` by {study.optimizer}" + (" (taken up again)" if study.resumed else ""),
        f"  examples     {train} train, {dev} dev, {test} test",
        f"  dev          {first.score:.3f} -> {study.on_dev()} (chosen by this score: it flatters)",
        f"  held out     {study.held_out if study.held_out else 'no test split was given'}",
        f"  trials       {len(study.trials)}, best is number {best.number}" + (f" ({best.note})" if best.note else ""),
        f"  used         {study.spent.evaluations} evaluations, {study.spent.calls} calls, {study.spent.tokens:,} "
        f"tokens, {study.spent.seconds:.0f} s; {study.saved} evaluations saved",
        f"  stopped by   {study.stop_reason}",
    ]
    lines += [f"  warning      {one}" for one in study.warnings]
    return "\n".join(lines)


def plot(study: Study, path: str | os.PathLike[str]) -> Path:
    raise NotImplementedError


def html(study: Study, path: str | os.PathLike[str]) -> Path:
    raise NotImplementedError
