#!/bin/sh
# Runs a command with moto, a server that answers as AWS KMS does: run.sh COMMAND [ARGUMENTS]
# The command finds it in AIM_TEST_MOTO. The virtual environment is kept in target/kms-venv and made again when
# requirements.txt changes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ]; then
    echo "usage: $0 COMMAND [ARGUMENTS]" >&2
    exit 2
fi
venv=${AIM_KMS_VENV:-$here/../../target/kms-venv}
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >/dev/null 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
"$venv/bin/python" - "$port" <<'P'
import socket, sys, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("moto does not answer")
P
AIM_TEST_MOTO="http://127.0.0.1:$port" "$@"
