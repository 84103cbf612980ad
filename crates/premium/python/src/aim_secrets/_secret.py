"""A secret in memory."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import TracebackType


class Secret:
    """The fields of one version of a secret. Prints as `[redacted]`; forgotten when its `with` block ends."""

    __slots__ = ("_fields", "expires_at", "kind", "path", "version")

    def __init__(
        self, path: str, version: int, kind: str, expires_at: datetime | None, fields: Iterable[tuple[str, str]]
    ) -> None:
        self.path = path
        self.version = version
        self.kind = kind
        self.expires_at = expires_at
        self._fields = {name: bytearray(value.encode()) for name, value in fields}

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(sorted(self._fields))

    def reveal(self, field: str | None = None) -> str:
        """The value of a field; without a name that of the only one, or of `value`.

        Raises:
            KeyError: naming the fields that there are.
        """
        if field is None:
            field = self.fields[0] if len(self._fields) == 1 else "value"
        if field not in self._fields:
            there = ", ".join(self.fields) or "none; it was forgotten"
            raise KeyError(f"{self.path} has no field {field}: {there}")
        return self._fields[field].decode()

    def forget(self) -> None:
        """Overwrites the values."""
        for value in self._fields.values():
            value[:] = bytes(len(value))
        self._fields.clear()

    def copy(self) -> Secret:
        """The same secret; forgetting one does not forget the other."""
        fields = ((name, value.decode()) for name, value in self._fields.items())
        return Secret(self.path, self.version, self.kind, self.expires_at, fields)

    def __enter__(self) -> Secret:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}=[redacted]" for name in self.fields)
        return f"Secret({self.path!r}, version={self.version}, {fields})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
