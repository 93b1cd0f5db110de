"""``torch:NAME``, ``torch:PATH.gguf``, ``torch:FOLDER`` -> an open `TorchLM`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thalweg.errors import ModelError
from thalweg.models.catalog import locate
from thalweg.models.storage import digest_of


def open_model(spec: str, *, dtype: str = "float32", device: str = "cpu", **options: Any) -> Any:
    """A `TorchLM` over the weights behind `spec`; `options` are its ``streams``, ``context`` and ``threads``.

    Raises:
        ModelNotFound: no such model.
        ModelError: torch is not installed, cannot compute the model, or has no such device.
    """
    try:
        import torch
    except ImportError:
        raise ModelError(f"torch:{spec} needs torch.", "Run: pip install thalweg[torch]") from None
    from thalweg.models.torch.scorer import TorchLM
    from thalweg.models.torch.weights import load_weights

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"torch finds no device for {device!r}.", 'Choose device="cpu".')
    folder = Path(spec).expanduser()
    path = folder.absolute() if folder.is_dir() else locate(spec).path
    weights = load_weights(path, dtype=dtype, device=device)
    name = path.name if folder.is_dir() else locate(spec).name
    source = sorted(path.glob("*.safetensors"))[0] if folder.is_dir() else path
    identity = f"{name}:torch-{dtype}:{digest_of(source)}"
    return TorchLM(weights, name=f"torch:{name}", identity=identity, **options)
