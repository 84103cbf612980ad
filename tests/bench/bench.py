#!/usr/bin/env python3
"""The measurements of docs/BENCHMARKS.md: `tests/bench/bench.py [what ...]`, everything unless told.

Uses wrk, the release build of `aim`, and the examples prepare_load and signature_only. The load
generator shares the machine's cores with the server. Prints one line a figure, and JSON at the end.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
AIM = pathlib.Path(os.environ.get("AIM_BINARY", RELEASE / "aim"))
SECONDS = int(os.environ.get("AIM_BENCH_SECONDS", "15"))
CONNECTIONS = 64
RESULTS = {}
RUNNING = []


def note(name, value):
    RESULTS[name] = value
    print(f"{name}: {value}", flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    # The request limit is for abuse, not for the benchmark.
    limits = {"AIM__LIMITS__REQUESTS_PER_SECOND": "0", "AIM__LIMITS__ANONYMOUS_REQUESTS_PER_SECOND": "0"}
    return {**os.environ, **limits, "AIM__LOG__LEVEL": "warn"}


class Server:
    """A server on its own data folder, set up with one organisation."""

    def __init__(self, folder, database_url=None):
        self.folder = pathlib.Path(folder)
        self.database = ["--database-url", database_url] if database_url else []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.key = None
        self.password = secrets.token_hex(16)

    def init(self):
        command = [AIM, "init", "--data", self.folder, "--org", "Bench", "--admin-email", "admin@bench.test",
                   "--admin-password-stdin", "--json", *self.database]
        done = subprocess.run(command, input=self.password, text=True, capture_output=True, check=True,
                              env=environment())
        self.key = json.loads(done.stdout)["api_key"]
        (self.folder / "key").write_text(self.key)
        return self

    def start(self):
        command = [AIM, "serve", "--data", self.folder, "--bind", f"127.0.0.1:{self.port}", *self.database]
        began = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        for line in self.process.stdout:
            if " ready on " in line:
                break
        else:
            raise SystemExit("the server did not start")
        self.ready_in = time.perf_counter() - began
        RUNNING.append(self)
        return self

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def get(self, path, headers=None):
        request = urllib.request.Request(self.url + path, headers={"X-API-Key": self.key, **(headers or {})})
        return urllib.request.urlopen(request, timeout=600)

    def memory(self, field="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status).group(1)) / 1024

    def lag(self, follower):
        """How many records of the log that follower has not seen yet."""
        metrics = self.get("/metrics").read().decode()
        return int(float(re.search(rf'^aim_follower_lag_records\{{follower="{follower}"\}} (\S+)', metrics, re.M).group(1)))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(url, file, seconds, connections=CONNECTIONS, script="load.lua", more=()):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s",
               ROOT / "tests/bench" / script, url, "--", file, *more]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip().splitlines()[-1]


def prepare(server, out, agents, requests):
    subprocess.run([RELEASE / "examples/prepare_load", server.url, server.folder / "key", str(agents),
                    str(requests), out], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


def load(server, folder, name, agents=1000, seconds=SECONDS, rate=14000):
    """Prepares and runs one load; the window of 60 s bounds how much can be signed ahead."""
    out = pathlib.Path(folder) / "load"
    prepare(server, out, agents, rate * seconds)
    before = server.cpu_seconds()
    line = wrk(server.url, out, seconds)
    spent = server.cpu_seconds() - before
    # What comes after a read is a part of its cost: a follower that falls behind would hide it.
    behind = f"; access audit {server.lag('vault.access')} records behind" if "AIM_LOAD" in os.environ else ""
    requests = int(re.match(r"requests (\d+)", line).group(1))
    refused = int(re.search(r"non-2xx/3xx (\d+)", line).group(1))
    if refused:
        raise SystemExit(f"{name}: {refused} of {requests} requests were refused, so this measures nothing: {line}")
    note(name, f"{line}; server CPU {spent / requests * 1e6:.0f} µs a request{behind}")
    return out


def signature_only(server, folder, agents=1000, seconds=SECONDS):
    out = pathlib.Path(folder) / "signatures"
    prepare(server, out, agents, 34000 * seconds)
    port = free_port()
    peer = subprocess.Popen([RELEASE / "examples/signature_only", str(port), f"{out}.keys"], stdout=subprocess.PIPE,
                            text=True)
    peer.stdout.readline()
    note("signature check only", wrk(f"http://127.0.0.1:{port}", out, seconds))
    peer.kill()
    peer.wait()


def sqlite_load(folder):
    server = Server(folder / "sqlite").init().start()
    signature_only(server, folder)
    load(server, folder, "decisions, SQLite FULL")
    note("memory after the load", f"{server.memory():.0f} MB")
    server.stop()
    verified = subprocess.run([AIM, "audit", "verify", "--data", server.folder, "--json"], capture_output=True, text=True)
    note("audit after the load", " ".join(verified.stdout.split()))


def write_secrets(server, first, seconds):
    """Writes secrets at paths of their own from about number `first` on; answers wrk's line, and how many there are then."""
    # Those at the end of an earlier round are written again: some of them may not have come to their end.
    line = wrk(server.url, server.folder / "key", seconds, script="write.lua", more=[str(max(0, first - 2 * CONNECTIONS))])
    refused = int(re.search(r"non-2xx/3xx (\d+)", line).group(1))
    if refused:
        raise SystemExit(f"{refused} writes were refused: {line}")
    listed = json.loads(server.get("/api/v1/vault/status").read())["secrets"]
    return line, listed


