"""Signed requests made by hand: what the SDK would not send, and the generation before it, which is on no index."""

import base64
import json
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import nacl.signing
import requests

TIMEOUT = 30
VERIFICATIONS = "/api/v1/sdk-api/verifications"


class Agent:
    """An agent's id and key pair."""

    def __init__(self, agent_id, private_key, public_key=None):
        self.id = agent_id
        self.key = nacl.signing.SigningKey(base64.b64decode(private_key)[:32])
        self.public_key = public_key or base64.b64encode(bytes(self.key.verify_key)).decode()

    @classmethod
    def of(cls, client):
        """The agent of an SDK client."""
        return cls(client.agent_id, base64.b64encode(bytes(client.signing_key)).decode(), client.public_key)

    def with_another_key(self):
        """The same id with a key that nobody registered."""
        return Agent(self.id, base64.b64encode(bytes(nacl.signing.SigningKey.generate())).decode())

    def sign(self, text):
        return base64.b64encode(self.key.sign(text.encode("utf-8")).signature).decode()


def now(shift=0.0):
    """UTC as the SDKs write it, `shift` seconds from now."""
    moment = datetime.now(timezone.utc) + timedelta(seconds=shift)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def action(agent, capability="db:read", resource=None, context=None, timestamp=None, agent_id=None):
    """The body of a verification, as aim-sdk 2.x sends it."""
    context, timestamp = context or {}, timestamp or now()
    agent_id = agent_id or agent.id
    signed = {
        "action_type": capability, "agent_id": agent_id, "context": context, "resource": resource, "timestamp": timestamp,
    }
    return {
        "agentId": agent_id, "capability": capability, "resource": resource, "context": context,
        "timestamp": timestamp, "signature": agent.sign(json.dumps(signed, sort_keys=True)),
        "publicKey": agent.public_key,
    }


def older(body):
    """The same body in the names of the generation before."""
    names = {"agentId": "agent_id", "capability": "action_type", "publicKey": "public_key"}
    return {names.get(name, name): value for name, value in body.items()}


def verify(url, body, headers=None):
    """Sends a verification's body as it stands: a text, or something to be made one."""
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return requests.post(
        url + VERIFICATIONS, data=text, headers={"Content-Type": "application/json", **(headers or {})}, timeout=TIMEOUT
    )


def header_signed(agent, method, url, body=None, timestamp=None, signed_path=None):
    """Sends a request with a header signature."""
    target = urlsplit(url)
    target = target.path + (f"?{target.query}" if target.query else "")
    timestamp = timestamp or str(int(datetime.now(timezone.utc).timestamp()))
    text = json.dumps(body, sort_keys=True) if body is not None else None
    message = "\n".join([method, signed_path or target, timestamp] + ([text] if text is not None else []))
    headers = {
        "X-Agent-ID": agent.id, "X-Timestamp": timestamp, "X-Public-Key": agent.public_key,
        "X-Signature": agent.sign(message), "Content-Type": "application/json",
    }
    return requests.request(method, url, data=text, headers=headers, timeout=TIMEOUT)


def poll(agent, url, decision, timestamp=None, agent_id=None):
    """Asks what became of a decision, as aim-sdk 2.x does."""
    path = f"{VERIFICATIONS}/{decision}"
    agent_id = agent_id or agent.id
    timestamp = timestamp or str(int(datetime.now(timezone.utc).timestamp()))
    headers = {
        "X-AIM-Agent-ID": agent_id, "X-AIM-Timestamp": timestamp,
        "X-AIM-Signature": agent.sign(f"GET\n{path}\n{agent_id}\n{timestamp}"),
    }
    return requests.get(url + path, headers=headers, timeout=TIMEOUT)
