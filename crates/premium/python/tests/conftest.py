"""A server with secrets, and the machine of an agent that may read some of them."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# The server that the lane of the published SDK starts; nothing in it knows that SDK.
sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "tests" / "sdk"))

from aim_server import POSTGRES, Server, new_postgres_database  # noqa: E402

from aim_secrets import AimSecrets  # noqa: E402

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


class Scene:
    """An agent that may read `payments/*`, and whose key lies in a folder of its own."""

    def __init__(self, server, folder):
        self.server, self.folder, self.name = server, folder, f"bot-{next(_numbers)}"
        self.manager = server.manager
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIM")}
        made = subprocess.run(
            [os.environ["AIM_BINARY"], "agent", "create", self.name, "--server", server.url, "--json"],
            env=environment | {"AIM_API_KEY": server.api_key, "XDG_CONFIG_HOME": str(folder)},
            capture_output=True, text=True, check=False, timeout=60,
        )
        assert made.returncode == 0, made.stderr
        stored = json.loads((self.keys / f"{self.name}.json").read_text())
        self.agent_id = stored["agent_id"]
        self.grant = self.manager.grant(
            self.agent_id, "secret:read", scope={"resources": [f"{self.name}/*"]}
        )

    @property
    def keys(self):
        return self.folder / "aim" / "agents"

    def path(self, name):
        return f"{self.name}/{name}"

    def put(self, name, **fields):
        body = {"kind": "map", "fields": fields}
        return self.manager.call("PUT", f"/vault/secrets/{self.path(name)}", 201, json=body)

    def client(self, **more):
        return AimSecrets.for_agent(self.name, folder=self.keys, **more)

    def revoke(self):
        self.manager.call("DELETE", f"/agents/{self.agent_id}/capabilities/{self.grant['id']}", 204)


@pytest.fixture
def scene(server, tmp_path):
    return Scene(server, tmp_path)
