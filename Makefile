# `make demo` and `make test` work on a fresh Debian machine that has Rust; everything else they need they set up.

.PHONY: help setup images build check test demo bench

help:    ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup:   ## install what is missing and start Docker when no daemon answers
	@deploy/setup.sh

images: setup ## make the offline images that tests and examples run in
	@tests/images/build.sh

build:   ## target/debug/drydock
	cargo build

check:   ## formatting and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

test: images build check ## everything CI runs
	DRYDOCK_REQUIRE_DOCKER=1 cargo test
	@tests/leftovers.sh

demo:    ## a signed push becomes a built, tested and pushed image, and a green commit
	@tests/demo/demo.sh

bench: setup ## drydock's speed beside bare Docker API calls (a release build)
	@tests/images/build.sh busybox
	cargo build --release
	@python3 benches/bench.py
