"""The client against a real server on both databases."""

import copy
import pickle
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from aim_secrets import CacheLimits, Denied, NotFound, Pending, Refused, Unopened, Unreachable

CANARY = "sk_live_canary_python_0815"


def until(condition, seconds=20.0):
    """Waits for something that happens by itself."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_script_reads_a_key_and_calls_a_paid_api_with_it(scene, tmp_path):
    scene.put("stripe", value=CANARY)
    seen = []

    class Paid(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers["Authorization"])
            good = seen[-1] == f"Bearer {CANARY}"
            body = b'{"charged": true}' if good else b'{"charged": false}'
            self.send_response(200 if good else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    api = HTTPServer(("127.0.0.1", 0), Paid)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{api.server_port}/v1/charges"
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("paid_agent.py")), scene.name, scene.path("stripe"), url],
        env={"XDG_CONFIG_HOME": str(scene.folder), "PATH": "/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work),
             "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=work, capture_output=True, text=True, check=False, timeout=60,
    )
    api.shutdown()
    assert (done.returncode, seen) == (0, [f"Bearer {CANARY}"]), done.stderr
    assert done.stdout.splitlines()[1] == "200 True"
    assert "[redacted]" in done.stdout and CANARY not in done.stdout + done.stderr
    assert list(work.iterdir()) == [], "nothing on a disk"


def test_a_secret_is_redacted_forgotten_and_not_pickled(scene):
    scene.put("two", user="u", password=CANARY)
    with scene.client() as secrets:
        with secrets.read(scene.path("two")) as secret:
            assert (secret.reveal("password"), secret.fields, secret.version) == (CANARY, ("password", "user"), 1)
            assert CANARY not in f"{secret} {secret!r} {[secret]} {secrets!r}"
            with pytest.raises(KeyError, match="password, user"):
                secret.reveal()
            with pytest.raises(TypeError):
                pickle.dumps(secret)
            with pytest.raises(TypeError):
                copy.copy(secret)
        with pytest.raises(KeyError, match="forgotten"):
            secret.reveal("password")


def test_refusals_are_told_apart(scene):
    scene.put("there", value=CANARY)
    slow = {"resources": [f"{scene.name}/slow"]}
    scene.manager.grant(scene.agent_id, "secret:read", effect="require_approval", scope=slow)
    scene.put("slow", value=CANARY)
    with scene.client() as secrets:
        with pytest.raises(Denied) as denied:
            secrets.read("others/key")
        assert denied.value.decision["status"] == "denied"
        with pytest.raises(NotFound):
            secrets.read(scene.path("nothing"))
        with pytest.raises(NotFound):
            secrets.read(scene.path("there"), version=7)
        with pytest.raises(Refused) as refused:
            secrets.read("../x")
        assert refused.value.code == "request.field_invalid"
        with pytest.raises(Pending) as pending:
            secrets.read(scene.path("slow"))
        decision = pending.value.decision["id"]
        scene.manager.review(decision, "approve")
        assert secrets.read(scene.path("slow"), decision_id=decision).reveal() == CANARY
        with pytest.raises(Refused):
            secrets.read(scene.path("slow"), decision_id=decision)


def test_a_kept_secret_is_dropped_when_it_changes(scene):
    scene.put("key", value="one")
    with scene.client() as secrets:
        reads = counted(secrets)
        assert secrets.get(scene.path("key")).reveal() == "one"
        until(lambda: secrets._cache._heard is not None)

        def is_kept():
            secrets.get(scene.path("key")).forget()
            count = len(reads)
            for _ in range(5):
                assert secrets.get(scene.path("key")).reveal() == "one"
            return len(reads) == count

        # The first events, that of the write included, drop what was there before them. Then it is kept, although its holders
        # forgot theirs.
        until(is_kept)
        scene.put("key", value="two")
        until(lambda: secrets.get(scene.path("key")).reveal() == "two")


def test_what_is_revoked_is_not_handed_out_beyond_the_bound(scene):
    scene.put("key", value="one")
    with scene.client() as secrets:
        secrets.get(scene.path("key"))
        until(lambda: secrets._cache._heard is not None)
        secrets.get(scene.path("key"))
        scene.revoke()

        def denied():
            try:
                secrets.get(scene.path("key"))
            except Denied:
                return True
            return False

        until(denied)
        assert len(secrets._cache) == 0


def test_without_a_word_of_the_server_nothing_is_handed_out_beyond_the_bound(scene):
    from aim_secrets._cache import Cache

    now = [0.0]
    cache = Cache(CacheLimits(entries=2), clock=lambda: now[0])
    with scene.client() as secrets:
        scene.put("key", value="one")
        secret = secrets.read(scene.path("key"))
    cache.keep(("a", None), secret, 0, 0.0)
    now[0] = 29.9
    assert cache.get(("a", None))[0].reveal() == "one"
    now[0] = 30.0
    assert cache.get(("a", None))[0] is None and len(cache) == 0
    # Heard all the time, it is kept up to its age; and no more than two are.
    for number, name in enumerate("abc"):
        cache.keep((name, None), secret, 0, 30.0 + number)
    assert len(cache) == 2 and cache.get(("a", None))[0] is None
    for moment in range(40, 350, 10):
        now[0] = float(moment)
        cache.hear()
    assert cache.get(("c", None))[0] is None
    # What was read before a revocation and arrives after it is not kept.
    _, epoch = cache.get(("a", None))
    cache.clear()
    cache.keep(("a", None), secret, epoch, now[0])
    assert len(cache) == 0


def test_a_token_is_used_once_and_only_for_the_path_that_is_expected(scene):
    scene.put("key", value=CANARY)
    body = {"path": scene.path("key"), "reason": "the first start of a bot", "for_agent": scene.agent_id}
    token = scene.manager.call("POST", "/vault/wrap", 201, json=body)["token"]
    with scene.client() as secrets:
        with pytest.raises(Unopened):
            secrets.unwrap(token, expect_path=scene.path("another"))
        assert secrets.unwrap(token, expect_path=scene.path("key")).reveal() == CANARY
        with pytest.raises(Refused) as refused:
            secrets.unwrap(token, expect_path=scene.path("key"))
        assert refused.value.code == "secret.wrap_used"


def test_a_key_file_that_others_can_read_and_a_server_that_is_not_there(scene):
    from aim_secrets import AimError

    with scene.client(server="http://127.0.0.1:9") as secrets, pytest.raises(Unreachable):
        secrets.read(scene.path("key"))
    file = scene.keys / f"{scene.name}.json"
    file.chmod(0o644)
    with pytest.raises(AimError, match="others can read"):
        scene.client()
    file.chmod(0o600)
    file.write_text(file.read_text().replace('"fingerprint": "', '"fingerprint": "x'))
    with pytest.raises(AimError, match="altered") as error:
        scene.client()
    assert "PRIVATE" not in str(error.value)


def counted(secrets):
    """The reads from now on."""
    reads = []
    read = secrets.read

    def counting(*arguments, **more):
        reads.append(arguments)
        return read(*arguments, **more)

    secrets.read = counting
    return reads
