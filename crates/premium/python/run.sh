#!/bin/sh
# Drives the Python client against a server of the premium edition: run.sh BINARY [pytest's arguments]
# With AIM_TEST_POSTGRES_URL (a server on which databases may be created; needs psql) everything runs on both databases.
# The virtual environment is kept in target/python-client-venv and made again when pyproject.toml changes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY [pytest's arguments]   (BINARY: the aim program to be tested)" >&2
    exit 2
fi
AIM_BINARY=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
venv=${AIM_PYTHON_CLIENT_VENV:-$here/../../../target/python-client-venv}
if ! cmp -s "$here/pyproject.toml" "$venv/installed.toml"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # A copy is built, so that no traces of it stay in the tree.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R "$here/." "$copy/"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$copy[test]"
    cp "$here/pyproject.toml" "$venv/installed.toml"
fi
export AIM_BINARY PYTHONDONTWRITEBYTECODE=1
cd "$here"
# What is tested is the source, whenever it was installed.
PYTHONPATH="$here/src" "$venv/bin/python" -m mypy --cache-dir=/dev/null
PYTHONPATH="$here/src" "$venv/bin/python" -m pytest -p no:cacheprovider "$@"
