"""What every test has: a server, and agents that the SDK registered."""

import itertools
from pathlib import Path

import pytest

from aim_server import POSTGRES, Server, new_postgres_database

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def server(request):
    settings = {}
    if request.param == "postgres":
        if not POSTGRES:
            pytest.skip("AIM_TEST_POSTGRES_URL is not set")
        settings["database__url"] = new_postgres_database()
    running = Server(**settings)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in ("AIM_AGENT_NAME", "AIM_URL", "AIM_STRICT_MODE", "AIM_AUTO_REGISTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home():
    """Where the SDK keeps keys: the folder that run.sh made for this run."""
    return Path.home()


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
