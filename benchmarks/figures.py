"""Write the figures of `benchmarks/results/*.json`: the headline of each bench into README.md, all of them into
docs/figures.md."""

import json
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
ROOT = Path(__file__).resolve().parent.parent

# Figures that answer a bench's question, by their names' beginnings; a bench that is not here shows its first figure.
HEADLINES = {
    "decoding.asap": ("arithmetic: KL from the truth after 200", "json enum: KL from the truth after 200"),
    "decoding.lmql": ("odd one out: billed", "ReAct: billed", "constraints broken"),
    "decoding.monitor": ("invented, member exists: monitor", "real code, "),
    "decoding.constraints": ("rows/s",),
    "decoding.lookahead": ("lookahead, pass 3: seconds", "lookahead, incompressible: seconds"),
    "decoding.matrix": ("tree: answers", "torch: answers"),
    "decoding.prompt_lookup": ("answers that differ", "prompt lookup, against"),
    "distribution": ("largest difference",),
    "optimizing.claps": ("4 kinds", "2 kinds", "concentration", "4 classes", "2 classes"),
    "optimizing.critique": ("solved", "right ranked above wrong"),
    "optimizing.dspy": ("",),
    "optimizing.hashing": ("register programs: evaluations", "NAS", "prompts"),
    "optimizing.i3c": ("school problems: distractors among", "verdicts"),
    "optimizing.resume": ("",),
    "optimizing.tasks": ("mail: held", "genus: held", "word: held"),
    "scheduling.analysis": ("",),
    "scheduling.batch": (
        "documents x questions: seconds",
        "answers of 4 and 128 tokens, a worker a core: sec",
        "requests per second",
        "planning 100,000",
    ),
    "overhead": ("microseconds per call", "import thalweg"),
    "program.compile": ("fan-out: seconds", "compile a flow"),
    "program.durable": ("results as undisturbed (s", "writes done twice (s", "resume a run"),
    "program.labels": ("attacks: escapes", "mixed: label below the join of all"),
    "program.semantic": ("calls per equality", "contract kept on mail"),
    "quality": ("accuracy, constrained", "accuracy, distribution"),
    "resume": ("output identical", "finished calls"),
    "table": ("rows per second",),
    "torch.decoder": ("decode",),
}

TABLE = ["| question | figure | baseline | ratio | command |", "|---|---|---|---|---|"]


def cell(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.3g} {unit}" if unit not in ("share",) else f"{value:.3g}"


SHORT = 110  # characters of a note in the README


def row(one: dict[str, Any], *, short: bool = False) -> str:
    ratio = f"{one['ratio']:.3g} x" if one["ratio"] is not None else ""
    said = one["note"]
    if short and len(said) > SHORT:
        said = said[:SHORT].rpartition(" ")[0].rstrip(",;") + " ..."
    note = f" ({said})" if said else ""
    return (
        f"| {one['bench']}: {one['figure']}{note} | {cell(one['value'], one['unit'])} "
        f"| {cell(one['baseline'], one['unit'])} | {ratio} | `thalweg bench {one['bench']}` |"
    )


headlines, page = list(TABLE), ["# Figures", "", "All figures of the last committed runs, each with its baseline, "
    "measured side by side in one run. `thalweg bench NAME` measures them again.", ""]  # fmt: skip
for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
    result = json.loads(path.read_text())
    figures, machine = result["figures"], result["machine"]
    wanted = HEADLINES.get(result["name"], ())
    chosen = [one for one in figures if one["figure"].startswith(tuple(wanted))] if wanted else []
    headlines += [row(one, short=True) for one in chosen or figures[:1]]
    page += [f"## {result['name']}", "", f"{result['date'][:10]}, {machine['cpu']}, {machine['cores']} cores.", ""]
    page += [*TABLE, *map(row, figures), ""]
readme = ROOT / "README.md"
text = readme.read_text()
head, rest = text.split(BEGIN)
readme.write_text(f"{head}{BEGIN}\n" + "\n".join(headlines) + f"\n{END}{rest.split(END)[1]}")
(ROOT / "docs" / "figures.md").write_text("\n".join(page))
