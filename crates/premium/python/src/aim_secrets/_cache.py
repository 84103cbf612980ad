"""Secrets kept in memory for a while, as long as the server says nothing against it. The rules are those of the Rust client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from ._secret import Secret

Key = tuple[str, int | None]


@dataclass(frozen=True)
class CacheLimits:
    """How much is kept, and for how long."""

    entries: int = 256
    """The most secrets; the oldest goes first."""
    age: float = 300.0
    """The longest that one is kept, in seconds, whatever is heard."""
    unheard: float = 30.0
    """How long one is handed out after the server was last heard, or the secret was read."""


class Cache:
    """What is kept. Every method may be called from any thread."""

    def __init__(self, limits: CacheLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Key, tuple[Secret, float]] = {}
        self._heard: float | None = None
        self._epoch = 0

    def _is_good(self, secret: Secret, read_at: float) -> bool:
        now = self._clock()
        last = read_at if self._heard is None else max(read_at, self._heard)
        ended = secret.expires_at is not None and secret.expires_at <= datetime.now(timezone.utc)
        return not ended and now - read_at < self._limits.age and now - last < self._limits.unheard

    def get(self, key: Key) -> tuple[Secret | None, int]:
        """A copy of what is kept, if it is good, and the epoch."""
        with self._lock:
            self._sweep()
            entry = self._kept.get(key)
            return (entry[0].copy() if entry else None), self._epoch

    def keep(self, key: Key, secret: Secret, epoch: int, read_at: float) -> None:
        """Keeps a copy, unless something was dropped since `epoch`."""
        with self._lock:
            if epoch != self._epoch or self._limits.entries < 1:
                return
            if key not in self._kept and len(self._kept) >= self._limits.entries:
                oldest = min(self._kept, key=lambda kept: self._kept[kept][1])
                self._kept.pop(oldest)[0].forget()
            before = self._kept.pop(key, None)
            if before:
                before[0].forget()
            self._kept[key] = (secret.copy(), read_at)

    def forget(self, path: str) -> None:
        """Drops a secret."""
        with self._lock:
            self._epoch += 1
            for key in [key for key in self._kept if key[0] == path]:
                self._kept.pop(key)[0].forget()

    def clear(self) -> None:
        """Drops everything."""
        with self._lock:
            self._epoch += 1
            for secret, _ in self._kept.values():
                secret.forget()
            self._kept.clear()

    def hear(self) -> None:
        """The server was heard, and what it said has taken effect."""
        with self._lock:
            self._heard = self._clock()

    def sweep(self) -> None:
        """Overwrites what may not be handed out any more."""
        with self._lock:
            self._sweep()

    def _sweep(self) -> None:
        over = [key for key, (secret, read_at) in self._kept.items() if not self._is_good(secret, read_at)]
        for key in over:
            self._kept.pop(key)[0].forget()

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)
