#!/bin/sh
# Run once by PostgreSQL's image, on an empty volume: a role of AIM's own, and its database.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$AIM_DATABASE_PASSWORD" --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE aim LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE aim OWNER aim;
SQL
