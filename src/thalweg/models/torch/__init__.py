"""The torch engine: a lean decoder of our own behind the `Scorer` protocol.

- `TorchLM`: the scorer: trees in one pass under a mask, soft tokens, hidden states, probing; CPU or CUDA.
- `Decoder`: the network as a function with gradients: `forward(tokens)` for training; weights stay frozen.
- `Config`, `load_weights`, `random_weights`: shapes and tensors from GGUF, safetensors, or nothing.
- `Adapter`: trainable low-rank additions to any linear layer, by name; `TorchLM.adapted`, `Decoder.adapted` use it.

Choose it for gradients, adapters, wide trees and GPUs; llama.cpp is faster at plain decoding on a CPU.
"""

from thalweg.models.torch.adapters import Adapter
from thalweg.models.torch.config import Config
from thalweg.models.torch.decoder import Decoder
from thalweg.models.torch.scorer import TorchLM
from thalweg.models.torch.weights import Weights, load_weights, random_weights

__all__ = ["Adapter", "Config", "Decoder", "TorchLM", "Weights", "load_weights", "random_weights"]