def reads_load(folder):
    """Writes and sealed reads of the vault, with a thousand secrets and with AIM_BENCH_SECRETS; AIM_BINARY is to be the
    premium edition."""
    most = int(os.environ.get("AIM_BENCH_SECRETS", "1000000"))
    server = Server(folder / "vault").init().start()
    line, count = write_secrets(server, 0, 1)
    sealed_reads(server, folder, count, f"sealed reads of {count} secrets, SQLite FULL")
    note("memory after these reads", two_readings(server))
    line, count = write_secrets(server, count, SECONDS)
    note("secrets written, SQLite FULL", line)
    while count < most:
        line, count = write_secrets(server, count, 60)
    note(f"secrets written with {count} there", line)
    note(f"memory after {count} secrets were written", two_readings(server))
    server.stop()
    server.start()
    note(f"cold start with {count} secrets", f"{server.ready_in * 1000:.0f} ms")
    server.get("/api/v1/vault/secrets?limit=100").read()
    note(f"idle memory with {count} secrets", f"{server.memory():.0f} MB")
    sealed_reads(server, folder, count, f"sealed reads of {count} secrets, SQLite FULL")
    note(f"memory after reads of {count} secrets", two_readings(server))
    rotation(server, folder, count)
    server.stop()


def two_readings(server):
    """The memory at once, with how much of it is mapped from files, and ten seconds later."""
    at_once, mapped = server.memory(), server.memory("RssFile")
    time.sleep(10)
    return f"{at_once:.0f} MB at once ({mapped:.0f} of them files), {server.memory():.0f} MB ten seconds later"


def rotation(server, folder, count):
    """Rotates the organisation's wrapping key: how long it takes, on a node that nobody asks for anything, killed once in its
    middle, and what reads are like meanwhile."""
    def keys():
        return json.loads(server.get("/api/v1/vault/keys").read())

    body = urllib.request.Request(server.url + "/api/v1/vault/keys/rotate", data=b'{"purpose": "wrap"}',
                                  headers={"X-API-Key": server.key, "Content-Type": "application/json"})
    urllib.request.urlopen(body).read()
    began, there = time.perf_counter(), keys()["remaining"]
    while keys()["remaining"] > there * 3 // 4:
        time.sleep(0.2)
    server.process.kill()
    server.process.wait()
    killed_at = left_in_file(server)
    server.start()
    resumed = keys()["remaining"]
    note("rotation, killed with kill -9 after a quarter", f"{killed_at} versions left before the start, {resumed} after it")
    sealed_reads(server, folder, count, f"sealed reads of {count} secrets while the key is rotated", beside=False)
    while keys()["percent"] < 100:
        time.sleep(0.5)
    note(f"rotation of {there} versions, with the kill and the load in it", f"{time.perf_counter() - began:.0f} s")
    note("memory after the rotation", f"{server.memory():.0f} MB, {server.memory('VmHWM'):.0f} MB at most")


def left_in_file(server):
    """How many versions stand under the key that is retired, by the file of a server that does not run."""
    database = sqlite3.connect(server.folder / "aim.db")
    return database.execute("SELECT count(*) FROM vault_versions WHERE key_id IN (SELECT id FROM vault_keys WHERE "
                            "purpose = 'wrap' AND retired_at IS NOT NULL)").fetchone()[0]


