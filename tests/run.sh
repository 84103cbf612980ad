#!/usr/bin/env bash
# Runs every check and test: `tests/run.sh [all|lint|test]`. Needs Rust, a C compiler and python3; finds or
# installs PostgreSQL and Chromium, starts a PostgreSQL of its own on a free port and always stops it. Asks nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

what="${1:-all}"
work="$(mktemp -d /tmp/aim-tests.XXXXXX)"
postgres_bin=""
postgres_user=""
postgres_port=""

say() { printf '== %s\n' "$*"; }

stop_postgres() {
  if [ -n "$postgres_bin" ] && [ -f "$work/pg/postmaster.pid" ]; then
    as_postgres "$postgres_bin/pg_ctl" -D "$work/pg" -m immediate -w stop >/dev/null 2>&1 || true
  fi
}
cleanup() {
  stop_postgres
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lint() {
  say "formatting"
  cargo fmt --all --check
  say "clippy, community"
  cargo clippy --locked --workspace --all-targets -- -D warnings
  say "clippy, premium"
  cargo clippy --locked -p aim -p aim-premium -p aim-tests --all-targets --features aim/premium,aim-tests/premium -- -D warnings
  if cargo deny --version >/dev/null 2>&1; then
    say "licences, bans, sources"
    cargo deny --locked --all-features check bans licenses sources
  else
    say "cargo-deny is not installed: licences, bans and sources were not checked"
  fi
}

# The folder with initdb and pg_ctl.
find_postgres() {
  local initdb
  if initdb="$(command -v initdb)"; then
    dirname "$(readlink -f "$initdb")"
    return 0
  fi
  # shellcheck disable=SC2012 # versions are numbers
  ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1 | grep .
}

install_postgres() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "PostgreSQL is missing: install the package postgresql, or put initdb and pg_ctl on the PATH" >&2
    return 1
  fi
  say "installing PostgreSQL"
  # The tests start a server of their own; the package need not start one too.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
  DEBIAN_FRONTEND=noninteractive apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ -z "$postgres_user" ]; then
    "$@"
  elif command -v runuser >/dev/null; then
    runuser -u "$postgres_user" -- "$@"
  elif command -v setpriv >/dev/null; then
    setpriv --reuid "$postgres_user" --regid "$(id -g "$postgres_user")" --clear-groups -- "$@"
  else
    su -s /bin/sh "$postgres_user" -c 'exec "$0" "$@"' -- "$@"
  fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_postgres() {
  if ! postgres_bin="$(find_postgres)"; then
    install_postgres
    postgres_bin="$(find_postgres)"
  fi
  if [ "$(id -u)" -eq 0 ]; then
    postgres_user="$(id -un postgres 2>/dev/null || echo nobody)"
    chown "$postgres_user" "$work"
  fi
  local password port attempt
  password="$(python3 -c 'import secrets; print(secrets.token_hex(16))')"
  printf '%s\n' "$password" >"$work/password"
  chmod 600 "$work/password"
  [ -z "$postgres_user" ] || chown "$postgres_user" "$work/password"
  as_postgres "$postgres_bin/initdb" -D "$work/pg" -U postgres --auth=scram-sha-256 \
    --pwfile="$work/password" --encoding=UTF8 --locale=C >"$work/initdb.log" 2>&1 ||
    { cat "$work/initdb.log" >&2; return 1; }
  for attempt in 1 2 3 4 5; do
    port="$(free_port)"
    if as_postgres "$postgres_bin/pg_ctl" -D "$work/pg" -l "$work/pg/server.log" -w -t 60 start -o \
      "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300 \
       -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
       -c wal_level=minimal -c max_wal_senders=0 -c min_wal_size=32MB -c max_wal_size=128MB" >/dev/null; then
      break
    fi
    [ "$attempt" -lt 5 ] || { cat "$work/pg/server.log" >&2; return 1; }
  done
  postgres_port="$port"
  # AIM's own role is no superuser: row-level security holds for it.
  printf '%s\n' "CREATE ROLE aim LOGIN CREATEDB PASSWORD '$password';" "CREATE DATABASE aim OWNER aim;" | as_superuser
  export AIM_TEST_POSTGRES_URL="postgres://aim:$password@127.0.0.1:$port/aim"
  say "PostgreSQL: $("$postgres_bin/postgres" --version | head -n 1), port $port"
}

# Hundreds of tests have left a database each, of some 10 MB.
forget_databases() {
  as_superuser -At -c "SELECT format('DROP DATABASE %I WITH (FORCE);', datname) FROM pg_database
    WHERE datname NOT IN ('aim', 'postgres') AND NOT datistemplate" | as_superuser
}

