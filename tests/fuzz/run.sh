#!/bin/sh
# Lets schemathesis loose on a server of its own: run.sh BINARY [DATABASE_URL]
# Fails when anything that the served OpenAPI document describes answers with a 5xx, when the server
# panics, or when its audit log is not intact afterwards. The virtual environment is kept in
# target/fuzz-venv and made again when requirements.txt changes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY [DATABASE_URL]   (BINARY: the aim program to be tested)" >&2
    exit 2
fi
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
venv=${AIM_FUZZ_VENV:-$here/../../target/fuzz-venv}
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
venv=$(cd "$venv" && pwd)

work=$(mktemp -d)
server=""
clean_up() {
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$work"

# A URL may hold a password, so it does not become an argument.
[ $# -lt 2 ] || export AIM__DATABASE__URL="$2"
export AIM__LIMITS__REQUESTS_PER_SECOND=0 AIM__LIMITS__ANONYMOUS_REQUESTS_PER_SECOND=0
echo 'correct horse battery staple 47' |
    "$binary" init --data data --org Fuzz --admin-email admin@example.com --admin-password-stdin --json >made.json
key=$(python3 -c 'import json; print(json.load(open("made.json"))["api_key"])')
: >ready
"$binary" serve --data data --bind 127.0.0.1:0 >ready 2>log &
server=$!
address=""
waited=0
while [ -z "$address" ]; do
    address=$(sed -n 's|.* ready on \(http://.*\)|\1|p' ready)
    kill -0 "$server" 2>/dev/null && [ "$waited" -lt 300 ] || { cat log >&2; exit 1; }
    waited=$((waited + 1))
    sleep 0.1
done

# The event stream never ends by itself: a reader of whole answers waits for it in vain.
failed=0
"$venv/bin/schemathesis" --no-color run "$address/api/v1/openapi.json" \
    --header "Authorization: Bearer $key" \
    --exclude-path /api/v1/events/stream \
    --exclude-path /api/v1/vault/changes \
    --exclude-path /api/v1/vault/seal \
    --checks not_a_server_error \
    --phases examples,coverage,fuzzing \
    --max-examples "${AIM_FUZZ_EXAMPLES:-20}" \
    --seed "${AIM_FUZZ_SEED:-1}" \
    --workers 2 \
    --request-timeout 20 \
    --suppress-health-check all \
    --warnings off || failed=1

if grep -q panicked log; then
    grep -A 3 panicked log >&2
    failed=1
fi
kill -0 "$server" 2>/dev/null || { echo "the server ended" >&2; tail -n 20 log >&2; failed=1; }
kill -9 "$server" 2>/dev/null || true
wait "$server" 2>/dev/null || true
server=""
"$binary" audit verify --data data || failed=1
exit "$failed"
