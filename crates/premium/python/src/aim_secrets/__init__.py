"""Reads secrets of an AIM vault as an agent: signed, sealed to the reader, kept nowhere but in memory."""

from ._cache import CacheLimits
from ._client import AimSecrets
from ._errors import (
    AimError,
    Denied,
    NotFound,
    Pending,
    Refused,
    Unopened,
    Unreachable,
    VaultSealed,
)
from ._identity import AgentKey
from ._secret import Secret

__all__ = [
    "AgentKey",
    "AimError",
    "AimSecrets",
    "CacheLimits",
    "Denied",
    "NotFound",
    "Pending",
    "Refused",
    "Secret",
    "Unopened",
    "Unreachable",
    "VaultSealed",
]
