"""The checks can fail: each of them does, against a server that skips what it is about."""

import base64

import aim_sdk
import nacl.signing
import pytest
from aim_sdk.exceptions import ActionDeniedError

import checks
from careless import CarelessServer
from raw import Agent


def somebody():
    return Agent(
        "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a", base64.b64encode(bytes(nacl.signing.SigningKey.generate())).decode()
    )


@pytest.fixture(scope="module")
def careless():
    with CarelessServer() as url:
        yield url


@pytest.mark.parametrize("check", checks.ALONE, ids=lambda check: check.__name__)
def test_a_careless_server_fails(careless, check):
    with pytest.raises(AssertionError):
        check(careless, somebody())


@pytest.mark.parametrize("check", checks.WITH_ANOTHER, ids=lambda check: check.__name__)
def test_a_careless_server_fails_between_agents(careless, check):
    with pytest.raises(AssertionError):
        check(careless, somebody(), somebody())


def test_the_sdk_runs_what_a_careless_server_approves(careless):
    agent = somebody()
    client = aim_sdk.AIMClient(
        agent_id=agent.id, public_key=agent.public_key, aim_url=careless,
        private_key=base64.b64encode(bytes(agent.key)).decode(),
    )
    with pytest.raises(pytest.fail.Exception), pytest.raises(ActionDeniedError):
        client.verify_capability("db:drop")
