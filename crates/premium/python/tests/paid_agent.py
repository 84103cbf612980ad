"""A whole agent: reads a key, calls a paid API with it, and keeps nothing. `paid_agent.py AGENT PATH URL`"""

import sys

import httpx

from aim_secrets import AimSecrets


def main() -> int:
    agent, path, url = sys.argv[1:]
    with AimSecrets.for_agent(agent) as secrets, secrets.get(path) as key:
        print(repr(key))
        answer = httpx.post(url, headers={"Authorization": f"Bearer {key.reveal()}"}, timeout=30, trust_env=False)
    print(answer.status_code, answer.json()["charged"])
    return 0 if answer.status_code == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
