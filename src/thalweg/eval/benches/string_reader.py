"""A small transformer that reads strings: it counts digits, finds a code, sorts digits; in the place of a model.

Its answers get worse with length, as a large model's do with length of another order, so that the ways in which errors
of parts make up the error of a whole can be measured here. It reads the last line of a request (``count: a1b2``,
``find: ab#482c``, ``sort: 3190``) and nothing else. Trained on strings of up to `LONGEST` characters.
"""

from __future__ import annotations

import random
import string
import threading
from concurrent.futures import Future
from pathlib import Path

import torch

from thalweg.eval.benches.small_transformer import Row, Shape, Transformer, fitted
from thalweg.models.request import Answer, Capabilities, Request, Usage

LONGEST = 40
TASKS = ("count", "find", "sort")
NONE = "none"
WORDS = ["pad", "end", *TASKS, NONE, "#", *string.digits, *string.ascii_lowercase]
IDS = {word: number for number, word in enumerate(WORDS)}


def random_text(dice: random.Random, length: int) -> str:
    return "".join(dice.choice(string.digits if dice.random() < 0.4 else string.ascii_lowercase) for _ in range(length))


def random_letters(dice: random.Random, length: int) -> str:
    return "".join(dice.choice(string.ascii_lowercase) for _ in range(length))


def random_digits(dice: random.Random, length: int) -> str:
    return "".join(dice.choice(string.digits) for _ in range(length))


def hidden(dice: random.Random, length: int) -> tuple[str, str]:
    """Letters with a code of three digits after ``#`` in them, and the code."""
    code = random_digits(dice, 3)
    at = dice.randrange(length - 3)
    letters = random_letters(dice, length - 4)
    return f"{letters[:at]}#{code}{letters[at:]}", code


def cut(dice: random.Random, length: int) -> str:
    """Letters with a part of a code at one end, as a chunk has it that cuts the code in two."""
    code, kept = f"#{random_digits(dice, 3)}", dice.randint(1, 3)
    letters = random_letters(dice, length - kept)
    return letters + code[:kept] if dice.random() < 0.5 else code[-kept:] + letters


def question(task: str, dice: random.Random, length: int) -> tuple[str, str]:
    """A string and the right answer."""
    if task == "count":
        text = random_text(dice, length)
        return text, str(sum(one.isdigit() for one in text))
    if task == "find":
        if length > 4 and dice.random() < 0.5:
            return hidden(dice, length)
        return random_letters(dice, length), NONE
    text = random_digits(dice, min(length, 20))
    return text, "".join(sorted(text))


def encoded(text: str) -> list[int]:
    return [IDS[text]] if text == NONE else [IDS[one] for one in text]


class Reader:
    """The trained reader, as a model that learned functions ask."""

    def __init__(self, transformer: Transformer, digest: str) -> None:
        self.transformer = transformer
        self.name = self.identity = f"string-reader:{digest}"
        self.capabilities = Capabilities(constraints="exact", logits="none", context=2 * LONGEST)
        self._lock = threading.Lock()

    def submit(self, request: Request) -> Future[Answer]:
        future: Future[Answer] = Future()
        try:
            task, _, text = request.messages[-1].content.partition(": ")
            read = [IDS[task], *encoded(text)]
            with self._lock:
                written = self._write(read)
            said = "".join(WORDS[one] for one in written)
            usage = Usage(prompt_tokens=len(read), output_tokens=len(written) + 1)
            future.set_result(Answer(said, tokens=tuple(written), usage=usage, model=self.identity))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing is held."""

    @torch.inference_mode()
    def _write(self, read: list[int]) -> list[int]:
        """Digits until the end, or `NONE`; as many as were read where digits are sorted."""
        digits = [IDS[one] for one in string.digits]
        written: list[int] = []
        most = {"count": 2, "find": 3, "sort": len(read) - 1}[WORDS[read[0]]]
        while len(written) < most:
            sorting = read[0] == IDS["sort"]
            allowed = list(digits)
            if not written and read[0] == IDS["find"]:
                allowed.append(IDS[NONE])
            if written and not sorting and read[0] == IDS["count"]:  # no number goes on after a zero
                allowed = [IDS["end"]] if written == [IDS["0"]] else [*allowed, IDS["end"]]
            logits = self.transformer(torch.tensor([[*read, *written]]))[0, -1][allowed]
            one = allowed[int(logits.argmax())]
            if one == IDS["end"]:
                break
            written.append(one)
            if one == IDS[NONE]:
                break
        return written


def trained(folder: Path, *, steps: int, seed: int = 0, rows: int = 128) -> Reader:
    """A reader; the weights of an equal earlier one are read back."""
    shape = Shape(len(WORDS), LONGEST * 2 + 4)

    def batch(dice: random.Random) -> list[Row]:
        made: list[Row] = []
        for number in range(rows):
            task = TASKS[number % 3]
            text, answer = question(task, dice, dice.randint(1, LONGEST))
            made.append(([IDS[task], *encoded(text)], [*encoded(answer), IDS["end"]]))
        return made

    transformer, digest = fitted(folder, shape, batch, f"strings {rows} {LONGEST}", steps=steps, seed=seed)
    return Reader(transformer, digest)
