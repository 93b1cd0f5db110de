"""A study for people: as text, as a plot, as one HTML page with everything in it.

The score on held-out examples comes first, beside that of the program as it was; the score on dev, by which the best
was chosen, is always called flattering. The page shows the best program as the model sees it, what changed, every
trial, and rows that are still wrong. Cost: the text nothing, the page about two seconds, most of it for the plots.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import SearchError
from thalweg.optimizing.report_page import Markup, card, escaped, joined, table, tag, write_page
from thalweg.program import Learned
from thalweg.program.state import parameters_from
from thalweg.program.strategy import Direct, is_procedure
from thalweg.program.types import render_value

if TYPE_CHECKING:
    from thalweg.optimizing.study import Study
    from thalweg.optimizing.trial import Trial

SHOWN_TRIALS, BEST_TRIALS, WRONG_ROWS = 25, 10, 20


def text(study: Study) -> str:
    """The report as plain text."""
    best, first = study.best_trial, study.baseline
    train, dev, test = study.sizes
    none = "no test split was given, so nothing tells how good it is on other examples"
    lines = [
        f"study {study.id}: `{study.space.name}` by {study.optimizer}" + (" (taken up again)" if study.resumed else ""),
        f"  held out     {study.held_out or none}",
        f"  dev          {first.score:.3f} -> {study.on_dev()} (chosen by this score: it flatters)",
        f"  examples     {train} train, {dev} dev, {test} test",
        f"  trials       {len(study.trials)}, best is number {best.number}" + (f" ({best.note})" if best.note else ""),
    ]
    lines += [f"  changed      {path}: {was} -> {now}" for path, was, now in _changes(study)]
    if first.evaluation.tokens and best is not first:
        lines.append(f"  cost         {first.evaluation.tokens:.0f} -> {best.evaluation.tokens:.0f} tokens an example")
    if best.evaluation.failed:
        lines.append(f"  failed       {best.evaluation.failed} of {len(best.evaluation.rows)} dev rows of the best")
    lines += [
        f"  used         {study.spent.evaluations} evaluations, {study.spent.calls} calls, {study.spent.tokens:,} "
        f"tokens, {study.spent.seconds:.0f} s; {study.saved} evaluations saved",
        f"  stopped by   {study.stop_reason}",
    ]
    lines += [f"  warning      {one}" for one in study.warnings]
    return "\n".join(lines)


def plot(study: Study, path: str | os.PathLike[str]) -> Path:
    """Draw the study into a PNG file; see `study_plot.py`. Raises `SearchError` where it cannot be written."""
    from thalweg.optimizing.study_plot import png

    target = Path(path)
    if target.suffix.lower() != ".png":
        raise SearchError(f"{str(target)!r} is not a PNG file's name.", "Let the path end in `.png`.")
    try:
        target.write_bytes(png(study))
    except OSError as error:
        raise SearchError(f"{target} cannot be written ({error.strerror}).", "Choose a writable path.") from error
    return target


def html(study: Study, path: str | os.PathLike[str]) -> Path:
    """Write the report as one self-contained page. Raises `SearchError` where it cannot be written."""
    title = f"{study.space.name} by {study.optimizer}"
    return write_page(path, title, [
        tag("h1", title), tag("p", f"study {study.id}", " (taken up again)" if study.resumed else "", class_="dim"),
        _summary(study), *(tag("p", one, class_="note") for one in study.warnings),
        tag("h2", "How the search went"), _picture(study),
        tag("h2", "The best program"), *_program(study),
        tag("h2", "Trials"), _trials(study),
        tag("h2", "Dev rows that the best still gets wrong"), _wrong(study),
    ])  # fmt: skip


# -- parts of the page --------------------------------------------------------------------------------------------


def _summary(study: Study) -> Markup:
    best, first, spent = study.best_trial, study.baseline, study.spent
    train, dev, test = study.sizes
    cards = []
    if study.held_out is not None:
        found = study.held_out
        before, after, difference = found.before, found.after, found.difference
        cards += [
            card(f"{before.mean:.3f}", f"held out, as it was [{before.low:.3f}, {before.high:.3f}]"),
            card(f"{after.mean:.3f}", f"held out, best [{after.low:.3f}, {after.high:.3f}]"),
            card(f"{difference.mean:+.3f}", f"difference [{difference.low:+.3f}, {difference.high:+.3f}]"),
            card(f"{found.won} / {found.lost}", f"rows won / lost of {before.n}"),
        ]
        if found.significant:
            better = difference.mean > 0
            said = tag("span", f"The best program is {'better' if better else 'worse'} than the program as it was",
                       class_="good" if better else "bad")  # fmt: skip
        else:
            said = escaped("The difference is no more than chance")
        verdict = joined([tag("b", said), " on examples that the search never saw (95 % intervals over examples, ",
                          "paired bootstrap)."])  # fmt: skip
    else:
        verdict = joined([
            tag("b", "No test split was given"),
            ": the scores below chose the program, so they flatter; how good it is on other examples is not known.",
        ])  # fmt: skip
    on_dev = study.on_dev()
    cards += [
        card(f"{first.score:.3f} → {on_dev.mean:.3f}", f"dev [{on_dev.low:.3f}, {on_dev.high:.3f}]: flatters"),
        card(f"{first.evaluation.tokens:.0f} → {best.evaluation.tokens:.0f}", "tokens an example"),
        card(f"{spent.evaluations:,}", f"evaluations, {study.saved} more saved"),
        card(f"{spent.calls:,}", f"calls, {spent.tokens:,} tokens, {spent.seconds:.0f} s"),
    ]
    note = f"{train} train, {dev} dev, {test} test examples; {len(study.trials)} trials, best is number {best.number}; "
    return joined([
        tag("p", verdict), tag("div", *cards, class_="cards"),
        tag("p", note, f"stopped by: {study.stop_reason}.", class_="dim"),
    ])  # fmt: skip


def _picture(study: Study) -> Markup:
    from thalweg.optimizing.study_plot import png

    light, dark = (f"data:image/png;base64,{base64.b64encode(png(study, dark=one)).decode()}" for one in (False, True))
    return Markup(
        f'<picture class="plot"><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" width="900" height="420" alt="Scores of all trials, of the best so far, and held out">'
        "</picture>"
    )


def _program(study: Study) -> Iterator[Markup]:
    changes = _changes(study)
    if not changes:
        yield tag("p", "Nothing was better than the program as it was.")
    else:
        yield table(["choice", "was", "is"], changes)
    best, state = study.best, study.best.state()
    functions = {best.name: best} if isinstance(best, Learned) else best.learned()
    for path, one in functions.items():
        was, now = (_instruction(study, trial, path) for trial in (study.baseline, study.best_trial))
        if was is not None and now is not None and was != now:
            yield tag("h3", f"Instruction of {path}, what changed")
            yield _difference(was, now)
        yield tag("h3", f"{path}, as the model sees it")
        yield from _conversation(path, one, state)


def _conversation(path: str, function: Any, state: dict[str, Any]) -> Iterator[Markup]:
    own = {key: value for key, value in state.items() if key.rpartition("/")[0] == path}
    parameters = parameters_from(path, function.signature, function.parameters, own)
    strategy: Any = function.own.strategy
    if strategy is not None and is_procedure(strategy):
        yield tag("p", f"The strategy {strategy.name} asks several questions; this is the plain one.", class_="dim")
    asked: Any = strategy if hasattr(strategy, "messages") else Direct()
    shown = {one.name: f"‹{one.name}›" for one in function.signature.inputs}
    for message in asked.messages(function.signature, parameters, shown):
        yield tag("div", tag("span", message.role), tag("pre", message.content), class_="turn")


def _trials(study: Study) -> Markup:
    best, cheap = study.best_trial, {one.number for one in study.pareto}
    rows = [
        [
            one.number, f"{one.score:.3f}", f"{one.evaluation.tokens:.0f}" + (" ◆" if one.number in cheap else ""),
            one.evaluation.failed or "", "" if one.parent is None else one.parent, one.by, _note(one),
        ]
        for one in study.trials
    ]  # fmt: skip
    place = next(index for index, one in enumerate(study.trials) if one is best)
    head = ["trial", "dev", "tokens", "failed", "from", "by", "what was tried"]
    whole = table(head, rows, numbers=range(5), best=place)
    told = tag("p", "tokens: of prompt and answer, an example. ◆ no trial is both better and cheaper.", class_="dim")
    if len(rows) <= SHOWN_TRIALS:
        return joined([whole, told])
    order = sorted(range(len(rows)), key=lambda index: -study.trials[index].score)[:BEST_TRIALS]
    top = table(head, [rows[index] for index in order], numbers=range(5), best=order.index(place))
    return joined([top, told, tag("details", tag("summary", f"All {len(rows)} trials"), whole)])


def _note(trial: Trial) -> Any:
    if trial.evaluation.error:
        return joined([trial.note, " ", tag("span", f"could not run: {trial.evaluation.error}", class_="bad")])
    return trial.note + (f" (behaves like {trial.same_as})" if trial.same_as is not None else "")


def _wrong(study: Study) -> Markup:
    found = study.best_trial.evaluation
    if not found.examples:
        return tag("p", "This study was read from a file, which has the scores of the rows only.", class_="dim")
    order = sorted(range(len(found.rows)), key=lambda index: (found.rows[index].score, index))
    wrong = [index for index in order if found.rows[index].score < 1 or found.rows[index].error]
    if not wrong:
        return tag("p", "None.")
    signature = study.program.signature.parameters
    inputs = set(getattr(signature, "parameters", signature))
    rows = []
    for index in wrong[:WRONG_ROWS]:
        example, row = found.examples[index], found.rows[index]
        columns = "\n".join(f"{name}: {render_value(value)}" for name, value in example.row.items() if name in inputs)
        answer = tag("span", row.error, class_="bad") if row.error else escaped(_short(_plain(row.output)))
        rows.append([
            example.number, f"{row.score:.2f}", _short(columns), _short(_plain(example.label)), answer,
            _short("" if row.error else row.feedback),
        ])  # fmt: skip
    left = len(wrong) - len(rows)
    made = table(["row", "score", "inputs", "right", "answer", "feedback"], rows, numbers=(0, 1))
    return joined([made, tag("p", f"and {left} more", class_="dim")]) if left else made


# -- what changed ---------------------------------------------------------------------------------------------------


def _changes(study: Study) -> list[tuple[str, str, str]]:
    """Choices of the best program that are not as they were: (path, was, is), shortened."""
    before, after = study.baseline.genome.values, study.best_trial.genome.values
    found = []
    for path in dict.fromkeys([*before, *after]):  # an optimizer may open choices of its own
        was, now = before.get(path), after.get(path)
        if was == now:
            continue
        if path.endswith("/demonstrations"):
            found.append((path, _counted(was), _counted(now)))
        else:
            found.append((path, _short(_plain(was), 60), _short(_plain(now), 60)))
    return found


def _counted(demonstrations: Any) -> str:
    return "none of its own" if demonstrations is None else f"{len(demonstrations)} demonstrations"


def _instruction(study: Study, trial: Trial, path: str) -> str | None:
    value = trial.genome.values.get(f"{path}/instruction")
    return value if isinstance(value, str) else None


def _difference(was: str, now: str) -> Markup:
    lines = []
    for line in difflib.ndiff(was.splitlines(), now.splitlines()):
        if line.startswith("?"):
            continue
        kind = {"+": "good", "-": "bad"}.get(line[0])
        lines.append(tag("span", line, class_=kind) if kind else escaped(f"{line}\n"))
    return tag("pre", *lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=render_value)


def _short(text: str, most: int = 400) -> str:
    text = " ".join(text.split()) if most < 100 else text
    return text if len(text) <= most else text[: most - 3] + "..."
