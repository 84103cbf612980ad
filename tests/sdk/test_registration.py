"""Registration in API-key mode, and what a second start makes of it."""

import json

import aim_sdk
import pytest
import requests
from aim_sdk.exceptions import ConfigurationError, StaleCredentialsError

from conftest import register


def raw_register(server, body, key=None):
    return requests.post(
        f"{server.url}/api/v1/public/agents/register", json=body,
        headers={"X-AIM-API-Key": key or server.api_key}, timeout=30,
    )


def test_the_sdk_registers_an_agent_with_an_organisation_key(server, manager, name):
    client = register(server, name, description="reads the books", tags=["nightly"])
    agent = manager.call("GET", f"/agents/{client.agent_id}", 200)
    assert (agent["name"], agent["description"], agent["tags"]) == (name, "reads the books", ["nightly"])
    assert agent["status"] == "active"
    assert client.aim_url == server.url


def test_the_key_pair_was_made_for_the_client_and_is_kept_nowhere(server, manager, client, name, home):
    private_key = json.loads((home / ".aim" / "agents" / f"{name}.json").read_text())["private_key"]
    history = manager.call("GET", f"/agents/{client.agent_id}/key-vault/history", 200)
    assert [key["generated_by"] for key in history["keys"]] == ["server"]
    for file in server.data.rglob("*"):
        if file.is_file():
            assert private_key.encode() not in file.read_bytes(), f"{file} has the private key"
    assert private_key not in server.log()


def test_a_second_start_uses_the_cached_key(server, client, name):
    again = aim_sdk.secure(name, aim_url=server.url)
    assert (again.agent_id, again.public_key) == (client.agent_id, client.public_key)
    with_key = aim_sdk.secure(name, aim_url=server.url, api_key=server.api_key)
    assert with_key.agent_id == client.agent_id


def test_a_second_start_of_a_deleted_agent_is_stale_only_for_its_organisation(server, manager, client, name):
    manager.call("DELETE", f"/agents/{client.agent_id}", 204)
    # Nobody learns from outside that the agent is gone.
    assert aim_sdk.secure(name, aim_url=server.url).agent_id == client.agent_id
    with pytest.raises(StaleCredentialsError):
        aim_sdk.secure(name, aim_url=server.url, api_key=server.api_key)


def test_a_taken_name_is_told_by_the_sdk(server, client, name):
    with pytest.raises(ConfigurationError, match="name"):
        register(server, name, force_new=True)


def test_a_wrong_key_and_bad_fields_are_told_by_the_sdk(server, name):
    with pytest.raises(ConfigurationError, match="Registration failed"):
        aim_sdk.secure(name, aim_url=server.url, api_key="aim_live_nonsense", auto_detect=False)
    with pytest.raises(ConfigurationError, match="agentType"):
        register(server, name, agent_type="No Such Type!")


def test_declared_capabilities_become_requests_and_grant_nothing(server, manager, name):
    client = register(server, name, capabilities=["db:read", "email:send"])
    assert manager.grants(client.agent_id) == []
    asked = manager.requests(client.agent_id)
    assert sorted((request["capability"], request["status"]) for request in asked) == [
        ("db:read", "pending"), ("email:send", "pending"),
    ]


def test_no_address_is_answered_that_would_replace_the_callers(server, name):
    answer = raw_register(server, {"name": name, "agentType": "ai_agent"})
    assert answer.status_code == 201
    body = answer.json()
    assert "aimUrl" not in body and "aim_url" not in body
    assert body["agentId"] and body["publicKey"] and body["privateKey"]
    assert body["trustScore"] is None


def test_a_key_without_a_proof_is_refused_by_field(server, name):
    answer = raw_register(server, {"name": name, "publicKey": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="})
    assert answer.status_code == 422
    assert answer.json()["field"] == "proof"
    assert "proof" in answer.json()["error"]


def test_a_key_with_a_proof_is_taken_and_no_private_key_answered(server, name):
    import base64
    import hashlib

    import nacl.signing

    key = nacl.signing.SigningKey.generate()
    raw = bytes(key.verify_key)
    challenge = requests.post(
        f"{server.url}/api/v1/agents/challenges", headers={"X-API-Key": server.api_key}, timeout=30
    ).json()["challenge"]
    jwk = json.dumps(
        {"crv": "Ed25519", "kty": "OKP", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}, separators=(",", ":")
    )
    fingerprint = base64.urlsafe_b64encode(hashlib.sha256(jwk.encode()).digest()).rstrip(b"=").decode()
    proof = key.sign(f"AIM-PROOF-OF-POSSESSION-V1\nregister\n{challenge}\n{fingerprint}".encode()).signature
    answer = raw_register(server, {
        "name": name, "publicKey": base64.b64encode(raw).decode(), "challenge": challenge,
        "proof": base64.b64encode(proof).decode(),
    })
    assert answer.status_code == 201, answer.text
    assert answer.json()["publicKey"] == base64.b64encode(raw).decode()
    assert "privateKey" not in answer.json()


def test_a_key_of_too_low_a_role_is_refused(server, manager, name):
    made = manager.call("POST", "/api-keys", 201, json={"name": f"viewer of {name}", "role": "viewer"})
    answer = raw_register(server, {"name": name}, key=made["api_key"])
    assert answer.status_code == 403
    assert "agents:write" in answer.json()["error"]


def test_nobody_registers_without_a_key(server, name):
    answer = requests.post(f"{server.url}/api/v1/public/agents/register", json={"name": name}, timeout=30)
    assert answer.status_code == 401
    assert answer.json()["error"]


def test_an_agent_is_found_by_name_and_by_id(server, client, name):
    for identifier in (name, client.agent_id):
        answer = requests.get(
            f"{server.url}/api/v1/sdk-api/agents/{identifier}", headers={"X-API-Key": server.api_key}, timeout=30
        )
        assert answer.status_code == 200
        assert answer.json()["agent"]["id"] == client.agent_id
    missing = requests.get(
        f"{server.url}/api/v1/sdk-api/agents/no-such-agent", headers={"X-API-Key": server.api_key}, timeout=30
    )
    assert missing.status_code == 404
