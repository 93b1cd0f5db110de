"""Time estimates for a plan, from what `thalweg models prepare` measured on this machine."""

from __future__ import annotations

OUTPUT_TOKENS = 16  # sampled tokens a call, where nothing better is known


def estimate(model: str, prompt_tokens: float, calls: float) -> float:
    """Seconds for computing so many prompt tokens and answering so many calls; nan when nothing was measured."""
    from thalweg.errors import Error
    from thalweg.models.catalog import locate
    from thalweg.models.prepare import _note
    from thalweg.models.storage import read_json

    try:
        measured = read_json(_note(locate(model))).get("measured", [])
    except Error:  # not a local model
        return float("nan")
    for row in measured:
        decode = [rate for name, rate in row.items() if name.startswith("decode")]
        if row.get("chosen") and decode:
            return prompt_tokens / row["prefill"] + calls * OUTPUT_TOKENS / max(decode)
    return float("nan")
