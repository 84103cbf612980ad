"""A server of its own for the tests, and the people who manage it. Nothing here knows the SDK."""

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from uuid import uuid4

import requests

PASSWORD = "correct horse battery staple 42"
EMAIL = "admin@example.org"
TIMEOUT = 30


# A server on which databases may be created, as the other tests use it.
POSTGRES = os.environ.get("AIM_TEST_POSTGRES_URL")


def new_postgres_database():
    """The URL of a fresh database on that server."""
    name = f"aim_sdk_{uuid4().hex}"
    subprocess.run(
        ["psql", "--quiet", "--no-psqlrc", POSTGRES, "-c", f"CREATE DATABASE {name}"],
        check=True, capture_output=True, timeout=TIMEOUT,
    )
    return f"{POSTGRES.rsplit('/', 1)[0]}/{name}"


class Server:
    """The binary under test with a fresh data folder, on a free port."""

    def __init__(self, **settings):
        self._folder = tempfile.TemporaryDirectory(prefix="aim-sdk-")
        self.data = Path(self._folder.name) / "data"
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AIM")
        } | {f"AIM__{name.upper()}": str(value) for name, value in settings.items()}
        made = subprocess.run(
            [*self._aim("init"), "--org", "Example", "--admin-email", EMAIL, "--admin-password-stdin", "--json"],
            input=PASSWORD, env=self._environment, capture_output=True, text=True, check=False, timeout=TIMEOUT,
        )
        assert made.returncode == 0, made.stderr
        self.installation = json.loads(made.stdout)
        self.api_key = self.installation["api_key"]
        self._log = open(Path(self._folder.name) / "server.log", "w", encoding="utf-8")
        self._process = subprocess.Popen(
            [*self._aim("serve"), "--bind", "127.0.0.1:0"],
            env=self._environment, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )
        self.url = self._ready()
        self.manager = Manager(self.url, EMAIL, PASSWORD)

    def _aim(self, command):
        return [os.environ["AIM_BINARY"], command, "--data", str(self.data)]

    def _ready(self):
        for line in self._process.stdout:
            if "ready on http://" in line:
                # Nobody else reads the pipe; it must not fill up.
                threading.Thread(target=self._process.stdout.read, daemon=True).start()
                return line.split("ready on ", 1)[1].split()[0]
        raise AssertionError(f"the server did not start:\n{self.log()}")

    def log(self):
        return Path(self._log.name).read_text(encoding="utf-8")

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=TIMEOUT)
        self._log.close()
        self._folder.cleanup()


class Manager:
    """A person who reviews, grants and looks, through the native API."""

    def __init__(self, url, email, password):
        self.url = url
        answer = requests.post(
            f"{url}/api/v1/auth/login", json={"email": email, "password": password}, timeout=TIMEOUT
        )
        assert answer.status_code == 200, answer.text
        self._bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def call(self, method, path, expected, **request):
        answer = requests.request(
            method, f"{self.url}/api/v1{path}", headers=self._bearer, timeout=TIMEOUT, **request
        )
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def grant(self, agent, capability, **more):
        return self.call("POST", f"/agents/{agent}/capabilities", 201, json={"capability": capability, **more})

    def grants(self, agent):
        return self.call("GET", f"/agents/{agent}/capabilities", 200)["capabilities"]

    def requests(self, agent):
        return self.call("GET", f"/agents/{agent}/capability-requests", 200)["capability_requests"]

    def approve_request(self, request):
        return self.call(
            "POST", f"/capability-requests/{request['id']}/approve", 200, json={"digest": request["digest"]}
        )

    def reject_request(self, request, note):
        return self.call("POST", f"/capability-requests/{request['id']}/reject", 200, json={"note": note})

    def decision(self, decision):
        return self.call("GET", f"/verifications/{decision}", 200)

    def review(self, decision, answer, note=None):
        digest = self.decision(decision)["request_digest"]
        return self.call(
            "POST", f"/verifications/{decision}/{answer}", 200, json={"digest": digest, "note": note}
        )

    def violations(self, agent):
        return self.call("GET", f"/agents/{agent}/violations", 200)["violations"]

    def results(self, decision):
        """The reports about a decision that the audit log has."""
        records = self.call("GET", "/audit-logs?action=action.result_reported&limit=100", 200)
        return [record for record in records["entries"] if record["target"]["id"] == decision]
