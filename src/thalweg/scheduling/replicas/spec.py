"""``openai:MODEL@URL1,URL2,...``: the model spec that names several replicas."""

from __future__ import annotations

from thalweg.errors import ModelError


def replicas_of(spec: str) -> tuple[str, list[str]] | None:
    """The model and the base URLs of a spec with two or more of them; None where it is another kind of spec.

    Raises:
        ModelError: an address is missing, or given twice.
    """
    scheme, _, rest = spec.partition(":")
    model, at, addresses = rest.rpartition("@http")
    if scheme != "openai" or not at or "," not in addresses:
        return None
    urls = [url.strip().rstrip("/") for url in f"http{addresses}".split(",")]
    if not model or not all(url.startswith(("http://", "https://")) for url in urls):
        raise ModelError(f"{spec!r} lacks a model or an address.", "Write openai:MODEL@http://one/v1,http://two/v1.")
    if len(set(urls)) < len(urls):
        raise ModelError(f"{spec!r} names a replica twice.", "Name each once.")
    return model, urls
