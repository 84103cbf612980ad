"""Reports of results, which the SDK sends without any credential."""

import requests

from conftest import answers_of
from raw import TIMEOUT, Agent, header_signed


def report(url, decision, body, kind="result"):
    return requests.post(f"{url}/api/v1/sdk-api/verifications/{decision}/{kind}", json=body, timeout=TIMEOUT)


def approved(manager, client):
    manager.grant(client.agent_id, "db:read")
    return client.verify_capability("db:read")["verification_id"]


def test_the_first_report_stays(server, manager, client):
    decision = approved(manager, client)
    answers = answers_of(client)
    client.log_capability_result(decision, success=True, result_summary="read 10 rows")
    client.log_capability_result(decision, success=False, error_message="that was not me")
    client.report_execution_status(decision, executed=False, strict_mode=True)
    assert [answer.status_code for answer in answers] == [201, 409, 409]
    (record,) = manager.results(decision)
    assert (record["facts"]["outcome"], record["facts"]["authenticated"]) == ("success", False)


def test_a_report_moves_no_score(server, manager, client):
    before = manager.call("GET", f"/agents/{client.agent_id}", 200)["trust_score"]
    assert report(server.url, approved(manager, client), {"result": "failure"}).status_code == 201
    assert manager.call("GET", f"/agents/{client.agent_id}", 200)["trust_score"] == before
    assert manager.violations(client.agent_id) == []


def test_execution_status_is_kept_as_a_result(server, manager, client):
    decision = approved(manager, client)
    kept = report(server.url, decision, {"executed": True, "strictMode": True, "executedAt": "x"}, "execution-status")
    assert (kept.status_code, kept.json()["result"], kept.json()["authenticated"]) == (201, "success", False)


def test_a_signed_report_is_marked_as_proven(server, manager, client):
    decision = approved(manager, client)
    url = f"{server.url}/api/v1/sdk-api/verifications/{decision}/result"
    kept = header_signed(Agent.of(client), "POST", url, {"success": True, "result_summary": None})
    assert kept.status_code == 201
    assert kept.json()["authenticated"] is True
    (record,) = manager.results(decision)
    assert record["facts"]["authenticated"] is True


def test_another_agents_decision_takes_no_signed_report(server, manager, client, name):
    from conftest import register

    decision = approved(manager, client)
    other = register(server, f"{name}-other")
    url = f"{server.url}/api/v1/sdk-api/verifications/{decision}/result"
    assert header_signed(Agent.of(other), "POST", url, {"result": "success"}).status_code == 404
    assert manager.results(decision) == []


def test_a_report_with_a_forged_signature_is_refused_and_not_taken_for_an_unsigned_one(server, manager, client):
    decision = approved(manager, client)
    url = f"{server.url}/api/v1/sdk-api/verifications/{decision}/result"
    forged = header_signed(Agent.of(client).with_another_key(), "POST", url, {"result": "success"})
    assert forged.status_code == 401
    assert manager.results(decision) == []


def test_what_was_not_approved_has_no_result(server, manager, client):
    from aim_sdk.exceptions import ActionDeniedError

    try:
        client.verify_capability("db:drop")
    except ActionDeniedError as refused:
        decision = refused.decision.verification_id
    assert report(server.url, decision, {"result": "success"}).status_code == 409
    assert manager.results(decision) == []


def test_no_id_and_no_sense_are_refused_without_a_failure(server, manager, client):
    for decision in ("None", "00000000-0000-0000-0000-000000000000", "%00", "x" * 3000):
        for kind, body in (("result", {"result": "success"}), ("execution-status", {"executed": True})):
            assert report(server.url, decision, body, kind).status_code in (400, 404, 414)
    decision = approved(manager, client)
    for body in ({"result": "maybe"}, {}, {"result": 7}, [], None):
        assert report(server.url, decision, body).status_code in (400, 422)
    assert manager.results(decision) == []


def test_a_long_report_is_cut_rather_than_lost(server, manager, client):
    decision = approved(manager, client)
    assert report(server.url, decision, {"result": "failure", "error_message": "é" * 5000}).status_code == 201
