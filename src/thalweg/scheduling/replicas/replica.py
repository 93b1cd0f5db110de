"""`Replica`: one server, what is known of it and what it has done; `judge`: which of them serve the model.

Not thread-safe: their owner locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from thalweg.models.remote import RemoteModel
from thalweg.models.request import Answer
from thalweg.scheduling.replicas.circuit import Circuit


@dataclass(frozen=True)
class ReplicaStatus:
    """What one replica has done, for people. `circuit` is closed, open, half-open, or refused (it is not asked)."""

    url: str
    circuit: str
    under_way: int
    answered: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    last_error: str


@dataclass(eq=False)
class Replica:
    """One server."""

    model: RemoteModel
    circuit: Circuit = field(default_factory=Circuit)
    answered: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    last_error: str = ""
    checked: bool = False  # that it serves the model; forgotten when it dies
    checking: bool = False
    refused: str = ""  # why it is not asked
    names: list[str] = field(default_factory=list)  # of the models it lists
    under_way: set[Future[Answer]] = field(default_factory=set)

    def status(self, load: int) -> ReplicaStatus:
        """For people; `load` is what it has under way."""
        return ReplicaStatus(
            self.model.url, "refused" if self.refused else self.circuit.state, load, self.answered, self.failed,
            self.prompt_tokens, self.cached_tokens, self.refused or self.last_error,
        )  # fmt: skip


def judge(replicas: Sequence[Replica], model: str, served: str) -> str:
    """Refuse the replicas that serve another model, by the names each lists.

    A server with a single model often takes any name for it; so if none lists the name asked for, all must call theirs
    as the first of them does.

    Args:
        model: the name asked for. served: what `judge` gave before, "" at first.

    Returns:
        The name under which the model is served.
    """
    listed = [one for one in replicas if one.names]
    if any(model in one.names for one in listed):
        served = model
    elif not served and listed and len(listed[0].names) == 1:
        served = listed[0].names[0]
    for one in listed:
        if (served or model) not in one.names:
            names = ", ".join(map(repr, one.names[:5]))
            one.refused = f"{one.model.url} serves {names}, not {served or model!r}."
    return served
