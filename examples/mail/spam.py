"""Spam or ham, asked plainly: what `thalweg optimize` starts from.

Asked like this the packaged 135M model does no better than a coin (see `triage.py`, whose question was chosen by hand);
an optimizer looks for a better question and for worked examples on the splits that `mail.parquet` has.

thalweg optimize examples/mail/spam.py:spam --train examples/mail/mail.parquet --split split --strategy labeled \
    --budget 10min --save best.json --report report.html
"""

from typing import Literal

import thalweg as tw


@tw.learned
def spam(mail: str) -> Literal["spam", "ham"]:
    """Decide whether this e-mail is spam (unwanted advertising) or ham (anything else)."""
