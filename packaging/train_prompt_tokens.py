"""Make the prompt tokens that come with the library: texts of the model's own, training, accuracy, one small file.

    python packaging/train_prompt_tokens.py [--texts 240] [--out FILE] [--keep TEXTS.json]

About 25 minutes on two cores. Run from the repository: the prompts are made from its mail sample.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from thalweg.eval.benches.samples import mails
from thalweg.models import load
from thalweg.models.request import Format, Message, Request, Sampling

MODEL = "smollm2-135m"
TASKS = (
    "Summarise this e-mail:\n\n{}", "Write a polite reply to this e-mail:\n\n{}", "What is this e-mail about?\n\n{}",
    "List the main points of this e-mail:\n\n{}", "Explain the subject of this e-mail to a child:\n\n{}",
    "Write a short story that begins like this:\n\n{}",
)  # fmt: skip


def own_texts(count: int) -> list[list[int]]:
    """Prompts with the model's answers behind them, as token ids: half greedy, half drawn at temperature 0.7."""
    from thalweg.models.chat import render_chat
    from thalweg.scheduling import Engine

    engine = Engine(load(MODEL))
    try:
        futures = []
        for i, row in enumerate(mails("train")[:count]):
            text = TASKS[i % len(TASKS)].format(row["mail"][:240])
            rendered = render_chat([Message("user", text)], engine.tokenizer.chat_template, {})
            sampling = Sampling(temperature=0.7 * (i % 2), seed=i, max_tokens=110)
            request: Any = Request((Message("user", text),), Format("text", max_chars=600), sampling, "", rendered)
            futures.append(engine.submit(request))
        answers = [future.result() for future in futures]
    finally:
        engine.close()
    return [[*answer.prompt_tokens, *answer.tokens][-180:] for answer in answers]


@click.command()
@click.option("--texts", "count", default=240, show_default=True)
@click.option("--out", default=f"src/thalweg/decoding/drafters/data/{MODEL}.ppd.safetensors", show_default=True)
@click.option("--keep", type=click.Path(), help="Where the texts are kept between runs.")
@click.option("--epochs", default=1.0, show_default=True)
def main(count: int, out: str, keep: str | None, epochs: float) -> None:
    """Train and save."""
    from thalweg.training.prompt_tokens import accuracy, first_rows, train_prompt_tokens

    if keep and Path(keep).exists():
        texts = json.loads(Path(keep).read_text())
    else:
        texts = own_texts(count)
        if keep:
            Path(keep).write_text(json.dumps(texts))
    held, used = texts[::10], [text for i, text in enumerate(texts) if i % 10]
    lm = load(f"torch:{MODEL}", context=256, streams=1)
    started = time.time()

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 5 == 0 or step == steps:
            print(f"step {step}/{steps}  loss {loss:.3f}  {time.time() - started:.0f} s", file=sys.stderr, flush=True)

    trained = train_prompt_tokens(lm, used, epochs=epochs, progress=progress)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    trained.save(out)
    for name, rows in (("untrained", first_rows(lm, 3)), ("trained", trained.rows)):
        for one in accuracy(lm, held, rows):
            print(name, one)


if __name__ == "__main__":
    main()
