"""Time estimates for a plan, from what `thalweg models prepare` measured on this machine."""

from __future__ import annotations

from thalweg.errors import Error

OUTPUT_TOKENS = 16  # sampled tokens a call, where nothing better is known


def estimate(model: str, prompt_tokens: float, calls: float) -> float:
    """Seconds for computing so many prompt tokens and answering so many calls; nan when nothing was measured."""
    from thalweg.models.prepare import rates

    try:
        measured = rates(model)
    except Error:  # not a local model
        measured = None
    if measured is None:
        return float("nan")
    prefill, decode = measured
    return prompt_tokens / prefill + calls * OUTPUT_TOKENS / decode
