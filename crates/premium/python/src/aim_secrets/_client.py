"""The client: one agent, one server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ._cache import Cache, CacheLimits
from ._errors import AimError, Denied, NotFound, Pending, Refused, Unopened, Unreachable, VaultSealed
from ._identity import AgentKey, base64url, from_base64url
from ._secret import Secret

READS = "/api/v1/vault/reads"
CHANGES = "/api/v1/vault/changes"
LOOKUP = "/api/v1/vault/wrap/lookup"
UNWRAP = "/api/v1/vault/wrap/unwrap"
# DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM by their numbers at IANA.
ALGORITHMS = (32, 1, 2)
# The server sends a heartbeat every five seconds.
SILENCE = 15.0
FIRST_PAUSE = 0.5
LAST_PAUSE = 8.0


class AimSecrets:
    """Reads secrets as one agent. Use it in a `with` block, or call `close()`."""

    def __init__(
        self,
        agent: AgentKey,
        *,
        server: str | None = None,
        limits: CacheLimits | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._agent = agent
        self._server = (server or agent.server).rstrip("/")
        parts = urlsplit(self._server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise AimError(f"{self._server} is no address of a server: scheme, host and port")
        # A signature is for one address; what runs on this machine is not reached through a proxy.
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        self._http = httpx.Client(timeout=timeout, follow_redirects=False, trust_env=not local)
        self._cache = Cache(limits or CacheLimits())
        self._closed = threading.Event()
        self._listening: threading.Thread | None = None
        self._starting = threading.Lock()

    @classmethod
    def for_agent(
        cls, name: str, *, server: str | None = None, limits: CacheLimits | None = None, folder: Path | None = None
    ) -> AimSecrets:
        """For the agent whose key file `aim agent create` wrote."""
        return cls(AgentKey.load(name, folder), server=server, limits=limits)

    def get(self, path: str, version: int | None = None) -> Secret:
        """The secret, from memory if that is good, otherwise read.

        Raises:
            AimError: as `read`.
        """
        self._listen()
        key = (path, version)
        kept, epoch = self._cache.get(key)
        if kept is not None:
            return kept
        asked_at = time.monotonic()
        try:
            secret = self.read(path, version)
        except AimError:
            # What may not be read now is not kept from before.
            self._cache.forget(path)
            raise
        self._cache.keep(key, secret, epoch, asked_at)
        return secret

    def read(
        self,
        path: str,
        version: int | None = None,
        *,
        context: dict[str, Any] | None = None,
        decision_id: str | None = None,
    ) -> Secret:
        """Reads the secret: one signed action. `decision_id` takes up a read that a person has approved.

        Raises:
            Denied, Pending: with the decision.
            NotFound, VaultSealed, Refused, Unreachable, Unopened: see there.
        """
        key = X25519PrivateKey.generate()
        ask: dict[str, Any] = {"path": path, "seal_to": _public(key)}
        if version is not None:
            ask["version"] = version
        if context:
            ask["context"] = context
        if decision_id is not None:
            ask["decision_id"] = decision_id
        reply = self._send("POST", READS, ask)
        answer = _decided(reply, path)
        try:
            decision, secret, sealed = answer["decision"], answer["secret"], answer["sealed"]
            if secret["path"] != path or version not in (None, secret["version"]):
                raise Unopened(f"the answer for {path} speaks of another secret or version")
            if decision_id is not None and decision["id"] != decision_id:
                raise Unopened(f"the answer for {path} speaks of another decision")
            # The occasion as this side knows it: what was sealed for another one does not open.
            info = "\n".join(
                (
                    "AIM-SECRET-V1", str(UUID(secret["organization_id"])), self._agent.agent_id,
                    str(UUID(decision["id"])), path, str(int(secret["version"])),
                )
            )
            return _opened(key, info, sealed, path, int(secret["version"]), secret.get("expires_at"))
        except (KeyError, TypeError, ValueError):
            raise Unopened(f"the answer for {path} holds no sealed secret") from None

    def unwrap(self, token: str, *, expect_path: str) -> Secret:
        """Uses a wrap token, once, if it was made for `expect_path`.

        Raises:
            Unopened: for another path; then the token was not used.
            Refused: `secret.wrap_used` when somebody has used it.
        """
        found = _json(self._send("POST", LOOKUP, {"token": token}))
        if found.get("creation_path") != expect_path:
            raise Unopened(f"the token was not made for {expect_path}; it was not used")
        key = X25519PrivateKey.generate()
        answer = _json(self._send("POST", UNWRAP, {"token": token, "seal_to": _public(key)}))
        try:
            wrap = answer["wrap"]
            same = ("wrap_id", "organization_id", "creation_path", "version")
            if any(wrap[name] != found[name] for name in same):
                raise Unopened("the answer speaks of another token")
            info = "\n".join(
                (
                    "AIM-WRAP-V1", str(UUID(found["organization_id"])), str(UUID(found["wrap_id"])), expect_path,
                    str(int(found["version"])),
                )
            )
            return _opened(key, info, answer["sealed"], expect_path, int(found["version"]), None)
        except (KeyError, TypeError, ValueError):
            raise Unopened("the answer holds no sealed secret") from None

    def forget(self, path: str) -> None:
        """Forgets a secret: what an API that refuses it calls for."""
        self._cache.forget(path)

    def close(self) -> None:
        """Forgets everything, and ends the connections."""
        self._closed.set()
        self._cache.clear()
        self._http.close()

    def __enter__(self) -> AimSecrets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AimSecrets({self._agent!r}, server={self._server!r}, kept={len(self._cache)})"

    def _send(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        content = json.dumps(body).encode()
        url = self._server + path
        headers = self._agent.signed(method, url, content) | {"Content-Type": "application/json"}
        try:
            return self._http.request(method, url, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(f"the server {self._server} did not answer: {error}") from None

    def _listen(self) -> None:
        with self._starting:
            if self._closed.is_set():
                raise AimError("this client is closed")
            if self._listening is None:
                self._listening = threading.Thread(target=self._follow, name="aim-secrets", daemon=True)
                self._listening.start()
                threading.Thread(target=self._sweep, name="aim-secrets-sweep", daemon=True).start()

    def _sweep(self) -> None:
        while not self._closed.wait(1.0):
            self._cache.sweep()

    def _follow(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                for name, data in self._events():
                    pause = FIRST_PAUSE
                    if not self._take(name, data):
                        break
            except Refused as refusal:
                if refusal.status in (401, 403):
                    # The agent is not what it was: nothing that it keeps counts.
                    self._cache.clear()
            except (AimError, httpx.HTTPError, RuntimeError):
                pass
            self._closed.wait(pause)
            pause = min(pause * 2, LAST_PAUSE)

    def _take(self, name: str, data: dict[str, Any]) -> bool:
        if name in ("ended", "lagged", "stopping"):
            return False
        if name == "secret" and isinstance(data.get("path"), str):
            self._cache.forget(data["path"])
        elif name != "":
            # `ready`: changes may have been missed before. `revoked`, and whatever a later server may say.
            self._cache.clear()
        self._cache.hear()
        return True

    def _events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events by name; a heartbeat has none."""
        url = self._server + CHANGES
        timeout = httpx.Timeout(SILENCE)
        with self._http.stream("GET", url, headers=self._agent.signed("GET", url, b""), timeout=timeout) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _refusal(answer)
            name, data = "", {}
            for line in answer.iter_lines():
                if self._closed.is_set():
                    return
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    try:
                        data = json.loads(line[5:])
                    except ValueError:
                        data = {}
                elif not line:
                    yield name, data if isinstance(data, dict) else {}
                    name, data = "", {}


