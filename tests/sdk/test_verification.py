"""An agent asks, through the unmodified SDK, and is told what may happen."""

import threading

import aim_sdk
import pytest
from aim_sdk.decision import EnforcementMode
from aim_sdk.exceptions import ActionDeniedError, AuthenticationError, VerificationUnavailableError

from conftest import answers_of

CONTEXTS = [
    {},
    {"purpose": "billing", "rows": 10, "dry_run": False, "nothing": None},
    {"floats": [1.0, 1e-07, 1e16, -0.0, 0.1], "integers": [10**18, -(10**30), 0]},
    {"text": "Zürich 東京 🚀", "control": "\x01\x1f\x7f\n\t", "markup": "<a href='/x'>&amp;</a>", "quotes": "\"\\/"},
    {"z": {"b": [], "a": {}}, "a": [{"y": None, "x": True}], "A": "before a"},
    {"separators": "a, b: {\"c\": 1}", "10": "text", "9": "text"},
    {10: "integer keys", 9: "sort by value", 2: {11: 1, 3: 2}},
]


def test_what_is_granted_is_approved(manager, client):
    manager.grant(client.agent_id, "db:read")
    verdict = client.verify_capability("db:read", resource="customers/42")
    assert verdict["verified"] is True
    decision = manager.decision(verdict["verification_id"])
    assert (decision["status"], decision["action"], decision["resource"]) == ("approved", "db:read", "customers/42")
    assert decision["agent_id"] == client.agent_id


@pytest.mark.parametrize("context", CONTEXTS, ids=range(len(CONTEXTS)))
def test_whatever_python_signs_is_understood(manager, client, context):
    manager.grant(client.agent_id, "db:read")
    assert client.verify_capability("db:read", resource="Tabelle/größe", context=context)["verified"] is True


def test_what_is_not_granted_is_denied_with_a_reason_and_leaves_a_violation(manager, client):
    answers = answers_of(client)
    with pytest.raises(ActionDeniedError) as refused:
        client.verify_capability("db:drop", resource="customers", context={"why": "curious"})
    (answer,) = answers
    body = answer.json()
    assert answer.status_code == 403
    assert (body["status"], body["enforcementMode"]) == ("denied", "strict")
    assert "capability.not_granted" in body["reasonCodes"]
    assert body["denialReason"] in str(refused.value)
    assert refused.value.decision.verification_id == body["id"]
    (violation,) = manager.violations(client.agent_id)
    assert (violation["attempted_capability"], violation["resource"]) == ("db:drop", "customers")
    assert violation["decision_id"] == body["id"]


def test_the_scope_of_a_grant_is_evaluated(manager, client):
    manager.grant(client.agent_id, "db:read", scope={"resources": ["customers/*"]})
    assert client.verify_capability("db:read", resource="customers/42")["verified"]
    with pytest.raises(ActionDeniedError):
        client.verify_capability("db:read", resource="salaries/42")


def test_a_suspended_agent_is_denied_on_its_next_request(manager, client):
    manager.grant(client.agent_id, "db:read")
    assert client.verify_capability("db:read")["verified"]
    manager.call("POST", f"/agents/{client.agent_id}/suspend", 200, json={"reason": "strange calls"})
    with pytest.raises(ActionDeniedError, match="suspended"):
        client.verify_capability("db:read")


def test_a_revoked_key_is_denied_on_its_next_request(manager, client):
    manager.grant(client.agent_id, "db:read")
    assert client.verify_capability("db:read")["verified"]
    manager.call("POST", f"/agents/{client.agent_id}/key-vault/revoke", 200, json={"reason": "stolen laptop"})
    with pytest.raises(ActionDeniedError, match="revoked"):
        client.verify_capability("db:read")
    with pytest.raises(AuthenticationError):
        client._make_request("GET", f"/api/v1/sdk-api/agents/{client.agent_id}/capability-requests")


def test_every_answer_teaches_the_sdk_to_be_strict(manager, client):
    manager.grant(client.agent_id, "db:read")
    assert client.verify_capability("db:read")["mode"] == EnforcementMode.STRICT.value
    with pytest.raises(ActionDeniedError) as refused:
        client.verify_capability("db:drop")
    assert refused.value.mode is EnforcementMode.STRICT


def test_an_organisation_key_does_not_act_for_an_agent(server, client):
    without_key_pair = aim_sdk.AIMClient(agent_id=client.agent_id, aim_url=server.url, api_key=server.api_key)
    with pytest.raises(ActionDeniedError, match="agent"):
        without_key_pair.verify_capability("db:read")


def test_a_client_with_an_organisation_key_too_polls_with_its_signature_and_its_reports_prove_nothing(
    server, manager, client, name
):
    manager.grant(client.agent_id, "payments:refund", effect="require_approval")
    manager.grant(client.agent_id, "payments:refund")
    both = aim_sdk.secure(name, aim_url=server.url, api_key=server.api_key)
    assert both.api_key == server.api_key
    outcome = pending(
        both, lambda decision: manager.review(decision, "approve"), capability="payments:refund"
    )
    assert outcome["verdict"]["verified"] is True
    both.log_capability_result(outcome["id"], success=True)
    (record,) = manager.results(outcome["id"])
    assert record["facts"]["authenticated"] is False


