"""AIM refuses what the checks say it must."""

import json

import pytest
import requests

import checks
from conftest import answers_of, register
from raw import TIMEOUT, VERIFICATIONS, Agent, action, verify


@pytest.fixture
def agent(manager, client):
    manager.grant(client.agent_id, "db:read")
    return Agent.of(client)


@pytest.fixture
def other(server, manager, name):
    client = register(server, f"{name}-other")
    manager.grant(client.agent_id, "db:read")
    return Agent.of(client)


@pytest.mark.parametrize("check", checks.ALONE, ids=lambda check: check.__name__)
def test_refuses(server, agent, check):
    check(server.url, agent)


@pytest.mark.parametrize("check", checks.WITH_ANOTHER, ids=lambda check: check.__name__)
def test_refuses_between_agents(server, agent, other, check):
    check(server.url, agent, other)


def test_the_very_bytes_that_the_sdk_sent_are_refused_a_second_time(server, manager, client):
    manager.grant(client.agent_id, "db:read")
    answers = answers_of(client)
    assert client.verify_capability("db:read")["verified"]
    (sent,) = [answer.request for answer in answers]
    again = requests.post(server.url + VERIFICATIONS, data=sent.body, headers=sent.headers, timeout=TIMEOUT)
    checks.refused(again, code="auth.signature_replayed")


def test_of_many_copies_at_the_same_instant_exactly_one_passes(server, manager, agent):
    import threading

    body, statuses, ready = json.dumps(action(agent)), [], threading.Barrier(16)

    def send():
        ready.wait()
        statuses.append(verify(server.url, body).status_code)

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert sorted(statuses) == [201] + [401] * 15


def test_a_refused_request_leaves_its_signature_unused(server, agent):
    body = action(agent)
    checks.refused(verify(server.url, dict(body, context={"added": 1})))
    checks.refused(verify(server.url, dict(body, publicKey=agent.with_another_key().public_key)))
    assert verify(server.url, body).status_code == 201


def test_malformed_bodies_are_refused_without_a_failure(server, agent):
    good = json.dumps(action(agent))
    for body in (
        "null", "[]", "7", '"text"', "{", good[:-1], good + "}", "{}", "\ufeff" + good, "[" * 100_000,
        json.dumps({"agentId": {}, "signature": [], "publicKey": None, "timestamp": 0}),
    ):
        assert verify(server.url, body.encode()).status_code in (400, 401)
    assert verify(server.url, b"\xff\xfe\x00").status_code in (400, 401)


def test_a_signed_body_with_a_bad_field_is_told_which(server, agent):
    for fields, field in (
        ({"capability": "no spaces allowed"}, "capability"),
        ({"resource": "x" * 5000}, "resource"),
        ({"context": {"deep": json.loads("[" * 40 + "]" * 40)}}, "context"),
    ):
        answer = verify(server.url, action(agent, **fields))
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert answer.json()["enforcementMode"] == "strict"


def test_a_body_that_is_too_large_is_refused(server, agent):
    answer = verify(server.url, action(agent, context={"bulk": "x" * (1024 * 1024)}))
    assert answer.status_code == 413
    assert answer.json()["enforcementMode"] == "strict"
