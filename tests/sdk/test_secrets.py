"""The SDK's secrets calls against the vault of the premium edition. With another binary there is nothing to test, unless
AIM_SDK_EDITION says that it is premium."""

import base64
import json
import os
from datetime import datetime, timezone
from uuid import uuid4

import pytest
import requests
from aim_sdk import AIMClient
from aim_sdk.exceptions import AuthenticationError, VerificationError
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from conftest import answers_of, register
from raw import Agent, header_signed

TIMEOUT = 30
SECRETS = "/api/v1/secrets"
VALUE = b"ghp_canary_\x00\xff_0123"


@pytest.fixture(autouse=True)
def only_where_there_is_a_vault(server):
    edition = requests.get(f"{server.url}/api/v1/edition", timeout=TIMEOUT).json()["edition"]
    if edition != "premium":
        assert os.environ.get("AIM_SDK_EDITION") != "premium", f"this binary is {edition}"
        pytest.skip("the vault is part of the premium edition")


@pytest.fixture
def keeper(server, client):
    """The same SDK with an organisation key instead of the agent's: it manages."""
    made = server.manager.call(
        "POST", "/api-keys", 201, json={"name": f"keeper of {client.agent_id}", "role": "manager"}
    )
    return AIMClient(agent_id=client.agent_id, aim_url=server.url, api_key=made["api_key"])


@pytest.fixture
def namespace(client, keeper, manager):
    """A namespace with a credential that its agent may read."""
    made = keeper.secrets.create_namespace(
        client.agent_id, "github-creds", ["read"], url_patterns=["https://api.github.com/*"]
    )
    keeper.secrets.store_credential(made["id"], VALUE)
    allow(manager, client)
    return made


def allow(manager, client):
    manager.grant(client.agent_id, "secret:read", scope={"resources": [f"sdk/{client.agent_id}/*"]})


def resolve_body(agent, namespace="github-creds", operation="read", moment=None, signer=None, key=None):
    moment = moment or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
    nonce = f"{moment}:{uuid4()}"
    return {
        "namespace": namespace, "operation": operation, "nonce": nonce,
        "signature": (signer or agent).sign(f"{namespace}|{operation}|{nonce}"),
        "agentPublicKey": key or agent.public_key,
    }


def resolve(server, agent, body, timestamp=None):
    return header_signed(agent, "POST", f"{server.url}{SECRETS}/resolve", body, timestamp=timestamp)


def test_a_credential_is_stored_resolved_rotated_and_audited(client, keeper, namespace):
    got = client.secrets.resolve("github-creds")
    assert got["credential"] == VALUE
    assert got["encryptionAlg"] == "X25519-ChaCha20-Poly1305"
    rotated = keeper.secrets.rotate_credential(namespace["id"], b"ghp_second")
    assert rotated["version"] == 2
    assert client.secrets.resolve("github-creds", "read")["credential"] == b"ghp_second"
    for reader in (client, keeper):
        entries = reader.secrets.get_audit_log(client.agent_id)
        assert [entry["status"] for entry in entries] == ["approved", "approved"]
        assert {entry["namespace"] for entry in entries} == {"github-creds"}
        assert all(entry["action"] == "secret:read" for entry in entries)
        assert not reader.secrets.get_audit_log(client.agent_id, since="2100-01-01T00:00:00Z")
        assert len(reader.secrets.get_audit_log(client.agent_id, limit=1, offset=1)) == 1


def test_what_was_sealed_by_the_caller_is_passed_on(client, keeper, namespace):
    import hashlib

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from nacl.bindings import crypto_sign_ed25519_pk_to_curve25519

    ephemeral = X25519PrivateKey.generate()
    peer = crypto_sign_ed25519_pk_to_curve25519(base64.b64decode(client.public_key))
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(peer))
    blob = b"n" * 12 + ChaCha20Poly1305(hashlib.sha256(shared).digest()).encrypt(b"n" * 12, b"sealed by me", None)
    keeper.secrets.store_credential(
        namespace["id"], blob, ephemeral_public_key=ephemeral.public_key().public_bytes_raw()
    )
    assert client.secrets.resolve("github-creds")["credential"] == b"sealed by me"


def test_namespaces_are_listed_shown_and_removed(client, keeper, namespace):
    assert namespace["path"] == f"sdk/{client.agent_id}/github-creds"
    for reader in (client, keeper):
        (listed,) = reader.secrets.list_namespaces(client.agent_id)
        assert (listed["id"], listed["operations"], listed["urlPatterns"]) == (
            namespace["id"], ["read"], ["https://api.github.com/*"],
        )
        assert reader.secrets.get_namespace(namespace["id"])["namespace"] == "github-creds"
    assert keeper.secrets.delete_namespace(namespace["id"])["deleted"] is True
    assert keeper.secrets.list_namespaces(client.agent_id) == []
    with pytest.raises(VerificationError):
        client.secrets.resolve("github-creds")


