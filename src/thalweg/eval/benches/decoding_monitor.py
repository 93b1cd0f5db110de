"""Does a monitor make a model write members that exist? Invented packages, and real code; baselines: no monitor, and
retrieval in the prompt at equally many prompt tokens.

The packages (`invented_packages.py`) have names no model has seen, defined two files away from where they are used.
Four samples a point at temperature 0.2, to the end of the line; all methods in turns, point by point.
"""

from __future__ import annotations

import ast
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from thalweg.code import Completion, Members, Workspace, complete
from thalweg.code.complete import engine_of
from thalweg.decoding.constraints.monitor import Monitor, names_of
from thalweg.eval.benches.invented_packages import PACKAGES, Point, write_packages
from thalweg.eval.benchmark import Benchmark, Figure

NAME = "decoding.monitor"
PROMPT = 384  # tokens, of every method
SAMPLES = 4
TOGETHER = 4  # points at a time
METHODS = {  # monitor, retrieval
    "free": (False, False),
    "monitor": (True, False),
    "retrieval": (False, True),
    "monitor and retrieval": (True, True),
}
REAL = ("rich", "httpx", "click")
_WORD = re.compile(r"\w*")

Results = dict[str, list[list[Completion]]]


def benchmark(quick: bool) -> Benchmark:
    question = "Do the member accesses that a model writes exist, with and without a monitor?"
    return Benchmark(NAME, question, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    model = engine_of("smollm2-135m")
    samples = 2 if quick else SAMPLES
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        points = write_packages(root, PACKAGES)
        if quick:
            points = points[:: len(points) // 20][:20]
        with Workspace(root) as workspace:
            yield from _steps(model, workspace, points[0])
            made, seconds = _complete(model, workspace, points, METHODS, samples)
            yield from _invented(points, made, seconds)
            yield from _checked(root, points, made)
    yield from _real(model, 6 if quick else 40, samples)


def _complete(
    model: Any, workspace: Workspace, points: Sequence[Point], methods: Mapping[str, tuple[bool, bool]], samples: int
) -> tuple[Results, dict[str, float]]:
    """Completions of every point by every method, and the seconds of each."""
    made: Results = {method: [] for method in methods}
    seconds = dict.fromkeys(methods, 0.0)
    snippets = {id(point): _retrieved(workspace.root, point, model.tokenizer) for point in points}
    with ThreadPoolExecutor(TOGETHER) as pool:
        for first in range(0, len(points), TOGETHER):
            some = points[first : first + TOGETHER]
            # In turns from either end, as the second of two methods with the same prompt finds it in the cache.
            for method in list(methods)[:: 1 if first // TOGETHER % 2 else -1]:
                monitor, retrieval = methods[method]

                def one(point: Point, monitor: bool = monitor, retrieval: bool = retrieval) -> list[Completion]:
                    context = snippets[id(point)] if retrieval else ""
                    return complete(
                        workspace, point.path, text=point.text, context=context, model=model, max_tokens=24,
                        prompt_tokens=PROMPT, stop=["\n"], n=samples, monitor=monitor,
                    )  # fmt: skip

                started = time.perf_counter()
                made[method] += pool.map(one, some)
                seconds[method] += time.perf_counter() - started
    return made, seconds


# -- what was written -------------------------------------------------------------------------------------------------


def _first(completion: Completion) -> str:
    found = _WORD.match(completion.text)
    return found[0] if found else ""


def _share(points: Sequence[Point], made: list[list[Completion]], good: Callable[[Point, Completion], bool]) -> float:
    good_ones = [good(point, one) for point, some in zip(points, made, strict=True) for one in some]
    return sum(good_ones) / len(good_ones)


def _rates(points: Sequence[Point], made: Results, where: str) -> Iterator[Figure]:
    for name, good in (
        ("member exists", lambda point, one: _first(one) in point.members),
        ("next identifier matches", lambda point, one: _first(one) == point.truth),
    ):
        shares = {method: _share(points, some, good) for method, some in made.items()}
        for method, share in shares.items():
            if method != "free":
                note = f"baseline: {'retrieval' if method.endswith('and retrieval') else 'free'}"
                base = shares["retrieval" if method.endswith("and retrieval") else "free"]
                yield Figure(NAME, f"{where}, {name}: {method}", share, base, _ratio(share, base), "share",
                             sum(map(len, made[method])), note)  # fmt: skip


def _invented(points: Sequence[Point], made: Results, seconds: Mapping[str, float]) -> Iterator[Figure]:
    missing = [
        (point.path, one.text)
        for method in ("monitor", "monitor and retrieval")
        for point, some in zip(points, made[method], strict=True)
        for one in some
        if _first(one) not in point.members
    ]
    if missing:
        raise AssertionError(f"{len(missing)} names that do not exist were written under the monitor: {missing[:3]}")
    yield from _rates(points, made, "invented")
    tokens = {method: sum(one.usage.output_tokens for some in made[method] for one in some) for method in made}
    count = sum(map(len, made["free"]))
    prompts = {method: sum(one.usage.prompt_tokens for some in made[method] for one in some) / count for method in made}
    yield Figure(NAME, "prompt tokens: retrieval", prompts["retrieval"], prompts["free"], None, "tokens", len(points),
                 f"mean; at most {PROMPT}")  # fmt: skip
    watched = [one.monitor for some in made["monitor"] for one in some if one.monitor]
    rate = {method: seconds[method] / count for method in made}
    yield Figure(NAME, "seconds a completion", rate["monitor"], rate["free"], rate["free"] / rate["monitor"], "s",
                 count, f"{TOGETHER} points at a time, methods in turns")  # fmt: skip
    yield Figure(NAME, "held up by the analyser, a token", 1e3 * sum(one.waited for one in watched) / tokens["monitor"],
                 None, None, "ms", tokens["monitor"], f"{sum(one.queries for one in watched)} queries, "
                 f"{sum(one.masked_steps for one in watched)} masked steps")  # fmt: skip


def _ratio(value: float, base: float) -> float | None:
    return value / base if base else None


# -- checked ----------------------------------------------------------------------------------------------------------


def _checked(root: Path, points: Sequence[Point], made: Results) -> Iterator[Figure]:
    """Share of completed lines that a type checker finds nothing wrong with; the true lines must all pass."""
    if find_spec("basedpyright") is None:
        return
    cases: dict[tuple[int, str], Path] = {}
    for place, point in enumerate(points):
        texts = {one.text for some in made.values() for one in some[place]} | {point.truth + point.ends}
        for text in texts:
            path = root / point.package / f"case_{len(cases)}.py"
            path.write_text(f"{point.text}{text}\n")
            cases[place, text] = path
    (root / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "standard"}))
    run = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(root)],
        capture_output=True, text=True, timeout=900, cwd=root,
    )  # fmt: skip
    wrong: Counter[Path] = Counter()
    lines = {path: points[place].text.count("\n") for (place, _), path in cases.items()}
    for found in json.loads(run.stdout)["generalDiagnostics"]:
        path = Path(found["file"])
        if found["severity"] == "error" and path in lines and found["range"]["end"]["line"] >= lines[path]:
            wrong[path] += 1
    for place, point in enumerate(points):
        if wrong[cases[place, point.truth + point.ends]]:
            raise AssertionError(f"the checker refuses the true line of {point.path}: {point.truth}{point.ends}")
    clean = {
        method: sum(not wrong[cases[place, one.text]] for place, of in enumerate(some) for one in of)
        / sum(map(len, some))
        for method, some in made.items()
    }
    for method in clean:
        if method != "free":
            base = "retrieval" if method.endswith("and retrieval") else "free"
            yield Figure(NAME, f"invented, checker finds nothing: {method}", clean[method], clean[base],
                         _ratio(clean[method], clean[base]), "share", sum(map(len, made[method])),
                         f"basedpyright on the completed line; baseline: {base}")  # fmt: skip