def run_load(folder):
    """What `aim run` adds to the start of a command: hyperfine, with one secret and with ten."""
    server = Server(folder / "run").init().start()
    home = folder / "home"
    env = {**environment(), "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "AIM_API_KEY": server.key,
           "AIM_SERVER": server.url}
    home.mkdir()
    subprocess.run([AIM, "agent", "create", "bench"], env=env, check=True, stdout=subprocess.DEVNULL)
    agent = json.loads(server.get("/api/v1/agents?q=bench").read())["agents"][0]["id"]

    def send(method, path, body):
        request = urllib.request.Request(server.url + path, method=method, data=json.dumps(body).encode(),
                                         headers={"X-API-Key": server.key, "Content-Type": "application/json"})
        urllib.request.urlopen(request).read()

    send("POST", f"/api/v1/agents/{agent}/capabilities", {"capability": "secret:read", "scope": {"resources": ["run/*"]}})
    for number in range(10):
        send("PUT", f"/api/v1/vault/secrets/run/{number}", {"kind": "api_key", "fields": {"value": f"value-{number}"}})
    run = f"{AIM} run --agent bench"
    commands = ["/bin/true"]
    for secrets_of_it in (1, 10):
        flags = " ".join(f"--env S{number}=run/{number}" for number in range(secrets_of_it))
        commands.append(f"{run} {flags} -- /bin/true")
    out = folder / "hyperfine.json"
    subprocess.run(["hyperfine", "-N", "--warmup", "10", "--runs", "100", "--export-json", out, *commands], env=env, check=True,
                   stdout=subprocess.DEVNULL)
    plain, *others = [result["median"] * 1000 for result in json.loads(out.read_text())["results"]]
    for number, median in zip((1, 10), others):
        note(f"aim run with {number} secrets", f"{median - plain:.1f} ms more than the command alone ({plain:.1f} ms), medians of 100")
    server.stop()


def sealed_reads(server, folder, count, name, beside=True):
    if beside:
        # What the machine can do just now.
        load(server, folder, f"decisions, before {name}")
    # The last paths may have gaps: wrk leaves requests under way at its end.
    os.environ.update({"AIM_LOAD": "reads", "AIM_SECRETS": str(count - 2 * CONNECTIONS)})
    load(server, folder, name)
    del os.environ["AIM_LOAD"], os.environ["AIM_SECRETS"]


