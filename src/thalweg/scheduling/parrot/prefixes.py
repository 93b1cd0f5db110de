"""Which fixed beginnings many requests share, whoever sends them: counted by hash, never compared token by token.

Fixed text that begins more than three requests is *promoted*: it becomes a `Request.prefix`, which the engine tokenises
once and the `parrot` policy keeps on the worker that holds it. Buckets of the first 40 characters keep the memory
bounded: the bucket longest unused goes first, with all that was counted in it.

Source: Lin et al. 2024, "Parrot" (the bound and the bucket key are those of its published code). Cost: one hash of the
text and two look-ups a request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import blake2b

PROMOTED_BEYOND = 3  # requests
KEY = 40  # characters


class Prefixes:
    """Counts of fixed beginnings, for one server or engine.

    Args:
        beyond: requests after which a beginning is promoted.
        most: buckets that are remembered; at most as many beginnings are remembered in each.
    """

    def __init__(self, *, beyond: int = PROMOTED_BEYOND, most: int = 512) -> None:
        self.beyond, self.most = beyond, most
        self._buckets: OrderedDict[str, OrderedDict[bytes, int]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, text: str) -> bool:
        """Count a request that begins with the fixed text; whether that text is promoted now."""
        if not text:
            return False
        key, digest = text[:KEY], blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            bucket = self._buckets.setdefault(key, OrderedDict())
            self._buckets.move_to_end(key)
            bucket[digest] = bucket.get(digest, 0) + 1
            bucket.move_to_end(digest)
            for kept in (self._buckets, bucket):
                if len(kept) > self.most:
                    kept.popitem(last=False)
            return bucket[digest] > self.beyond

    def seen(self, text: str) -> int:
        """Requests counted that begin with the text."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            return self._buckets.get(text[:KEY], {}).get(digest, 0)

    @property
    def promoted(self) -> int:
        """How many beginnings are promoted."""
        with self._lock:
            return sum(count > self.beyond for bucket in self._buckets.values() for count in bucket.values())
