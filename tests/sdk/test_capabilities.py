"""Asking for capabilities through the SDK, and that nothing an agent says gives it any."""

import pytest
from aim_sdk.exceptions import ActionDeniedError, VerificationError

from conftest import answers_of

REASON = "to write back what was corrected"


def test_a_request_waits_for_a_manager_and_its_approval_grants(manager, client):
    asked = client.request_capability("db:write", REASON, metadata={"table": "users", "share": 1.0})
    assert (asked["status"], asked["capabilityType"], asked["agentId"]) == ("pending", "db:write", client.agent_id)
    assert asked["id"] and asked["requestedAt"]
    with pytest.raises(ActionDeniedError):
        client.verify_capability("db:write")
    (request,) = manager.requests(client.agent_id)
    assert request["metadata"] == {"table": "users", "share": 1.0}
    manager.approve_request(request)
    assert client.verify_capability("db:write")["verified"] is True


@pytest.mark.parametrize("wording", [REASON, "another wording of the same wish"])
def test_asking_twice_answers_the_first_request(manager, client, wording):
    answers = answers_of(client)
    first = client.request_capability("db:write", REASON)
    second = client.request_capability("db:write", wording)
    assert second["id"] == first["id"]
    assert [answer.status_code for answer in answers] == [201, 409, 200]
    assert len(manager.requests(client.agent_id)) == 1


def test_registering_a_capability_grants_nothing(manager, client):
    registered = client.register_capability("db:write", "writes rows", risk_level="high")
    assert registered["status"] == "pending"
    assert manager.grants(client.agent_id) == []
    (request,) = manager.requests(client.agent_id)
    assert (request["id"], request["status"]) == (registered["request_id"], "pending")
    with pytest.raises(ActionDeniedError):
        client.verify_capability("db:write")


def test_registering_again_answers_the_same_request(manager, client):
    first = client.register_capability("db:write")
    client._registered_capabilities.clear()
    assert client.register_capability("db:write")["request_id"] == first["request_id"]
    client._registered_capabilities.clear()
    later = client.register_capability("db:write", "said in other words, a little later")
    assert later["request_id"] == first["request_id"]
    assert len(manager.requests(client.agent_id)) == 1


def test_registering_what_a_grant_covers_asks_for_nothing(manager, client):
    manager.grant(client.agent_id, "db:*")
    assert client.register_capability("db:write")["status"] == "already_exists"
    assert manager.requests(client.agent_id) == []


def test_a_grant_that_denies_is_not_taken_for_having_it(manager, client):
    manager.grant(client.agent_id, "db:*", effect="deny")
    assert client.register_capability("db:write")["status"] == "pending"


def test_a_rejected_registration_is_not_asked_for_again_by_itself(manager, client):
    client.register_capability("db:write")
    (request,) = manager.requests(client.agent_id)
    manager.reject_request(request, "read only, as agreed")
    client._registered_capabilities.clear()
    again = client.register_capability("db:write", "after the rejection of the first")
    assert again["status"] == "rejected"
    assert "read only, as agreed" in again["message"]
    assert client.request_capability("db:write", REASON)["status"] == "pending"


def test_what_is_no_capability_is_refused_by_name(manager, client):
    answers = answers_of(client)
    raised = False
    try:
        client.register_capability("not a capability!")
    except VerificationError:
        raised = True
    (answer,) = answers
    # Any text of an error with "404" or "409" in it is taken by the SDK for that status, and the text names the URL: it does
    # not raise where the agent's id, or the port, has these digits.
    assert raised != any(digits in answer.url for digits in ("404", "409"))
    assert answer.status_code == 422
    assert answer.json()["field"] == "capabilityType"
    assert manager.requests(client.agent_id) == []
