"""A refusal for having asked too often does not use up what was signed: the SDK sends the same bytes again."""

import json

import pytest

from aim_server import Server
from conftest import answers_of, register
from raw import Agent, action, verify


@pytest.fixture(scope="module")
def slow_server():
    running = Server(limits__requests_per_second=2)
    yield running
    running.stop()


def test_the_sdk_gets_its_answer_after_having_been_told_to_wait(slow_server, name):
    client = register(slow_server, name)
    slow_server.manager.grant(client.agent_id, "db:read")
    answers = answers_of(client)
    for _ in range(14):
        assert client.verify_capability("db:read")["verified"] is True
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused, "the server has a limit, so it must have refused some"
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert all(answer.json()["enforcementMode"] == "strict" and answer.json()["error"] for answer in refused)
    # Each was sent again with the same bytes, and approved.
    approved = [answer.request.body for answer in answers if answer.status_code == 201]
    assert all(answer.request.body in approved for answer in refused)
    assert len(approved) == len(set(approved)) == 14


def test_a_signature_that_was_turned_away_works_once_later(slow_server, name):
    client = register(slow_server, name)
    slow_server.manager.grant(client.agent_id, "db:read")
    agent = Agent.of(client)
    turned_away = None
    for _ in range(40):
        body = json.dumps(action(agent))
        if verify(slow_server.url, body).status_code == 429:
            turned_away = body
            break
    assert turned_away is not None
    # Asking until the limit lets it pass is the only wait there is.
    answer = verify(slow_server.url, turned_away)
    while answer.status_code == 429:
        answer = verify(slow_server.url, turned_away)
    assert answer.status_code == 201
    again = verify(slow_server.url, turned_away)
    while again.status_code == 429:
        again = verify(slow_server.url, turned_away)
    assert (again.status_code, again.json()["code"]) == (401, "auth.signature_replayed")