# -- retrieval --------------------------------------------------------------------------------------------------------


def _retrieved(root: Path, point: Point, tokenizer: Any) -> str:
    """The blocks of the package's other files that share the rarest words with the last lines, in half of the prompt.

    A block is a function, or twelve lines of a class under its head.
    """
    blocks: list[str] = []
    for path in sorted((root / point.package).glob("*.py")):
        if not path.name.startswith(("work_", "case_")):
            for part in path.read_text().split("\n\n\n"):
                head, *lines = part.strip().splitlines()
                blocks += ["\n".join([head, *lines[at : at + 12]]) for at in range(0, max(1, len(lines)), 12)]
    words = [_words(block) for block in blocks]
    common = Counter(word for some in words for word in some)
    query = _words("\n".join(point.text.splitlines()[-4:]))
    score = [sum(math.log(len(blocks) / common[word]) for word in some & query) for some in words]
    taken = ""
    for place in sorted(range(len(blocks)), key=lambda place: -score[place]):
        if len(tokenizer.encode(longer := f"{taken}{blocks[place]}\n\n")) <= PROMPT // 2:
            taken = longer
    return taken


def _words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)}


# -- real code --------------------------------------------------------------------------------------------------------


def _real(model: Any, count: int, samples: int) -> Iterator[Figure]:
    """Attributes in installed packages' sources whose name jedi suggests from the text before them."""
    specs = [find_spec(package) for package in REAL]
    places = [Path(spec.origin).parent for spec in specs if spec and spec.origin]
    if not places:
        return
    with Workspace(places[0].parent) as workspace:
        points = list(_real_points(workspace, places, count))
        made, _ = _complete(model, workspace, points, {name: METHODS[name] for name in ("free", "monitor")}, samples)
    yield from _rates(points, made, "real code")


