"""A function whose answers copy: the kind of text where guessing ahead pays.

thalweg inspect --forest forest.html --decoder rasd examples/guessing/copying.py:copy "The Rhine rises in the Alps."
"""

import thalweg as tw


@tw.learned(temperature=0.6, seed=5)
def copy(text: str) -> str:
    """Copy the sentences about cities and cargo from the text word by word."""