def test_without_a_grant_there_is_no_credential_and_a_violation(client, keeper, manager):
    made = keeper.secrets.create_namespace(client.agent_id, "github-creds", ["read"])
    keeper.secrets.store_credential(made["id"], VALUE)
    answers = answers_of(client)
    with pytest.raises(AuthenticationError):
        client.secrets.resolve("github-creds")
    with pytest.raises(AuthenticationError):
        client.secrets.resolve("no-such-namespace")
    # Another name for the same act would be another place where it must be denied.
    manager.grant(client.agent_id, "secrets:resolve")
    with pytest.raises(AuthenticationError):
        client.secrets.resolve("github-creds")
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    there, unknown = (answer.json() for answer in answers[:2])
    assert there["error"] == unknown["error"] and "encryptedBlob" not in there
    assert len(manager.violations(client.agent_id)) == 3


def test_an_operation_that_the_namespace_is_not_for_is_refused(client, namespace):
    with pytest.raises(AuthenticationError):
        client.secrets.resolve("github-creds", "write")


def test_an_agent_manages_nothing(client, namespace):
    answers = answers_of(client)
    for call in (
        lambda: client.secrets.create_namespace(client.agent_id, "mine", ["read"]),
        lambda: client.secrets.store_credential(namespace["id"], b"x"),
        lambda: client.secrets.rotate_credential(namespace["id"], b"x"),
        lambda: client.secrets.delete_namespace(namespace["id"]),
    ):
        with pytest.raises(AuthenticationError):
            call()
    assert [answer.status_code for answer in answers] == [403] * 4


def test_another_agent_sees_nothing_of_it(server, client, namespace, name):
    other = register(server, f"{name}-other")
    for call in (
        lambda: other.secrets.list_namespaces(client.agent_id),
        lambda: other.secrets.get_namespace(namespace["id"]),
        lambda: other.secrets.get_audit_log(client.agent_id),
    ):
        answers = answers_of(other)
        with pytest.raises(VerificationError):
            call()
        assert answers[-1].status_code == 404
    with pytest.raises(AuthenticationError):
        other.secrets.resolve("github-creds")


def test_a_nonce_is_good_once_also_under_a_new_signature(server, client, namespace):
    agent = Agent.of(client)
    body = resolve_body(agent)
    now = int(datetime.now(timezone.utc).timestamp())
    assert resolve(server, agent, body, timestamp=str(now)).status_code == 200
    for timestamp in (now, now + 1):
        answer = resolve(server, agent, body, timestamp=str(timestamp))
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.signature_replayed")


def test_a_nonce_is_fresh_and_the_inner_signature_is_the_registered_keys(server, client, namespace):
    agent = Agent.of(client)
    other = agent.with_another_key()
    moment = "2020-01-01T00:00:00.000000000Z"
    for body, code in (
        (resolve_body(agent, moment=moment), "auth.signature_stale"),
        (resolve_body(agent, signer=other), "auth.signature_invalid"),
        (resolve_body(agent, signer=other, key=other.public_key), "auth.signature_invalid"),
        (dict(resolve_body(agent), operation="write"), "auth.signature_invalid"),
    ):
        answer = resolve(server, agent, body)
        assert (answer.status_code, answer.json()["code"]) == (401, code), answer.text
        assert "encryptedBlob" not in answer.text


def test_the_answer_opens_with_the_registered_key_alone(server, client, namespace):
    agent = Agent.of(client)
    answer = resolve(server, agent, resolve_body(agent))
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    blob, ephemeral = (base64.b64decode(body[name]) for name in ("encryptedBlob", "ephemeralPubKey"))
    assert VALUE not in blob and body["urlPatterns"] == ["https://api.github.com/*"]
    assert client.secrets._decrypt_resolved(blob, ephemeral) == VALUE
    client.signing_key = SigningKey.generate()
    with pytest.raises(Exception, match="decrypt"):
        client.secrets._decrypt_resolved(blob, ephemeral)
    assert ephemeral != bytes(PrivateKey.generate().public_key)


def test_bad_input_is_named(server, keeper, client, namespace):
    answers = answers_of(keeper)
    for call, field in (
        (lambda: keeper.secrets.create_namespace(client.agent_id, "a/b", ["read"]), "namespace"),
        (lambda: keeper.secrets.create_namespace(client.agent_id, "ok", []), "operations"),
        (lambda: keeper.secrets.create_namespace(str(uuid4()), "ok", ["read"]), "agentId"),
        (lambda: keeper.secrets.store_credential(namespace["id"], b""), "encryptedBlob"),
        (lambda: keeper.secrets.store_credential(namespace["id"], b"x", encryption_alg="rot13"), "encryptionAlgorithm"),
    ):
        with pytest.raises(VerificationError):
            call()
        problem = answers[-1].json()
        assert (answers[-1].status_code, problem["field"]) == (422, field), json.dumps(problem)
        assert problem["error"]
    with pytest.raises(VerificationError):
        keeper.secrets.create_namespace(client.agent_id, "github-creds", ["read"])
    assert answers[-1].status_code == 409
