#!/bin/sh
# Drives the published aim-sdk against a server: run.sh BINARY [pytest's arguments]
# The virtual environment is kept in target/sdk-venv and made again when requirements.txt changes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY [pytest's arguments]   (BINARY: the aim program to be tested)" >&2
    exit 2
fi
AIM_BINARY=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
venv=${AIM_SDK_VENV:-$here/../../target/sdk-venv}
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
export AIM_BINARY
cd "$here"
exec "$venv/bin/python" -m pytest -p no:cacheprovider "$@"
