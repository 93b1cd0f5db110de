"""`complete`: continue a file of a workspace, writing after every dereference only members that are there.

The model reads the text in front of the cursor as it is, as a base model does, without a chat template. All samples
are submitted at once, so they share their prompt and their turns. See `Monitor` for the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from thalweg.code.members import Members
from thalweg.code.until import Until
from thalweg.code.workspace import Workspace
from thalweg.decoding.constraints.monitor import Monitor, MonitorUsage
from thalweg.errors import DataError, UnsupportedByBackend
from thalweg.models.chat import escape_special
from thalweg.models.request import Format, Message, Request, Sampling, Usage

RESERVE = 24  # tokens on top of `max_tokens` for a name that is under way to be ended


@dataclass(frozen=True)
class Completion:
    """A continuation: `text` without its stop, its `logprob` among what was allowed, and what it took.

    `finish` is ``complete`` (the model or a stop ended it) or ``closed`` (`max_tokens` did). `monitor` is None where
    none was asked for.
    """

    text: str
    logprob: float
    finish: Literal["complete", "closed"]
    monitor: MonitorUsage | None
    usage: Usage


def complete(
    workspace: Workspace,
    path: str | Path,
    offset: int | None = None,
    *,
    text: str | None = None,
    context: str = "",
    model: Any = None,
    max_tokens: int = 64,
    prompt_tokens: int | None = None,
    stop: Sequence[str] = (),
    temperature: float = 0.2,
    top_p: float = 1.0,
    n: int = 1,
    seed: int = 0,
    monitor: bool = True,
    timeout: float | None = None,
    on_failure: Literal["unconstrained", "error"] = "unconstrained",
) -> list[Completion]:
    """`n` continuations of a file at `offset`.

    Args:
        workspace: the code around the file.
        path: the file, from the workspace's root. It need not exist if `text` is given.
        offset: characters in front of the cursor; the end of the text if None.
        text: what the file holds now, if it is not saved.
        context: put in front of what the model reads (not of what the analyser sees): snippets that were retrieved.
        model: a name, a path or a loaded local model; that of the session if None.
        max_tokens: most tokens of a continuation; a name that is begun is ended with some more.
        prompt_tokens: most tokens of the prompt, whose beginning is left out; what the model holds if None.
        stop: texts that end a continuation.
        temperature, top_p, seed: how tokens are drawn; sample i takes ``seed + i``.
        monitor: False writes freely.
        timeout: seconds a question to the analyser may hold decoding up; the workspace's own if None.
        on_failure: what a crash or a hang of the analyser means, see `Monitor`.

    Raises:
        DataError: there is nothing in front of the cursor, or the arguments contradict each other.
        UnsupportedByBackend: the model does not mask tokens here (a remote one).
        AnalyserError: the analyser failed, and ``on_failure="error"``.
    """
    if n < 1 or max_tokens < 1 or any(not one for one in stop):
        raise DataError("`n` and `max_tokens` are at least 1, and no stop is empty.", "Change the arguments.")
    whole = workspace.text(path) if text is None else text
    offset = len(whole) if offset is None else offset
    before, rest = whole[:offset], whole[offset:]
    if not 0 < offset <= len(whole):
        raise DataError(
            f"The offset {offset} has no text of {str(path)!r} in front of it.", f"Give one between 1 and {len(whole)}."
        )
    engine = engine_of(model)
    holds = engine.capabilities.context - max_tokens - RESERVE - 8
    prompt = fit(context, before, engine.tokenizer, holds if prompt_tokens is None else min(holds, prompt_tokens))
    members = Members(workspace, path, rest=rest) if monitor else None
    submitted = []
    for i in range(n):
        watch = None
        if members is not None:
            seconds = workspace.timeout if timeout is None else timeout
            watch = Monitor(members, engine.tokenizer, before=before, timeout=seconds, on_failure=on_failure)
        until = Until(stop, engine.tokenizer, watch)
        request = Request(
            (Message("user", prompt),),
            Format("regex", pattern=r"(?s:.*)"),
            Sampling(temperature, top_p, seed=seed + i, max_tokens=max_tokens + RESERVE),
            suffix=prompt,
            reserve=RESERVE,
        )
        submitted.append((engine.submit(request, None, constraint=until), until, watch))
    completions = []
    for future, until, watch in submitted:
        answer = future.result()
        usage = watch.usage if watch is not None else None
        completions.append(Completion(until.cut(answer.text), answer.logprob, answer.finish, usage, answer.usage))
    return completions


def engine_of(model: Any) -> Any:
    """The engine of a model named, loaded, or in force."""
    from thalweg.program.session import current, model_in_force, settings

    engine = model_in_force(current() if model is None else settings(model=model))
    if engine.capabilities.constraints != "exact":
        raise UnsupportedByBackend(
            f"{engine.name} does not mask tokens here.", "Use a local model, or complete without a monitor by a server."
        )
    return engine


def fit(context: str, before: str, tokenizer: Any, tokens: int) -> str:
    """What the model reads: `context`, and of the text before the cursor the lines that fit into `tokens` with it."""
    special = tokenizer.control_texts
    context, before = escape_special(context, special), escape_special(before, special)
    room = tokens - len(tokenizer.encode(context))
    if room <= 0:
        raise DataError("The context leaves no room for the text before the cursor.", "Shorten `context`.")
    while (count := len(tokenizer.encode(before))) > room:
        cut = before[max(1, int(len(before) * (1 - room / count))) :]
        line = cut.find("\n") + 1
        before = cut[line:] if 0 < line < len(cut) else cut
    return context + before
