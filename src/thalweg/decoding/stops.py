"""Stop texts: an answer of free text ends before the first of them, wherever tokens part.

Which one is first is decided by where it is complete, so what is cut depends on the text alone, not on its tokens; of
two that are complete at once the longer counts. Texts are compared as UTF-8, in which no character is part of another.
Cost: a search through the end of the text a token, nothing where there are no stop texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import TypeNotSupported
from thalweg.models.request import Format

# Free text that may begin with a space or a line break, or be empty: what continues a text instead of answering.
CONTINUATION = Format("regex", pattern=r"[^\x00-\x08\x0b-\x1f\x7f]*")


def stoppable(format: Format) -> bool:
    """Whether every beginning of a text of `format` is worth as much as the whole."""
    return format.kind == "text" or format == CONTINUATION


class Stops:
    """Texts that end an answer.

    Args:
        texts: of the request.
        pieces: the bytes of every token of the vocabulary.
    """

    def __init__(self, texts: Sequence[str], pieces: Sequence[bytes]) -> None:
        if not all(texts):
            raise TypeNotSupported("A stop text is empty, so every answer would end before it began.", "Leave it out.")
        self.phrases = tuple(text.encode() for text in texts)
        self.pieces = pieces
        self.longest = max(map(len, self.phrases))

    def cut(self, text: bytes | bytearray, seen: int = 0) -> int:
        """Where the answer ends in `text`, whose first `seen` bytes hold no stop text; -1 for not yet."""
        start = max(0, seen - self.longest + 1)
        found = [(at + len(one), at) for one in self.phrases if (at := text.find(one, start)) >= 0]
        return min(found)[1] if found else -1

    def settled(self, text: str) -> str:
        """What of a growing `text` is part of the answer whatever follows: less what may be a stop text's beginning."""
        data = text.encode()
        at = self.cut(data)
        if at < 0:
            at = len(data)
            for size in range(min(self.longest - 1, len(data)), 0, -1):
                if any(len(one) > size and data.endswith(one[:size]) for one in self.phrases):
                    at -= size
                    break
        return data[:at].decode()
