"""Eight flows to be killed at any moment, and the process that runs one: `python -m ...durable_flows FOLDER FLOW`.

Everything the process does to the world is a line in a file of FOLDER: `model.log` (a request, when its work begins),
`sent.log` (a write that must not happen twice) and `put.log` (a write that may). The model is a script with small
delays, so that moments of a kill are moments of a program and not of a model's arithmetic; `MODEL=real` takes the
packaged model. Nothing here is cached: what is not repeated is owed to the journal.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.models.request import Request
from thalweg.models.request_codec import request_key
from thalweg.models.scripted import ScriptedModel
from thalweg.program.human import Inbox, approve, ask
from thalweg.program.session import model_in_force, settings

Line = Annotated[str, Field(min_length=1, max_length=60)]
DELAY = 0.004  # seconds a request of the scripted model takes
FOLDER = Path(os.environ.get("DURABLE_FOLDER", "."))
IDENTITY = "scripted durable"

TEXTS = [f"Note {i}: the {('lamp', 'soap', 'tea', 'bread', 'chair')[i % 5]} of house {i} is {('old', 'new')[i % 2]}."
         for i in range(40)]  # fmt: skip


def script(request: Request) -> str:
    """The same answer for the same question in every process."""
    key = request_key(request, IDENTITY)
    append("model.log", key)
    time.sleep(DELAY)
    number = int(hashlib.blake2b(key.encode(), digest_size=4).hexdigest(), 16)
    if number % 2 and any("Take a risk" in message.content for message in request.messages):
        raise ModelError("The risk was too great.", "Try something else.")
    if request.format.choices:
        return request.format.choices[number % len(request.format.choices)]
    return f"about {number % 10**9}"


def append(name: str, line: str) -> None:
    """One line, whole or not at all."""
    fd = os.open(FOLDER / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


@tw.learned
def summarize(text: str) -> Line:
    """Say in a few words what the text is about."""
    ...


@tw.learned
def merge(first: str, second: str) -> Line:
    """Say in a few words what the two notes are about together."""
    ...


@tw.learned
def kind(text: str) -> Literal["question", "announcement", "advertisement"]:
    """What kind of note is it?"""
    ...


@tw.learned
def urgent(text: str) -> bool:
    """Does this note need an answer today?"""
    ...


@tw.learned
def next_step(notes: list[str]) -> Literal["search", "read", "write"]:
    """Choose the next step."""
    ...


@tw.learned
def risk(text: str) -> Line:
    """Take a risk."""
    ...


@tw.tool(effect="write", on_unknown="ask")
def send(to: str, body: str) -> None:
    append("sent.log", json.dumps([to, body]))
    time.sleep(DELAY)


@tw.tool(effect="write", idempotent=True)
def put(key: str, value: str) -> int:
    append("put.log", json.dumps([key, value]))
    return len(value)


@tw.tool(effect="read")
def lookup(word: str) -> list[str]:
    time.sleep(DELAY)
    return [text for text in TEXTS if word in text][:3]


@tw.flow
def fan_out(texts: list[str]) -> list[str]:
    return [summarize(text) for text in texts]


@tw.flow
def map_reduce(texts: list[str]) -> str:
    notes = [summarize(text) for text in texts]
    while len(notes) > 1:
        pairs = [merge(a, b) for a, b in zip(notes[::2], notes[1::2], strict=False)]
        notes = pairs + notes[len(pairs) * 2 :]
    put("digest", notes[0])
    return notes[0]


@tw.flow
def tree(texts: list[str]) -> str:
    if len(texts) == 1:
        return summarize(texts[0])
    middle = len(texts) // 2
    return merge(tree(texts[:middle]), tree(texts[middle:]))


@tw.flow
def enrich(text: str) -> dict[str, Any]:
    about = summarize(text)
    return {"about": about, "kind": kind(text), "pair": merge(about, text)}


@tw.flow
def pipeline(texts: list[str]) -> list[dict[str, Any]]:
    return [enrich(text) for text in texts]


@tw.flow
def handle(text: str) -> str:
    about = summarize(text)
    match kind(text):
        case "advertisement":
            return "bin"
        case "question" if urgent(text):
            send("desk", about)
            return f"now: {about}"
        case other:
            put(text, about)
            return f"{other}: {about}"


@tw.flow
def triage(texts: list[str]) -> list[str]:
    return [handle(text) for text in texts]


@tw.flow
def agent(texts: list[str]) -> list[str]:
    notes: list[str] = []
    for turn, word in enumerate(("lamp", "soap", "tea", "bread", "chair", "old", "new")):
        step = next_step(notes)
        for text in lookup(word):
            notes.append(summarize(text + f" ({step} {turn})"))
        if step != "read":
            send(word, notes[-1])
            notes.append(f"size {put(f'{word} {turn}', notes[0])}")
    return notes


@tw.flow
def cautious(texts: list[str]) -> list[str]:
    """Calls made ahead of a failure that is handled: what was recorded of them must go, whenever the kill comes."""
    found: list[str] = []
    for text in texts:
        try:
            found += [risk(text), summarize(f"{text} After the risk.")]
        except ModelError as error:
            found += [summarize(f"{text} {error.what}"), kind(text)]
            send("desk", found[-2])
    return found


@tw.flow
def signed(texts: list[str]) -> str:
    drafts = [summarize(text) for text in texts]
    best = ask("Which draft?", int, drafts)
    text = merge(drafts[best], drafts[0])
    if approve("Send it?", text):
        send("customer", text)
    return summarize(text)


FLOWS: dict[str, tuple[Any, int]] = {
    "fan_out": (fan_out, 24), "map_reduce": (map_reduce, 20), "tree": (tree, 20), "pipeline": (pipeline, 12),
    "triage": (triage, 16), "agent": (agent, 0), "cautious": (cautious, 12), "signed": (signed, 10),
}  # fmt: skip


def main(folder: str, name: str, how: str = "durable") -> None:
    """Run a flow and write its result. `how`: durable, or plain (no journal, from the beginning)."""
    global FOLDER
    FOLDER = Path(folder)
    flow, count = FLOWS[name]
    model: Any
    if os.environ.get("MODEL") == "real":
        model = model_in_force(settings(model="smollm2-135m"))
        submit = model.submit

        def logged(request: Request, *rest: Any) -> Any:
            append("model.log", request_key(request, model.identity))
            return submit(request, *rest)

        model.submit = logged
    else:
        model = ScriptedModel(script, name="durable", identity=IDENTITY, max_concurrency=4)
    tw.configure(model=model, store=FOLDER / "store", cache=False, human=Inbox())
    append("ready.log", str(os.getpid()))
    if how == "plain":
        with tw.using(journal=False, human=lambda question: "1" if question.text.startswith("Which") else True):
            result = flow(TEXTS[:count])
    else:
        result = flow.start(TEXTS[:count], id=name).result()
    part = FOLDER / f"result.{os.getpid()}"
    part.write_text(json.dumps(result))
    os.replace(part, FOLDER / "result.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
