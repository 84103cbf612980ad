#!/usr/bin/env python3
"""How many can follow the live feed of one node: sse.py BINARY [CLIENTS] [ROUNDS]

Starts a server of its own on SQLite, lets CLIENTS (1000) follow the feed over raw sockets, changes something ROUNDS
(20) times, and measures from the moment the change was answered until the last client has its event; and how much
more memory the server has than before. Needs nothing but Python. The clients run on the same machine, so their own
work is in the figures.
"""
import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request

BINARY = os.path.abspath(sys.argv[1])
CLIENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 20


def memory(pid):
    """Resident memory in MiB."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024


def call(address, key, method, path, body=None):
    request = urllib.request.Request(
        f"http://{address}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text else None


class Follower:
    def __init__(self, seen):
        self.seen = seen
        self.ended = None

    async def follow(self, host, port, key, ready):
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 16)
        writer.write(
            f"GET /api/v1/events/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        await writer.drain()
        try:
            while True:
                line = await reader.readline()
                if not line:
                    self.ended = "closed"
                    return
                if line.startswith(b"event: ready"):
                    ready()
                elif line.startswith(b"event: lagged"):
                    self.ended = "lagged"
                elif line.startswith(b"id: "):
                    self.seen(int(line[4:]))
        finally:
            writer.close()


async def measure(server, address, key):
    host, port = address.split(":")
    arrived = {}
    waiting = {}

    def seen(index):
        arrived[index] = arrived.get(index, 0) + 1
        if arrived[index] == CLIENTS and index in waiting:
            waiting[index].set_result(time.monotonic())

    before = memory(server.pid)
    ready = 0
    everybody = asyncio.Event()

    def one_ready():
        nonlocal ready
        ready += 1
        if ready == CLIENTS:
            everybody.set()

    followers = [Follower(seen) for _ in range(CLIENTS)]
    tasks = []
    for follower in followers:
        tasks.append(asyncio.create_task(follower.follow(host, port, key, one_ready)))
        if len(tasks) % 50 == 0:
            await asyncio.sleep(0.02)
    await asyncio.wait_for(everybody.wait(), 60)
    loop = asyncio.get_running_loop()
    delays = []
    name = "bench"
    for turn in range(ROUNDS):
        body = {"name": f"{name}-{turn}", "effect": "deny", "capability": "unused:*"}
        await loop.run_in_executor(None, call, address, key, "POST", "/api/v1/policies", body)
        changed = time.monotonic()
        page = await loop.run_in_executor(None, call, address, key, "GET", "/api/v1/events?limit=1")
        index = page["events"][0]["index"]
        if arrived.get(index, 0) >= CLIENTS:
            delays.append(time.monotonic() - changed)
            continue
        waiting[index] = loop.create_future()
        delays.append(await asyncio.wait_for(waiting[index], 30) - changed)
    with_clients = memory(server.pid)
    lost = [follower.ended for follower in followers if follower.ended]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays.sort()
    print(
        json.dumps(
            {
                "clients": CLIENTS,
                "rounds": ROUNDS,
                "seen_by_all_ms": {
                    "median": round(delays[len(delays) // 2] * 1000),
                    "worst": round(delays[-1] * 1000),
                },
                "memory_mib": {
                    "before": round(before, 1),
                    "with_clients": round(with_clients, 1),
                    "more": round(with_clients - before, 1),
                },
                "lost_clients": len(lost),
            },
            indent=2,
        )
    )


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * CLIENTS + 512)), hard))
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        environment = dict(os.environ, AIM__LIMITS__REQUESTS_PER_SECOND="0", AIM__LIMITS__ANONYMOUS_REQUESTS_PER_SECOND="0")
        made = subprocess.run(
            [BINARY, "init", "--data", "data", "--org", "Bench", "--admin-email", "admin@example.com", "--admin-password-stdin", "--json"],
            input=b"correct horse battery staple 47",
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
        )
        key = json.loads(made.stdout)["api_key"]
        with open("log", "wb") as log:
            server = subprocess.Popen(
                [BINARY, "serve", "--data", "data", "--bind", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=log, env=environment
            )
        try:
            line = server.stdout.readline().decode()
            address = re.search(r"http://(\S+)", line).group(1)
            # What a first request brings into memory is no client's.
            for _ in range(20):
                call(address, key, "GET", "/api/v1/events")
            time.sleep(2)
            asyncio.run(measure(server, address, key))
        finally:
            server.terminate()
            started = time.monotonic()
            server.wait(timeout=60)
            print(f"stopped within {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