def _public(key: X25519PrivateKey) -> str:
    return base64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _json(reply: httpx.Response) -> dict[str, Any]:
    if reply.status_code not in (200, 201):
        raise _refusal(reply)
    try:
        answer = reply.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unreachable(f"the answer ({reply.status_code}) is no JSON; is a proxy in between?")
    return answer


def _refusal(reply: httpx.Response) -> AimError:
    try:
        problem = reply.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return Unreachable(f"the answer ({reply.status_code}) holds no problem details; is a proxy in between?")
    if reply.status_code == 404:
        return NotFound(404, problem)
    if problem.get("code") == "vault.sealed":
        return VaultSealed(reply.status_code, problem)
    return Refused(reply.status_code, problem)


def _decided(reply: httpx.Response, path: str) -> dict[str, Any]:
    """The approved answer. The HTTP status and the decision both have to say so."""
    said = {201: "approved", 202: "pending", 403: "denied"}.get(reply.status_code)
    try:
        answer = reply.json()
    except ValueError:
        answer = None
    decision = answer.get("decision") if isinstance(answer, dict) else None
    if said is None or not isinstance(decision, dict):
        raise _refusal(reply)
    if decision.get("status") != said:
        raise Unopened(f"the answer for {path} says another verdict than its status")
    if said == "denied":
        raise Denied(path, decision)
    if said == "pending":
        raise Pending(path, decision)
    return dict(answer)


def _opened(
    key: X25519PrivateKey, info: str, sealed: dict[str, Any], path: str, version: int, expires_at: str | None
) -> Secret:
    if (sealed["kem"], sealed["kdf"], sealed["aead"]) != ALGORITHMS:
        raise Unopened(f"the answer for {path} is sealed in a form that this version does not read")
    message = from_base64url(sealed["enc"]) + from_base64url(sealed["ciphertext"])
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    try:
        plain = suite.decrypt(message, key, info.encode())
    except (InvalidTag, ValueError):
        raise Unopened(f"the answer for {path} was not sealed to this request") from None
    content = json.loads(plain)
    end = datetime.fromisoformat(expires_at) if expires_at else None
    fields = ((str(name), str(value)) for name, value in content["fields"].items())
    return Secret(path, version, str(content["kind"]), end, fields)
