"""Why a secret was not handed over. No error holds a part of an answer that was sealed."""

from __future__ import annotations

from typing import Any


class AimError(Exception):
    """Whatever went wrong."""


class Unreachable(AimError):
    """The server did not answer, or the connection broke."""


class Refused(AimError):
    """The server refused; `problem` holds its problem details (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        said = problem.get("detail") or problem.get("title") or "no reason was given"
        super().__init__(f"{said} [{status} {problem.get('code', 'unknown')}]")

    @property
    def code(self) -> str:
        """The stable code of the refusal."""
        return str(self.problem.get("code", ""))


class NotFound(Refused):
    """The agent may read there, and nothing is there."""


class VaultSealed(Refused):
    """The server's vault is sealed; an operator has to unseal it."""


class _Decided(AimError):
    def __init__(self, path: str, decision: dict[str, Any], words: str) -> None:
        self.path = path
        self.decision = decision
        reasons = "; ".join(str(reason.get("message", "")) for reason in decision.get("reasons", []))
        super().__init__(f"{words} {path}: {reasons} (decision {decision.get('id')})")


class Denied(_Decided):
    """The agent may not read it."""

    def __init__(self, path: str, decision: dict[str, Any]) -> None:
        super().__init__(path, decision, "the agent may not read")


class Pending(_Decided):
    """A person decides first."""

    def __init__(self, path: str, decision: dict[str, Any]) -> None:
        super().__init__(path, decision, "a person has to approve the read of")


class Unopened(AimError):
    """The answer was not sealed to this request, or speaks of another secret."""
