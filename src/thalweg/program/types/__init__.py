"""Types in, types out: a Python annotation as the exact set of texts a model may write for it, and back.

`plan(annotation)` compiles a type once into a `TypePlan`: the `Format` that constrains decoding, `encode` and `decode`
between values and texts, the JSON form, and a description for prompts. Every text of the format is finite and decodes
to a value that satisfies the type and its constraints. `render_value` and `jsonable` show any input object.

Adding a type form: one node class (`scalars.py`, `structures.py`, `records.py`), one line in `reading.py`.
"""

from .plan import TypePlan, plan
from .rendering import jsonable, render_value

__all__ = ["TypePlan", "jsonable", "plan", "render_value"]
