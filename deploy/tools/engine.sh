#!/bin/sh
# A Docker engine for the test of the containers, where none answers; with its plugins compose and buildx.
#
#   deploy/tools/engine.sh start   prints the environment in which `docker` reaches an engine, for `eval`
#   deploy/tools/engine.sh stop    stops the engine that `start` started and takes away all that it made
#
# An engine that answers already is used as it is, and `stop` leaves it alone. The own one lies in DUB_ENGINE_DIR and
# needs root, Linux, and Debian's packages docker.io and iptables, which `start` installs (YES=1: without asking).
set -eu
cd "$(dirname "$0")/../.."
: "${DUB_ENGINE_DIR:=/var/lib/dub-engine}"
run=/run/dub-engine
socket=unix://$run/docker.sock
local_stack=${CARGO_TARGET_DIR:-target}/debug/local-stack

say() { printf 'engine: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

install_engine() {
  have apt-get || die "no Docker engine, and this script installs one on Debian and Ubuntu only: see https://docs.docker.com/engine/install"
  missing=
  for package in docker.io iptables debootstrap; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "these Debian packages are missing and will be installed, and stay:$missing"
  if [ "${YES:-0}" != 1 ]; then
    [ -t 0 ] || die "nobody to ask here: run again with YES=1, or install them yourself"
    printf 'Install them now? [Y/n] ' >&2
    read -r answer
    case $answer in '' | y | Y | yes | Yes) ;; *) die "nothing was installed" ;; esac
  fi
  # The package would start an engine of its own where there is an init system; that one then answers, and is used.
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } >&2
}

start_engine() {
  [ "$(uname -s)" = Linux ] || die "no Docker engine answers; start Docker Desktop"
  [ "$(id -u)" = 0 ] || die "no Docker engine answers; start it, or run this as root so that one can be started"
  install_engine
  if version=$(answers); then
    say "engine $version answers"
    return 0
  fi
  export DOCKER_HOST=$socket
  if version=$(answers); then
    say "the engine $version of an earlier start answers"
    return 0
  fi
  mkdir -p "$run" "$DUB_ENGINE_DIR"
  # What the engine adds to the packet filter is taken away by going back to this.
  iptables-save > "$run/iptables"
  cat /proc/sys/net/ipv4/ip_forward > "$run/ip_forward"
  dockerd --data-root "$DUB_ENGINE_DIR" --exec-root "$run/exec" --pidfile "$run/pid" -H "$socket" > "$run/log" 2>&1 &
  tries=0
  until version=$(answers); do
    tries=$((tries + 1))
    [ "$tries" -le 60 ] || { tail -n 20 "$run/log" >&2; die "the engine does not answer within 30 s; its log ends as above ($run/log)"; }
    sleep 0.5
  done
  say "engine $version started, its data in $DUB_ENGINE_DIR"
}

# Plugins go into a client folder of this stack, so that nobody's own is touched; an own one with plugins is used.
install_plugins() {
  docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1 && return 0
  [ -x "$local_stack" ] || cargo build --locked -p local-stack >&2
  plugins=$PWD/target/docker/cli-plugins
  mkdir -p "$plugins"
  for tool in compose buildx; do cp -f "$("$local_stack" which "$tool")" "$plugins/docker-$tool"; done
  export DOCKER_CONFIG=$PWD/target/docker
  docker compose version >&2
  docker buildx version >&2
}

start() {
  have docker && answers >/dev/null || start_engine
  install_plugins
  for key in DOCKER_HOST DOCKER_CONFIG; do
    eval "value=\${$key:-}"
    [ -z "$value" ] || printf "export %s='%s'\n" "$key" "$value"
  done
}

stop() {
  [ -f "$run/pid" ] || return 0
  pid=$(cat "$run/pid")
  say "stopping the engine that was started, and taking away what it made"
  kill "$pid" 2>/dev/null || true
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 60 ]; do tries=$((tries + 1)); sleep 0.5; done
  kill -9 "$pid" 2>/dev/null || true
  ip link delete docker0 2>/dev/null || true
  iptables-restore < "$run/iptables" || say "the packet filter could not be set back; it was as in $run/iptables"
  cat "$run/ip_forward" > /proc/sys/net/ipv4/ip_forward || true
  awk -v a="$run/" -v b="$DUB_ENGINE_DIR/" 'index($2, a) == 1 || index($2, b) == 1 { print $2 }' /proc/mounts \
    | sort -r | while read -r mount; do umount "$mount" 2>/dev/null || true; done
  rm -rf "$DUB_ENGINE_DIR" "$run"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) die "usage: engine.sh start | stop" ;;
esac
