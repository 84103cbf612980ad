#!/bin/sh
# Drives the published aim-sdk against a server: run.sh BINARY [pytest's arguments]
# With AIM_TEST_POSTGRES_URL (a server on which databases may be created; needs psql) everything runs on both databases.
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
# The SDK keeps agents' keys in the home folder, and looks for that when it is imported.
HOME=$(mktemp -d)
trap 'rm -rf "$HOME"' EXIT
export AIM_BINARY HOME
cd "$here"
"$venv/bin/python" -m pytest -p no:cacheprovider "$@"