class Postgres:
    """A private PostgreSQL with fsync on, as a package installs it; AIM's role is no superuser."""

    def __init__(self, folder):
        initdb = shutil.which("initdb") or sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1]
        self.bin = pathlib.Path(os.path.realpath(initdb)).parent
        self.folder = pathlib.Path(folder) / "postgres"
        self.folder.mkdir()
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user:
            os.chmod(folder, 0o755)
            shutil.chown(self.folder, self.user)
        self.port = free_port()

    def run(self, *command):
        prefix = ["runuser", "-u", self.user, "--"] if self.user else []
        return subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        self.run(self.bin / "initdb", "-D", self.folder / "data", "-U", "postgres", "--auth=trust", "--locale=C",
                 "--encoding=UTF8")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self.run(self.bin / "pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")
        self.sql("CREATE ROLE aim LOGIN CREATEDB")
        self.sql("CREATE DATABASE aim OWNER aim")
        return f"postgres://aim@127.0.0.1:{self.port}/aim"

    def sql(self, statement):
        subprocess.run([self.bin / "psql", "-qX", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c",
                        statement], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.run(self.bin / "pg_ctl", "-D", self.folder / "data", "-m", "fast", "-w", "stop")


def postgres_load(folder):
    postgres = Postgres(folder)
    url = postgres.start()
    try:
        server = Server(folder / "on-postgres", url).init().start()
        load(server, folder, "decisions, PostgreSQL fsync on")
        server.stop()
    finally:
        postgres.stop()


def uuid7(milliseconds):
    value = bytearray(milliseconds.to_bytes(6, "big") + secrets.token_bytes(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return bytes(value)


def columns(database, table, row):
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"


P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P


def public_key():
    """Bytes that decode to a point of edwards25519 (RFC 8032 section 5.1.3), which nobody has the private key of."""
    while True:
        key = secrets.token_bytes(32)
        y = int.from_bytes(key, "little") & (2**255 - 1)
        square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
        if y < P and pow(square, (P - 1) // 2, P) == 1:
            return key


def thumbprint(key):
    """The fingerprint of a key: RFC 7638."""
    x = base64.urlsafe_b64encode(key).rstrip(b"=").decode()
    digest = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def seed_agents(path, count):
    """Agents with a key each, straight into the file: they only take up room."""
    database = sqlite3.connect(path)
    organization = database.execute("SELECT id FROM organizations").fetchone()[0]
    now = int(time.time() * 1e6)
    year = 365 * 86400 * 10**6

    def agent(index, identity):
        return dict(org_id=organization, id=identity, name=f"filler-{index}", display_name=f"Filler {index}",
                    description="", agent_type="ai_agent", version="1", status="active", tags="[]", talks_to="[]",
                    epoch=1, created_by="system:bench", created_at=now, updated_at=now)

    def key(index, identity):
        # A million points take minutes to find, and only pages look at keys.
        public = public_key() if count <= 10_000 else secrets.token_bytes(32)
        return dict(org_id=organization, agent_id=identity, fingerprint=thumbprint(public), public_key=public, sequence=1, created_at=now, expires_at=now + year,
                    created_by="system:bench", created_reason="registered", generated_by="client")

    identities = [uuid7(now // 1000 - count + index) for index in range(count)]
    for table, make in (("agents", agent), ("agent_keys", key)):
        statement = columns(database, table, make(0, identities[0]))
        database.executemany(statement, (tuple(make(i, identity).values()) for i, identity in enumerate(identities)))
    database.commit()
    database.close()


def seed_violations(path, count):
    """Violations of the last 30 days with their roll-ups, as the server would have written them."""
    database = sqlite3.connect(path)
    organization = database.execute("SELECT id FROM organizations").fetchone()[0]
    agents = [row[0] for row in database.execute("SELECT id FROM agents LIMIT 1000")]
    now = int(time.time() * 1000)
    span = 30 * 86400 * 1000
    severities = ["low", "medium", "medium", "high", "critical"]
    capabilities = [f"db:verb{n}" for n in range(20)]

    def row(index):
        moment = now - span + span * index // count
        agent = agents[index % len(agents)]
        return dict(org_id=organization, id=uuid7(moment), agent_id=agent, agent_name="filler",
                    decision_id=uuid7(moment), attempted_capability=capabilities[index // len(agents) % 20], resource="customers/1",
                    registered_capabilities='["db:read"]', severity=severities[index % 5], trust_score_impact=-3,
                    is_blocked=1, source_ip="192.0.2.1", request_metadata="{}",
                    reason_codes='["capability.not_granted"]', created_at=moment * 1000)

    database.executemany(columns(database, "violations", row(0)), (tuple(row(i).values()) for i in range(count)))
    schema = [entry[1] for entry in database.execute("PRAGMA table_info(violation_counts)")]
    everything = "''" if any(row for row in schema if row == "attempted_capability") else ""
    nil = "zeroblob(16)"
    for agent in ("agent_id", nil):
        for granularity, width in (("h", 3600), ("d", 86400)):
            for capability in ("attempted_capability", everything):
                bucket = f"created_at / {width * 10**6} * {width * 10**6}"
                database.execute(
                    f"INSERT INTO violation_counts (org_id, agent_id, granularity, bucket, severity, "
                    f"attempted_capability, is_blocked, count) SELECT org_id, {agent}, '{granularity}', {bucket}, "
                    f"severity, {capability}, is_blocked, count(*) FROM violations GROUP BY 1, 2, 3, 4, 5, 6, 7")
    database.execute(
        "INSERT INTO violation_groups (org_id, agent_id, agent_name, attempted_capability, reason_code, severity, "
        "first_seen_at, last_seen_at, last_violation_id, count) SELECT org_id, agent_id, agent_name, attempted_capability, "
        "'capability.not_granted', severity, min(created_at), max(created_at), max(id), count(*) FROM violations "
        "GROUP BY org_id, agent_id, attempted_capability")
    database.commit()
    database.close()


def seed_audit(path, count):
    """Records of decisions and a few events, of the last 30 days, with the newest 20,000 decisions behind them. Their
    links are no chain: this is for reading pages, not for verifying."""
    database = sqlite3.connect(path)
    organization = database.execute("SELECT id FROM organizations").fetchone()[0]
    agents = [row[0] for row in database.execute("SELECT id FROM agents LIMIT 1000")]
    size = database.execute("SELECT size FROM audit_head").fetchone()[0]
    now = int(time.time() * 1000)
    span = 30 * 86400 * 1000
    outcomes = ["approved"] * 8 + ["denied", "pending"]
    identities = [uuid7(now - span + span * index // count) for index in range(count)]
    verdicts = {outcome: json.dumps({
        "outcome": outcome, "reasons": [{"code": "granted", "message": "granted by `db:*`", "subject": None}], "decided_by": None,
        "risk": "low", "severity": None, "trust_score_impact": 0, "counted_grant": None}) for outcome in outcomes}

    def moment(index):
        return (now - span + span * index // count) * 1000

    def record(index):
        decision = index % 50 != 0
        agent = agents[index * 7 % len(agents)]
        return dict(leaf_index=size + index, org_id=organization, id=identities[index], created_at=moment(index),
                    kind="decision" if decision else "event", action=f"db:verb{index % 20}" if decision else "agent.updated",
                    actor_kind="agent" if decision else "system", actor_id=str(uuid.UUID(bytes=agent)), agent_id=agent,
                    target_kind="decision" if decision else "agent", target_id=str(uuid.UUID(bytes=identities[index])),
                    outcome=outcomes[index % 10] if decision else "ok", leaf="{}", leaf_hash=bytes(32), link=bytes(32),
                    details="{}", salt=bytes(16))

    def decision(index):
        return dict(org_id=organization, id=identities[index], agent_id=agents[index * 7 % len(agents)],
                    created_at=moment(index), action=f"db:verb{index % 20}", resource="customers/1",
                    status=outcomes[index % 10], outcome=outcomes[index % 10], reason_codes='["granted"]', risk="low",
                    credential="key", scheme="rfc9421", snapshot_digest=bytes(32), inputs="{}", verdict=verdicts[outcomes[index % 10]],
                    salt=bytes(16), leaf_index=size + index)

    database.executemany(columns(database, "audit_log", record(0)), (tuple(record(i).values()) for i in range(count)))
    newest = [index for index in range(max(0, count - 20_000), count) if index % 50 != 0]
    database.executemany(columns(database, "decisions", decision(0)), (tuple(decision(i).values()) for i in newest))
    database.execute("UPDATE audit_head SET size = ?", (size + count,))
    database.commit()
    database.close()


def timed(server, path, times=60):
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        server.get(path).read()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1000


# The console's pages with their filters; `{agent}` is an agent with records.
CONSOLE = [
    "/overview", "/agents", "/agents?q=filler-99&status=active", "/agents/{agent}", "/agents/{agent}/activity",
    "/agents/{agent}/capabilities", "/agents/{agent}/violations", "/agents/{agent}/key-vault", "/agents/{agent}/trust",
    "/agents/{agent}/mcp-servers", "/agents/{agent}/audit", "/violations",
    "/violations?range=all", "/violations?severity=critical&range=30d", "/violations?view=single&range=all",
    "/violations?view=single&severity=critical&state=open&range=30d", "/violations?capability=db:verb7&agent=filler-77",
    "/requests", "/alerts", "/threats", "/live", "/policies", "/trust", "/trust?agent_type=ai_agent", "/mcp-servers", "/audit", "/audit?action=agent.updated", "/audit?action=agent.updated&range=7d", "/compliance",
    "/webhooks", "/users", "/api-keys", "/settings", "/profile",
]


def console(folder):
    """Each page of the console, as a signed-in administrator gets it."""
    rows = int(os.environ.get("AIM_BENCH_ROWS", "1000000"))
    server = Server(folder / "console").init()
    path = server.folder / "aim.db"
    seed_agents(path, 10_000)
    seed_violations(path, rows)
    seed_audit(path, rows)
    server.start()
    wait_for_followers(path)
    body = json.dumps({"email": "admin@bench.test", "password": server.password}).encode()
    request = urllib.request.Request(f"{server.url}/api/v1/auth/login", data=body,
                                     headers={"Content-Type": "application/json"})
    cookie = urllib.request.urlopen(request).headers["Set-Cookie"].split(";")[0]
    agent = json.load(server.get("/api/v1/violations?limit=1"))["violations"][0]["agent_id"]
    slowest = 0
    for page in CONSOLE:
        taken, size = [], 0
        for _ in range(30):
            began = time.perf_counter()
            request = urllib.request.Request(server.url + page.format(agent=agent),
                                             headers={"Cookie": cookie, "Accept": "text/html"})
            try:
                size = len(urllib.request.urlopen(request, timeout=60).read())
            except urllib.error.HTTPError as error:
                raise SystemExit(f"{page}: {error}") from error
            taken.append((time.perf_counter() - began) * 1000)
        median = sorted(taken)[len(taken) // 2]
        slowest = max(slowest, median)
        note(f"page {page}", f"{median:.1f} ms median, {max(taken):.1f} ms at most, {size / 1024:.0f} KiB")
    note("slowest page", f"{slowest:.1f} ms median")
    server.stop()


def wait_for_followers(path):
    """Until those who follow the log have read what was seeded; a deadline, for a follower may have failed."""
    database = sqlite3.connect(path)
    size = database.execute("SELECT size FROM audit_head").fetchone()[0]
    began = time.perf_counter()
    while time.perf_counter() - began < 600:
        behind = database.execute("SELECT count(*) FROM followers WHERE next_index < ?", (size,)).fetchone()[0]
        if not behind:
            note("followers read the log", f"{size} records in {time.perf_counter() - began:.0f} s")
            return
        time.sleep(0.5)
    raise SystemExit("the followers did not come to the log's end")


PAGES = {
    "first page": "/api/v1/violations?limit=20",
    "severity": "/api/v1/violations?limit=20&severity=critical&severity=high",
    "capability": "/api/v1/violations?limit=20&capability=db:verb7",
    "last 7 days": "/api/v1/violations?limit=20&from={week}",
    "offset 1000": "/api/v1/violations?limit=20&offset=1000",
}


def growth(folder):
    """The same work with 1,000 and with 1,000,000 agents, and pages of 10^4 and of 10^6 violations."""
    week = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7 * 86400 + 1234))
    for label, agents, violations in (("small", 1_000, 10_000), ("large", 1_000_000, int(os.environ.get("AIM_BENCH_ROWS", "1000000")))):
        server = Server(folder / f"growth-{label}").init()
        path = server.folder / "aim.db"
        seed_agents(path, agents)
        seed_violations(path, violations)
        server.start()
        note(f"cold start, {agents} agents, {violations} violations", f"{server.ready_in * 1000:.0f} ms")
        for name, page in PAGES.items():
            note(f"violations page, {name}, {violations} rows", f"{timed(server, page.format(week=week)):.2f} ms median")
        if label == "large":
            before = server.memory()
            began = time.perf_counter()
            size = 0
            with server.get("/api/v1/violations?format=csv") as answer:
                while chunk := answer.read(1 << 20):
                    size += len(chunk)
            note("CSV of the violations", f"{violations} rows, {size / 1e6:.0f} MB in {time.perf_counter() - began:.1f} s; "
                 f"memory {before:.0f} MB before, peak {server.memory('VmHWM'):.0f} MB")
        load(server, folder, f"decisions with {agents} agents", agents=1000)
        server.stop()


def idle(folder):
    server = Server(folder / "idle").init()
    seed_agents(server.folder / "aim.db", 10_000)
    starts = []
    for _ in range(7):
        server.start()
        starts.append(server.ready_in)
        server.stop()
    server.start()
    server.get("/api/v1/organizations/current").read()
    time.sleep(2)
    note("cold start to ready, existing database with 10,000 agents", f"{sorted(starts)[3] * 1000:.0f} ms median of 7")
    note("idle memory with 10,000 agents", f"{server.memory():.0f} MB")
    server.stop()


MEASUREMENTS = {"sqlite": sqlite_load, "postgres": postgres_load, "idle": idle, "growth": growth, "console": console}
# What only a binary of the premium edition has, when it is asked for by name.
PREMIUM = {"reads": reads_load, "run": run_load}


def main():
    wanted = sys.argv[1:] or list(MEASUREMENTS)
    subprocess.run(["sh", "-c", "grep -m1 'model name' /proc/cpuinfo; nproc; uname -sr"], check=True)
    for name in wanted:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="aim-bench-"))
        try:
            {**MEASUREMENTS, **PREMIUM}[name](folder)
        finally:
            for server in RUNNING:
                server.stop()
            RUNNING.clear()
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(RESULTS, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
