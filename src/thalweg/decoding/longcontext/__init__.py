"""Long inputs: which tokens of a prompt are read, and which keys and values are kept.

- `GemFilter`: early layers choose the tokens, the whole model reads those alone; `.select` shows what it would read.
- `calibrate`: the layer and heads of a model that find planted facts, kept in the home folder.
- Rivals to compare with: `snapkv` and `h2o` (torch, in files of those names), `perplexity_pruning`.

To add a method: one file that turns a `Probed` or a prompt into indices of tokens. May import `models` and the
`decoding` room.
"""

from thalweg.decoding.longcontext.calibrate import Calibration, calibrate
from thalweg.decoding.longcontext.gemfilter import Found, GemFilter, Selection
from thalweg.decoding.longcontext.layout import Span

__all__ = ["Calibration", "Found", "GemFilter", "Selection", "Span", "calibrate"]
