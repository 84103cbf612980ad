"""The agent's key, and requests signed with it (RFC 9421)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ._errors import AimError

DEFAULT_SERVER = "http://127.0.0.1:8700"


class AgentKey:
    """An agent: its name, id, server, and the private key by which it proves itself."""

    def __init__(self, name: str, agent_id: str, server: str, key: Ed25519PrivateKey) -> None:
        self.name = name
        self.agent_id = str(UUID(agent_id))
        self.server = server or DEFAULT_SERVER
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{base64url(raw)}"}}'
        self.fingerprint = base64url(hashlib.sha256(jwk.encode()).digest())

    @classmethod
    def load(cls, name: str, folder: Path | None = None) -> AgentKey:
        """Reads the key file of `name`, as `aim agent create` wrote it. Others may not read it.

        Raises:
            AimError: without a part of the file.
        """
        if folder is None:
            base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
            folder = Path(base) / "aim" / "agents"
        if not name or "/" in name or name.startswith("."):
            raise AimError(f"{name!r} is no name of an agent")
        path = folder / f"{name}.json"
        try:
            with path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise AimError(f"{path}: others can read this key; chmod 600 it, and rotate the key")
                stored = json.loads(file.read())
            key = load_pem_private_key(stored["private_key"].encode(), password=None)
            if not isinstance(key, Ed25519PrivateKey):
                raise AimError(f"{path}: this is no Ed25519 key")
            agent = cls(stored["name"], stored["agent_id"], stored["server"], key)
        except OSError as error:
            raise AimError(f"{path}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError, AttributeError):
            raise AimError(f"{path}: this is not an agent's key file") from None
        if agent.fingerprint != stored.get("fingerprint"):
            raise AimError(f"{path}: the fingerprint is not that of its key; the file was altered")
        return agent

    def signed(
        self, method: str, url: str, body: bytes, clock: Callable[[], float] = time.time
    ) -> dict[str, str]:
        """The headers that sign this request: method, authority, path, query and body, with a nonce of its own."""
        parts = urlsplit(url)
        covered = [("@method", method), ("@authority", _authority(url)), ("@path", parts.path or "/")]
        if parts.query:
            covered.append(("@query", f"?{parts.query}"))
        headers: dict[str, str] = {}
        if body:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            headers["Content-Digest"] = f"sha-256=:{digest}:"
            covered.append(("content-digest", headers["Content-Digest"]))
        names = " ".join(f'"{name}"' for name, _ in covered)
        nonce = secrets.token_urlsafe(16)
        parameters = f'({names});created={int(clock())};nonce="{nonce}";alg="ed25519";keyid="{self.fingerprint}"'
        lines = [f'"{name}": {value}' for name, value in covered]
        lines.append(f'"@signature-params": {parameters}')
        signature = base64.b64encode(self._key.sign("\n".join(lines).encode())).decode()
        headers["Signature-Input"] = f"aim={parameters}"
        headers["Signature"] = f"aim=:{signature}:"
        return headers

    def __repr__(self) -> str:
        return f"AgentKey(name={self.name!r}, agent_id={self.agent_id!r}, fingerprint={self.fingerprint!r})"

    def __reduce__(self) -> str:
        raise TypeError("an agent's key is not pickled")


def base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _authority(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in (None, standard) else f"{host}:{parts.port}"
