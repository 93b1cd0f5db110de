"""Prompting: how a call is asked.

Lives here: strategies that change what a learned function's model reads, not what the function takes or returns. Each
takes a learned function and gives a copy, so every verb (`map`, `sample`, `using`, ...) works as before.

- `ReadTwice`: the inputs are shown twice (JRT-Prompt).
- `ReRead`: one input, the question, is shown again (RE2).

To add a method: one file, one function from `Learned` to `Learned`. May import `program` and the rooms below it.
"""

from thalweg.prompting.read_twice import ReadTwice, ReRead

__all__ = ["ReRead", "ReadTwice"]
