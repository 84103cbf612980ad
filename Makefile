# Everything one does with this repository. `make help` lists it.

CARGO ?= cargo
DATA ?= data
BIND ?= 127.0.0.1:8700

.PHONY: help build demo run test lint fmt bench
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## both editions as they ship: target/dist/aim-community and target/dist/aim-premium
	$(CARGO) build --locked --profile dist -p aim
	install -m 755 target/dist/aim target/dist/aim-community
	$(CARGO) build --locked --profile dist -p aim --features premium
	install -m 755 target/dist/aim target/dist/aim-premium

demo: ## a lively fleet of agents on a server of its own; Ctrl-C ends it
	$(CARGO) run --locked --release -p aim -- demo

run: ## the real server, with its data in ./data
	$(CARGO) run --locked --release -p aim -- serve --data $(DATA) --bind $(BIND)

test: ## everything: lints, and the tests of both editions on SQLite and PostgreSQL
	tests/run.sh

lint: ## formatting, clippy for both editions, licences and bans
	tests/run.sh lint

fmt: ## format the code
	$(CARGO) fmt --all

bench: ## the measurements of docs/BENCHMARKS.md; needs wrk and PostgreSQL
	$(CARGO) build --locked --release -p aim -p aim-client -p aim-platform --bin aim --example prepare_load --example signature_only
	tests/bench/bench.py
	$(CARGO) bench --locked -p aim-decision