def _real_points(workspace: Workspace, places: Sequence[Path], count: int) -> Iterator[Point]:
    draw = random.Random(7)
    files = [path for place in places for path in sorted(place.rglob("*.py")) if 2_000 < path.stat().st_size < 16_000]
    draw.shuffle(files)
    found = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
        draw.shuffle(nodes)
        for node in nodes[:2]:
            line = text.splitlines(keepends=True)[(node.end_lineno or 1) - 1]
            before = "".join(text.splitlines(keepends=True)[: (node.end_lineno or 1) - 1])
            offset = len(before) + len(line.encode()[: node.end_col_offset].decode()) - len(node.attr)
            if text[offset - 1] != "." or not text.startswith(node.attr, offset):
                continue
            members = Members(workspace, path).suggest(text[:offset], "")
            if node.attr in members and len(members) > 2:
                place = path.relative_to(workspace.root)
                ends = text[offset + len(node.attr) :].partition("\n")[0]
                yield Point(place.parts[0], str(place), text[:offset], node.attr, members, ends)
                found += 1
                if found == count:
                    return


# -- what a step costs ------------------------------------------------------------------------------------------------


def _steps(model: Any, workspace: Workspace, point: Point) -> Iterator[Figure]:
    """Microseconds of one step, with the analyser's answer there: outside names, and in one."""
    members = Members(workspace, point.path)
    members.suggest(point.text, "")
    tokenizer = model.tokenizer
    names_of(tokenizer, members)
    free: list[float] = []
    masked: list[float] = []
    for _ in range(20):
        state = Monitor(members, tokenizer, before=point.text).start()
        state.allowed()  # waits for the answer
        state._monitor.names._masks.clear()
        for token in tokenizer.encode(point.truth):
            masked.append(_step(state, token))
        for token in tokenizer.encode("\n    return 1\n\n\ndef other(amount: int) -> int:\n    return amount + 3\n"):
            free.append(_step(state, token))
    for name, times, bar in (("outside names", free, 60.0), ("in a name", masked, 1000.0)):
        value = sorted(times)[len(times) // 2]
        yield Figure(NAME, f"a step {name}", value, bar, bar / value, "us", len(times),
                     f"median, largest {max(times):.0f}; baseline is the bar")  # fmt: skip


def _step(state: Any, token: int) -> float:
    started = time.perf_counter()
    state.allowed()
    state.advance(token)
    return 1e6 * (time.perf_counter() - started)
