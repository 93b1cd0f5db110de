"""Write the figures of `benchmarks/results/*.json` into the table of README.md, between its two markers."""

import json
from pathlib import Path

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
ROOT = Path(__file__).resolve().parent.parent


def cell(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.3g} {unit}" if unit not in ("share",) else f"{value:.3g}"


rows = ["| question | figure | baseline | ratio | command |", "|---|---|---|---|---|"]
for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
    for one in json.loads(path.read_text())["figures"]:
        ratio = f"{one['ratio']:.3g} x" if one["ratio"] is not None else ""
        note = f" ({one['note']})" if one["note"] else ""
        rows.append(
            f"| {one['bench']}: {one['figure']}{note} | {cell(one['value'], one['unit'])} "
            f"| {cell(one['baseline'], one['unit'])} | {ratio} | `thalweg bench {one['bench']}` |"
        )
readme = ROOT / "README.md"
text = readme.read_text()
head, rest = text.split(BEGIN)
readme.write_text(f"{head}{BEGIN}\n" + "\n".join(rows) + f"\n{END}{rest.split(END)[1]}")
