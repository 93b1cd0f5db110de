"""`Router`: which replica a request goes to. The one that has seen its beginning, as long as load stays balanced.

Each replica has a prefix tree of what it was sent; a request goes where the longest beginning of it was answered,
unless that replica has more under way than the least loaded one and the bound allow; then to the least loaded. The
first request of a beginning goes alone, and those that share it wait for it: sent together they would all miss.

Sources: prefix-aware routers of Ray Serve and llm-d; step 8 is BatchLLM's on engines of others (Zheng et al. 2024).
Cost: about 20 microseconds a request and kilobyte of prompt. Not thread-safe: its owner locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.models.bounds import common
from thalweg.models.request import Request
from thalweg.scheduling.radix_tree import RadixTree

SHARED_FROM = 200  # bytes in common from which a beginning is worth going after
ROOM, FACTOR = 4, 1.5  # a replica may have FACTOR times the least load and ROOM under way
REMEMBERED = 2_000_000  # bytes of prompts a replica


@dataclass(eq=False)
class Routed:
    """A request on its way: where it goes, what it shares there, who waits for it."""

    text: list[int]
    replica: int = -1
    followers: list[Any] = field(default_factory=list)


class Router:
    """Places requests on `count` replicas.

    Args:
        capacity: requests a replica answers at once; up to so many it is not too busy, however idle others are.
    """

    def __init__(self, count: int, *, capacity: int = 0, affinity: bool = True, lead: bool = True) -> None:
        self.capacity, self.affinity, self.lead = capacity, affinity, lead
        self.load = [0] * count  # requests under way
        self._seen = [RadixTree() for _ in range(count)]
        self._first: list[list[Routed]] = [[] for _ in range(count)]  # not answered yet, of beginnings new there
        self._turn = 0

    def choose(self, text: list[int], able: Sequence[int]) -> int:
        """One of the `able` replicas for a prompt."""
        self._turn += 1
        least = min(self.load[one] for one in able)
        fair = [one for one in able if self.load[one] <= max(FACTOR * least + ROOM, 2 * self.capacity)]
        if self.affinity:
            shared = {one: self.shared(text, one) for one in fair}
            best = max(shared.values())
            if best >= SHARED_FROM:
                return min((one for one in fair if shared[one] == best), key=lambda one: self.load[one])
        idle = [one for one in able if self.load[one] == least]
        return idle[self._turn % len(idle)]

    def shared(self, text: list[int], replica: int) -> int:
        """Bytes of the prompt's beginning that were sent to a replica before."""
        waiting = max((common(one.text, text) for one in self._first[replica]), default=0)
        return max(waiting, self._seen[replica].match(text))

    def leader(self, text: list[int], replica: int) -> Routed | None:
        """The unanswered request of the same beginning that should come back first; None where nothing is gained."""
        if not self.lead:
            return None
        known = self._seen[replica].match(text)
        found = max(self._first[replica], key=lambda one: common(one.text, text), default=None)
        if found is None or common(found.text, text) < known + SHARED_FROM:
            return None
        return found

    def sent(self, routed: Routed, replica: int) -> None:
        routed.replica = replica
        self.load[replica] += 1
        if len(routed.text) - self._seen[replica].match(routed.text) >= SHARED_FROM:
            self._first[replica].append(routed)

    def ended(self, routed: Routed, *, answered: bool) -> list[Any]:
        """The request came back. Gives who waited for it."""
        replica = routed.replica
        self.load[replica] -= 1
        if routed in self._first[replica]:
            self._first[replica].remove(routed)
        if answered and routed.text:
            tree = self._seen[replica]
            tree.match(routed.text, touch=True)
            tree.insert(routed.text)
            if tree.tokens > REMEMBERED:
                tree.evict(REMEMBERED // 2)
        followers, routed.followers = routed.followers, []
        return followers

    def release(self) -> list[Any]:
        """Those who wait for a request under way, who wait for it no more."""
        waiting = [one for routed in self._first for first in routed for one in first.followers]
        for routed in self._first:
            for first in routed:
                first.followers = []
        return waiting

    def forget(self, replica: int) -> None:
        """A replica was restarted: its cache is empty."""
        self._seen[replica] = RadixTree()


def prompt_bytes(request: Request) -> list[int]:
    """The conversation as bytes, which stand for tokens here: what an engine caches is not known from outside."""
    text = "".join(f"\x1f{one.role}\x1f{one.content}" for one in request.messages)
    return list(f"{request.hint.partition}{text}".encode("utf-8", "surrogatepass"))
