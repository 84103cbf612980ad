#!/usr/bin/env python3
"""Writes aim_sdk.json beside this file: requests as the published aim-sdk makes and signs them.

Needs aim-sdk 2.x (tests/sdk/requirements.txt). Nothing of it is changed; only its HTTP session is replaced by one
that notes the prepared request down and answers from a list. Run it again to try a newer SDK; the output is
committed.
"""

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

import aim_sdk
import nacl.signing
import requests

AGENT = "0198d5a0-5f2c-7c1e-9b3a-6f0e5d4c3b2a"
SEED = bytes(range(32))

CONTEXTS = {
    "no resource, no context": (None, {}),
    "plain": ("customers/42", {"purpose": "billing", "rows": 10}),
    "floats": ("numbers", {"f": [1.0, 1e-07, 1e16, -0.0, 0.1], "big": 10**18, "bigger": 10**30}),
    "text": ("Zürich/東京", {"rocket": "🚀", "control": "\x00\x1f\x7f", "markup": "<a href='/x'>&</a>", "quote": "\"\\"}),
    "nested": ("deep", {"z": {"b": [], "a": {}}, "a": [{"y": None, "x": True}], "_": False}),
    "integer keys": ("table", {10: "ten", 9: "nine", 2: {"inner": {11: 1, 3: 2}}}),
}


class NotingSession(requests.Session):
    """Sends nothing: prepares each request as requests would, notes it down, and answers."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def send(self, request, **_):
        parts = urlsplit(request.url)
        body = request.body or ""
        self.noted.append({
            "method": request.method,
            "target": parts.path + (f"?{parts.query}" if parts.query else ""),
            "headers": {name: value for name, value in request.headers.items() if name.startswith("X-")},
            "body": body if isinstance(body, str) else body.decode("utf-8"),
        })
        response = requests.Response()
        response.status_code = 200
        response.url = request.url
        response.request = request
        response._content = json.dumps({"id": AGENT, "status": "approved", "enforcementMode": "strict"}).encode()
        return response


def client():
    key = nacl.signing.SigningKey(SEED)
    made = aim_sdk.AIMClient(
        agent_id=AGENT,
        public_key=base64.b64encode(bytes(key.verify_key)).decode(),
        private_key=base64.b64encode(SEED + bytes(key.verify_key)).decode(),
        aim_url="https://aim.example",
    )
    made.session = NotingSession()
    return made


def one(call):
    used = client()
    call(used)
    (noted,) = used.session.noted
    return noted


def main():
    path = f"/api/v1/sdk-api/agents/{AGENT}/capability-requests"
    document = {
        "sdk": aim_sdk.__version__,
        "agent": AGENT,
        "seed": base64.b64encode(SEED).decode(),
        "verifications": [
            {"name": name, **one(lambda used: used.verify_capability("db:read", resource=resource, context=context))}
            for name, (resource, context) in CONTEXTS.items()
        ],
        "header_signed": [
            {"name": "with a body", **one(lambda used: used.request_capability("db:write", "to write größere rows", {"n": 1.0}))},
            {"name": "without a body", **one(lambda used: used._make_request("GET", path))},
            {"name": "with a query", **one(lambda used: used._make_request("GET", f"{path}?limit=10&offset=0"))},
            {"name": "with a query that must be encoded", **one(lambda used: used._make_request("GET", f"{path}?name=my server é"))},
        ],
        "poll": one(lambda used: used._wait_for_approval(AGENT.upper(), 5)),
    }
    target = Path(__file__).with_name("aim_sdk.json")
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
