"""What plain Python code does to the world and to its arguments, found by reading it.

`why_impure` (effects.py): why calling something may have an effect. `reads_only` (sharing.py): whether a function
leaves an argument as it is and keeps nothing of it. `pure` promises what cannot be seen. Both err on the safe side, as
a flow that overlaps wrongly would be the worst of failures. Knows the library's own callables by their attributes only.
"""

from thalweg.program.purity.effects import pure, why_impure
from thalweg.program.purity.sharing import reads_only

__all__ = ["pure", "reads_only", "why_impure"]
