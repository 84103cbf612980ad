"""What a server must refuse. Each check takes the address of a server and an agent that may do `db:read`, and
fails where the server does not refuse. test_refusals.py runs them against AIM; test_controls.py runs the same
checks against a server that skips every check, and expects each of them to fail."""

import json

from raw import action, header_signed, now, older, poll, verify

API = "/api/v1/sdk-api"


def refused(answer, status=401, code=None):
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    body = answer.json()
    assert body["error"]
    if code:
        assert body["code"] == code, body
    return body


def replay(url, agent):
    body = json.dumps(action(agent))
    assert verify(url, body).status_code == 201
    answer = refused(verify(url, body), code="auth.signature_replayed")
    assert answer["enforcementMode"] == "strict"


def replay_in_other_bytes(url, agent):
    body = action(agent, context={"a": 1})
    assert verify(url, body).status_code == 201
    rearranged = json.dumps(dict(reversed(body.items())), indent=2)
    refused(verify(url, rearranged), code="auth.signature_replayed")
    padded = dict(body, note="not signed")
    refused(verify(url, padded), code="auth.signature_replayed")


def forgery(url, agent):
    forged = action(agent.with_another_key())
    refused(verify(url, forged))
    # The same under the name of the registered key.
    forged["publicKey"] = agent.public_key
    refused(verify(url, forged), code="auth.signature_invalid")


def stale(url, agent):
    refused(verify(url, action(agent, timestamp=now(-31))), code="auth.signature_stale")


def premature(url, agent):
    refused(verify(url, action(agent, timestamp=now(+35))), code="auth.signature_stale")


def tampered_context(url, agent):
    body = action(agent, context={"amount": 10, "note": "x"})
    for changed in ({"amount": 1000, "note": "x"}, {"amount": 10.0, "note": "x"}, {"amount": 10}, {}):
        refused(verify(url, dict(body, context=changed)), code="auth.signature_invalid")


def tampered_action(url, agent):
    body = action(agent, resource="customers/1")
    refused(verify(url, dict(body, capability="db:drop")), code="auth.signature_invalid")
    refused(verify(url, dict(body, resource="customers/2")), code="auth.signature_invalid")
    refused(verify(url, dict(body, timestamp=now())), code="auth.signature_invalid")


def foreign_agent(url, agent, other):
    refused(verify(url, action(agent, agent_id=other.id)), code="auth.credentials_invalid")
    signed_for_itself = action(agent)
    refused(verify(url, dict(signed_for_itself, agentId=other.id)))


def unknown_agent(url, agent):
    refused(verify(url, action(agent, agent_id="0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a")))


def no_signature(url, agent):
    body = action(agent)
    del body["signature"]
    refused(verify(url, body), code="auth.credentials_missing")
    refused(verify(url, ""), code="auth.credentials_missing")


def names_twice(url, agent):
    text = json.dumps(action(agent))
    twice = text.replace('"capability": "db:read"', '"capability": "db:drop", "capability": "db:read"')
    assert twice != text
    refused(verify(url, twice), code="auth.signature_invalid")
    both = json.dumps(dict(action(agent), action_type="db:drop"))
    refused(verify(url, both), code="auth.signature_invalid")


def older_body_without_header(url, agent):
    refused(verify(url, older(action(agent))), code="auth.signature_invalid")


def foreign_poll(url, agent, other):
    decision = verify(url, action(agent)).json()["id"]
    refused(poll(other, url, decision), status=404)
    refused(poll(other, url, decision, agent_id=agent.id))
    refused(poll(agent.with_another_key(), url, decision))


def stale_poll(url, agent):
    from time import time

    decision = verify(url, action(agent)).json()["id"]
    refused(poll(agent, url, decision, timestamp=str(int(time()) - 32)), code="auth.signature_stale")


def header_of_another_path(url, agent):
    path = f"{API}/agents/{agent.id}/capability-requests"
    refused(header_signed(agent, "GET", url + path, signed_path="/api/v1/other"), code="auth.signature_invalid")


def stale_header(url, agent):
    from time import time

    path = f"{API}/agents/{agent.id}/capability-requests"
    refused(header_signed(agent, "GET", url + path, timestamp=str(int(time()) - 32)), code="auth.signature_stale")


def header_of_a_foreign_agent(url, agent, other):
    for method, path, body in (
        ("GET", "capability-requests", None),
        ("POST", "capability-requests", {"capabilityType": "db:write", "reason": "on behalf of another"}),
        ("POST", "capabilities/register", {"capabilityType": "db:write"}),
    ):
        refused(header_signed(agent, method, f"{url}{API}/agents/{other.id}/{path}", body), status=404)


def registration_that_grants(url, agent):
    answer = header_signed(
        agent, "POST", f"{url}{API}/agents/{agent.id}/capabilities/register",
        {"capabilityType": "db:drop", "description": "", "riskLevel": "low"},
    )
    assert answer.json()["status"] == "pending"
    body = verify(url, action(agent, capability="db:drop"))
    assert (body.status_code, body.json()["status"]) == (403, "denied")


ALONE = [
    replay, replay_in_other_bytes, forgery, stale, premature, tampered_context, tampered_action, unknown_agent,
    no_signature, names_twice, older_body_without_header, stale_poll, header_of_another_path, stale_header,
    registration_that_grants,
]
WITH_ANOTHER = [foreign_agent, foreign_poll, header_of_a_foreign_agent]
