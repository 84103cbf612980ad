#!/usr/bin/env python3
"""How soon a finding is in the live feed: finding.py BINARY [ROUNDS]

Starts a server of its own on SQLite and follows the feed. Then ROUNDS (20) times: registers an agent, sends an action in
its name with a signature that is none, and measures from the refusal until the finding is in the feed. Needs nothing but
Python.
"""
import base64
import hashlib
import json
import os
import pathlib
import queue
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

BINARY = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 20


def call(url, key, path, body=None, headers=None):
    request = urllib.request.Request(
        url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-AIM-API-Key": key, "Content-Type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def forge(url, fingerprint):
    """An action in the name of the key's agent, signed by nobody."""
    body = json.dumps({"action": "db:read"}).encode()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    parameters = f'("@method" "@authority" "@path" "content-digest");created={int(time.time())};nonce="{secrets.token_hex(16)}"'
    headers = {
        "Content-Type": "application/json",
        "Content-Digest": f"sha-256=:{digest}:",
        "Signature-Input": f'sig1={parameters};keyid="{fingerprint}";alg="ed25519";tag="aim-v1"',
        "Signature": f"sig1=:{base64.b64encode(secrets.token_bytes(64)).decode()}:",
    }
    try:
        urllib.request.urlopen(urllib.request.Request(url + "/api/v1/verifications", data=body, headers=headers), timeout=30)
    except urllib.error.HTTPError as refusal:
        problem = json.load(refusal)
        if refusal.code == 401:
            return time.monotonic(), problem["code"]
        raise SystemExit(f"{refusal.code}: {problem}") from refusal
    raise SystemExit("a forged signature was accepted")


def follow(url, key, seen):
    request = urllib.request.Request(url + "/api/v1/events/stream", headers={"X-AIM-API-Key": key})
    with urllib.request.urlopen(request, timeout=120) as stream:
        for line in stream:
            seen.put((time.monotonic(), line.decode()))


def measure(url, key):
    seen = queue.Queue()
    threading.Thread(target=follow, args=(url, key, seen), daemon=True).start()
    while not seen.get(timeout=30)[1].startswith("event: ready"):
        pass
    delays = []
    for turn in range(ROUNDS):
        agent = call(url, key, "/api/v1/public/agents/register", {"name": f"agent-{turn}"})
        identity = agent.get("agent_id") or agent.get("agentId") or agent["id"]
        fingerprint = call(url, key, f"/api/v1/agents/{identity}/key-vault")["fingerprint"]
        refused, _ = forge(url, fingerprint)
        while True:
            moment, line = seen.get(timeout=30)
            if line.startswith("data: ") and "threat.found" in line and identity in line:
                delays.append(moment - refused)
                break
    delays.sort()
    return {"median": round(delays[len(delays) // 2] * 1000), "worst": round(delays[-1] * 1000)}


def main():
    environment = {**os.environ, "AIM__LIMITS__ANONYMOUS_REQUESTS_PER_SECOND": "0", "AIM__LOG__LEVEL": "error"}
    with tempfile.TemporaryDirectory() as work:
        data = str(pathlib.Path(work) / "data")
        made = subprocess.run(
            [BINARY, "init", "--data", data, "--org", "Bench", "--admin-email", "admin@bench.test", "--admin-password-stdin", "--json"],
            input=secrets.token_hex(16).encode(), stdout=subprocess.PIPE, env=environment, check=True,
        )
        key = json.loads(made.stdout)["api_key"]
        server = subprocess.Popen(
            [BINARY, "serve", "--data", data, "--bind", "127.0.0.1:0"], stdout=subprocess.PIPE, env=environment
        )
        try:
            url = re.search(r"http://\S+", server.stdout.readline().decode()).group(0)
            print(json.dumps({"rounds": ROUNDS, "from_refusal_to_feed_ms": measure(url, key)}))
        finally:
            server.terminate()
            server.wait(timeout=60)


if __name__ == "__main__":
    main()