as_superuser() {
  local password
  password="$(cat "$work/password")"
  PGPASSWORD="$password" "$postgres_bin/psql" -qXw -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U postgres -d postgres "$@"
}

# Chromium with its driver, from Debian's packages. The tests start and stop the driver themselves.
need_browser() {
  export AIM_TEST_BROWSER=required
  command -v chromedriver >/dev/null && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "the browser tests need Chromium: install the packages chromium and chromium-driver" >&2
    return 1
  fi
  say "installing Chromium and its driver"
  DEBIAN_FRONTEND=noninteractive apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
}

# axe-core judges whether the pages are accessible. It is MPL-2.0, used by tests alone and part of nothing that
# ships, so it is fetched: this version, with this content.
AXE_VERSION=4.14.1
AXE_SHA512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

need_axe() {
  local folder="${CARGO_TARGET_DIR:-target}/axe-core-$AXE_VERSION"
  export AIM_TEST_AXE="$PWD/$folder/package/axe.min.js"
  case "$folder" in /*) AIM_TEST_AXE="$folder/package/axe.min.js" ;; esac
  [ -f "$AIM_TEST_AXE" ] && return 0
  if ! command -v npm >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
      echo "axe-core is fetched with npm: install the package npm, or name axe.min.js in AIM_TEST_AXE" >&2
      return 1
    fi
    say "installing npm"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null
  fi
  say "fetching axe-core $AXE_VERSION"
  (cd "$work" && npm pack --silent "axe-core@$AXE_VERSION" >/dev/null)
  local packed="$work/axe-core-$AXE_VERSION.tgz"
  [ "$(sha512sum <"$packed" | cut -d' ' -f1)" = "$AXE_SHA512" ] ||
    { echo "axe-core $AXE_VERSION is not what it was" >&2; return 1; }
  mkdir -p "$folder"
  tar -xzf "$packed" -C "$folder" package/axe.min.js package/LICENSE
}

run_tests() {
  start_postgres
  need_browser
  need_axe
  # What the tests of a whole edition build is the program too; building it by itself would build much of what is below it once
  # more, with fewer features.
  local program="${CARGO_TARGET_DIR:-$PWD/target}/debug/aim"
  export AIM_BINARY="$program"
  say "tests, community, on SQLite and PostgreSQL"
  cargo test --locked --workspace --exclude aim-premium
  keep community
  forget_databases
  need_venv
  say "tests, premium, on SQLite and PostgreSQL"
  tests/kms/run.sh cargo test --locked -p aim -p aim-premium -p aim-tests --features aim/premium,aim-tests/premium
  keep premium
  forget_databases
  say "the vault, killed at every step"
  # The same packages as before, so that few are built anew.
  cargo test --locked -p aim -p aim-premium -p aim-tests --features aim/premium,aim-tests/premium,aim-premium/fail-points --test vault crash
  say "the published aim-sdk's secrets calls, premium, on SQLite and PostgreSQL"
  AIM_SDK_EDITION=premium tests/sdk/run.sh "$work/aim-premium" -q test_secrets.py
  say "the Python client of the vault, on SQLite and PostgreSQL"
  crates/premium/python/run.sh "$work/aim-premium" -q
  say "the published aim-sdk, unmodified, on SQLite and PostgreSQL"
  tests/sdk/run.sh "$work/aim-community" -q
  say "malformed input over the served OpenAPI document"
  tests/fuzz/run.sh "$work/aim-community"
}

# Keeps the program that was tested just now, of this edition and no other, for the lanes that need nothing else of the build.
keep() {
  local version
  version="$("$AIM_BINARY" --version)"
  [[ "$version" == *"($1)" ]] || { echo "$AIM_BINARY says: $version" >&2; return 1; }
  cp "$AIM_BINARY" "$work/aim-$1"
}

# The SDK and the fuzzer are Python packages, each in a virtual environment of its own.
need_venv() {
  python3 -c 'import ensurepip, venv' 2>/dev/null && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "python3 cannot make virtual environments: install the package python3-venv" >&2
    return 1
  fi
  say "installing python3-venv"
  DEBIAN_FRONTEND=noninteractive apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
}

case "$what" in
  lint) lint ;;
  test) run_tests ;;
  all) lint; run_tests ;;
  *) echo "usage: tests/run.sh [all|lint|test]" >&2; exit 1 ;;
esac
say "passed: $what"
