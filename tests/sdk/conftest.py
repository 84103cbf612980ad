"""What every test has: a server, a home folder of its own for the SDK, and agents that the SDK registered."""

import itertools

import pytest

from aim_server import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The SDK keeps keys in the home folder; no test sees another one's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AIM_AGENT_NAME", "AIM_URL", "AIM_STRICT_MODE", "AIM_AUTO_REGISTER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def manager(server):
    return server.manager


@pytest.fixture
def name():
    """A name that no other agent has."""
    return f"agent-{next(_numbers)}"


@pytest.fixture
def client(server, name):
    """An agent that the unmodified SDK has just registered."""
    return register(server, name)


def register(server, name, **more):
    import aim_sdk

    return aim_sdk.secure(name, aim_url=server.url, api_key=server.api_key, auto_detect=False, **more)


def answers_of(client):
    """The answers that the SDK gets from now on, in their order; requests are noted as they were sent."""
    noted = []
    client.session.hooks["response"].append(lambda answer, *_, **__: noted.append(answer))
    return noted