def test_an_approval_that_nobody_gives_runs_nothing(manager, client):
    manager.grant(client.agent_id, "payments:refund")
    with pytest.raises(VerificationUnavailableError) as unanswered:
        client.verify_capability("payments:refund", context={"jit_access": True}, timeout_seconds=1)
    assert unanswered.value.mode is EnforcementMode.STRICT


def test_require_approval_waits_for_a_person_before_it_runs_its_body(manager, client):
    manager.grant(client.agent_id, "refund")
    ran = []

    @client.require_approval(action_name="refund", timeout_seconds=60)
    def refund(amount):
        ran.append(amount)
        return "refunded"

    def review(answer, *_, **__):
        if answer.request.method == "POST" and answer.json().get("status") == "pending":
            assert ran == []
            manager.review(answer.json()["id"], "approve")

    client.session.hooks["response"].append(review)
    assert refund(12.5) == "refunded"
    assert ran == [12.5]


def pending(client, review, **arguments):
    """Asks in a thread, and calls `review` with the decision's id as soon as the SDK was told `pending`."""
    told, outcome = threading.Event(), {}

    def note(answer, *_, **__):
        if answer.request.method == "POST" and answer.json().get("status") == "pending":
            outcome["id"] = answer.json()["id"]
            outcome["answer"] = answer
            told.set()

    def ask():
        try:
            outcome["verdict"] = client.verify_capability(timeout_seconds=60, **arguments)
        except Exception as error:
            outcome["error"] = error
            told.set()

    client.session.hooks["response"].append(note)
    asking = threading.Thread(target=ask)
    asking.start()
    assert told.wait(30), "the SDK was not told that the action is pending"
    assert "error" not in outcome, outcome["error"]
    review(outcome["id"])
    asking.join(60)
    assert not asking.is_alive()
    return outcome


@pytest.mark.parametrize("flag", ["jit_access", "requires_approval", "require_approval"])
def test_a_pending_action_is_approved_when_a_manager_approves_it(manager, client, flag):
    manager.grant(client.agent_id, "payments:refund")
    outcome = pending(
        client, lambda decision: manager.review(decision, "approve"),
        capability="payments:refund", context={flag: True, "amount": 12.5},
    )
    assert outcome["answer"].status_code == 201
    assert outcome["answer"].json()["enforcementMode"] == "strict"
    assert outcome["verdict"]["verified"] is True
    assert outcome["verdict"]["approved_by"].startswith("user:")


def test_a_pending_action_is_denied_when_a_manager_rejects_it(manager, client):
    manager.grant(client.agent_id, "payments:refund", effect="require_approval")
    manager.grant(client.agent_id, "payments:refund")
    outcome = pending(
        client, lambda decision: manager.review(decision, "reject", note="not on a Friday"),
        capability="payments:refund",
    )
    assert isinstance(outcome["error"], ActionDeniedError)
    assert "not on a Friday" in str(outcome["error"])


def test_a_flag_that_is_not_true_asks_for_nothing(manager, client):
    manager.grant(client.agent_id, "payments:refund")
    context = {"jit_access": False, "requires_approval": "true", "require_approval": 1}
    assert client.verify_capability("payments:refund", context=context)["verified"] is True


def test_perform_action_runs_its_body_only_when_approved_and_reports_the_result(manager, client):
    manager.grant(client.agent_id, "orders:list")
    answers, ran = answers_of(client), []

    @client.perform_action("orders:list", resource="orders")
    def orders():
        ran.append("orders")
        return ["order 1"]

    @client.perform_action("orders:delete", resource="orders")
    def delete_orders():
        ran.append("delete")

    assert orders() == ["order 1"]
    with pytest.raises(ActionDeniedError):
        delete_orders()
    assert ran == ["orders"]
    paths = [answer.request.path_url for answer in answers if answer.request.method == "POST"]
    registered, verified, reported = paths[:3]
    assert registered.endswith("/capabilities/register") and verified.endswith("/verifications")
    decision = reported.removesuffix("/result").rsplit("/", 1)[-1]
    (record,) = manager.results(decision)
    assert record["facts"]["outcome"] == "success"
    assert record["facts"]["authenticated"] is False
    assert len(paths) == 5, "nothing is reported of a denied action"


def test_perform_action_reports_a_failure_of_its_body(manager, client):
    manager.grant(client.agent_id, "orders:list")
    answers = answers_of(client)

    @client.perform_action("orders:list")
    def orders():
        raise KeyError("no such order")

    with pytest.raises(KeyError):
        orders()
    (decision,) = [answer.json()["id"] for answer in answers if answer.request.path_url.endswith("/verifications")]
    (record,) = manager.results(decision)
    assert record["facts"]["outcome"] == "failure"
