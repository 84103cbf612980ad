"""The generation before aim-sdk 2.x, which is on no index: snake_case, signed in headers and body. Its requests are
made here as that SDK makes them."""

import json
import time

import pytest
import requests

from checks import refused
from raw import TIMEOUT, VERIFICATIONS, Agent, action, header_signed, now, older, verify

REASON = "to write back what was corrected"


@pytest.fixture
def registered(server, name):
    answer = requests.post(
        f"{server.url}/api/v1/public/agents/register", headers={"X-AIM-API-Key": server.api_key}, timeout=TIMEOUT,
        json={
            "name": name, "display_name": "Older", "description": "an older agent", "agent_type": "ai_agent",
            "version": "1.0.0", "talks_to": ["filesystem"], "capabilities": ["db:write"],
        },
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def agent(manager, registered):
    manager.grant(registered["agent_id"], "db:read")
    return Agent(registered["agent_id"], registered["private_key"], registered["public_key"])


def ask(url, agent, **fields):
    return header_signed(agent, "POST", url + VERIFICATIONS, older(action(agent, **fields)))


def test_registration_answers_in_its_own_names(server, manager, registered, name):
    assert registered["name"] == name
    assert registered["aim_url"] == server.url, "this SDK cannot do without"
    assert {"public_key", "private_key", "status", "trust_score", "message"} <= set(registered)
    assert not [member for member in registered if member != member.lower()]
    kept = manager.call("GET", f"/agents/{registered['agent_id']}", 200)
    assert (kept["display_name"], kept["talks_to"]) == ("Older", ["filesystem"])
    assert manager.grants(registered["agent_id"]) == []


def test_approved_and_denied_are_both_a_201(server, manager, agent):
    approved = ask(server.url, agent, resource="customers", context={"text": "a, b: <é>", "share": 1.0})
    assert approved.status_code == 201, approved.text
    assert approved.json()["status"] == "approved"
    assert {"id", "approved_by", "expires_at", "denial_reason"} <= set(approved.json())
    denied = ask(server.url, agent, capability="db:drop")
    assert (denied.status_code, denied.json()["status"]) == (201, "denied")
    assert denied.json()["denial_reason"]
    assert denied.json()["enforcement_mode"] == "strict"
    (violation,) = manager.violations(agent.id)
    assert violation["decision_id"] == denied.json()["id"]


def test_pending_is_polled_with_a_header_signature(server, manager, agent):
    asked = ask(server.url, agent, context={"requires_approval": True})
    assert (asked.status_code, asked.json()["status"]) == (201, "pending")
    url = f"{server.url}{VERIFICATIONS}/{asked.json()['id']}"
    first = header_signed(agent, "GET", url, timestamp=str(int(time.time()) - 1))
    assert (first.status_code, first.json()["status"]) == (200, "pending")
    manager.review(asked.json()["id"], "approve")
    second = header_signed(agent, "GET", url)
    assert second.json()["status"] == "approved"
    assert second.json()["approved_by"].startswith("user:")


def test_a_result_is_signed_and_so_proven(server, manager, agent):
    decision = ask(server.url, agent).json()["id"]
    report = {"result": "success", "result_summary": "done", "error_message": None, "timestamp": now()}
    kept = header_signed(agent, "POST", f"{server.url}{VERIFICATIONS}/{decision}/result", report)
    assert (kept.status_code, kept.json()["authenticated"]) == (201, True)


def test_capabilities_are_asked_for_in_its_own_names(server, manager, agent):
    url = f"{server.url}/api/v1/sdk-api/agents/{agent.id}/capability-requests"
    body = {"capability_type": "db:delete", "reason": REASON}
    asked = header_signed(agent, "POST", url, body)
    assert asked.status_code == 201, asked.text
    assert (asked.json()["capability_type"], asked.json()["status"]) == ("db:delete", "pending")
    assert asked.json()["agent_id"] == agent.id and asked.json()["requested_at"]
    assert header_signed(agent, "POST", url, body).status_code == 409


def test_both_signatures_are_needed(server, agent):
    body = older(action(agent))
    refused(verify(server.url, body), code="auth.signature_invalid")
    for member in ("signature", "public_key", "timestamp"):
        without = {name: value for name, value in body.items() if name != member}
        refused(header_signed(agent, "POST", server.url + VERIFICATIONS, without))
    forged = dict(body, signature=older(action(agent.with_another_key()))["signature"])
    refused(header_signed(agent, "POST", server.url + VERIFICATIONS, forged), code="auth.signature_invalid")
    refused(header_signed(agent.with_another_key(), "POST", server.url + VERIFICATIONS, body))
    assert header_signed(agent, "POST", server.url + VERIFICATIONS, body).status_code == 201


def test_a_body_is_used_once_whatever_it_is_wrapped_in(server, agent):
    newer = action(agent)
    assert header_signed(agent, "POST", server.url + VERIFICATIONS, older(newer)).status_code == 201
    second = str(int(time.time()) - 1)
    again = header_signed(agent, "POST", server.url + VERIFICATIONS, older(newer), timestamp=second)
    refused(again, code="auth.signature_replayed")
    # Without headers, and in the names of 2.x, it is the same signature still.
    refused(verify(server.url, newer), code="auth.signature_replayed")


def test_a_stale_body_under_a_fresh_header_is_refused(server, agent):
    body = older(action(agent, timestamp=now(-40)))
    refused(header_signed(agent, "POST", server.url + VERIFICATIONS, body), code="auth.signature_stale")


def test_a_header_signature_works_for_the_native_api_too_and_once(server, agent):
    url, body = f"{server.url}/api/v1/verifications", {"action": "db:read", "resource": "customers"}
    second = str(int(time.time()) - 1)
    first = header_signed(agent, "POST", url, body, timestamp=second)
    assert (first.status_code, first.json()["status"]) == (201, "approved")
    assert header_signed(agent, "POST", url, body, timestamp=second).status_code == 401


def test_a_suspended_agent_is_refused_everywhere(server, manager, agent):
    decision = ask(server.url, agent).json()["id"]
    manager.call("POST", f"/agents/{agent.id}/suspend", 200, json={"reason": "strange calls"})
    denied = ask(server.url, agent)
    assert (denied.status_code, denied.json()["status"]) == (201, "denied")
    assert "agent.suspended" in denied.json()["reason_codes"]
    refused(header_signed(agent, "GET", f"{server.url}{VERIFICATIONS}/{decision}"), status=403)


def test_a_target_that_the_http_library_encoded_fits_its_signature(server, agent):
    path = f"/api/v1/sdk-api/agents/{agent.id}/capability-requests"
    answer = header_signed(
        agent, "GET", f"{server.url}{path}?note=two%20words", signed_path=f"{path}?note=two words"
    )
    assert answer.status_code == 200, answer.text


def test_numbers_and_texts_stay_as_python_wrote_them(server, agent):
    context = {"f": [1.0, 1e-07, 1e16, -0.0], "big": 10**18, "text": "é\x7f🚀", "empty": [{}, []]}
    answer = ask(server.url, agent, context=context)
    assert answer.status_code == 201, answer.text
    assert json.loads(answer.text)["status"] == "approved"
