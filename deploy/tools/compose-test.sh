#!/bin/bash
# From a machine without Docker to the verdict on the containers: engine, images, drills. Takes away what it made.
#
#   YES=1 deploy/tools/compose-test.sh [DRILL…]     all drills, or those named (see `compose-drills --list`)
#
#   COMPOSE_TEST_IMAGES=offline    images from Debian's packages, Go modules and binaries built outside (the default)
#   COMPOSE_TEST_IMAGES=registry   images as a user builds them, from the registries' base images
#   COMPOSE_TEST_KEEP=1            leaves engine, images and containers as they are, for the next run
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
: "${COMPOSE_TEST_IMAGES:=offline}" "${COMPOSE_TEST_KEEP:=0}"
begun=$SECONDS
say() { printf 'compose-test: %s\n' "$*" >&2; }

case $COMPOSE_TEST_IMAGES in
  offline | registry) ;;
  *) say "COMPOSE_TEST_IMAGES=$COMPOSE_TEST_IMAGES: allowed are offline and registry"; exit 64 ;;
esac

made=
clean_up() {
  status=$?
  trap - EXIT INT TERM
  if [ "$COMPOSE_TEST_KEEP" = 1 ]; then
    say "COMPOSE_TEST_KEEP=1: engine and images stay; deploy/tools/engine.sh stop takes the engine away"
  else
    # Only what was not there before; with an engine of our own everything goes anyway.
    if [ -n "$made" ] && docker version >/dev/null 2>&1; then
      comm -13 <(sort "$made") <(images) | xargs -r docker image rm --force >/dev/null 2>&1 || true
    fi
    deploy/tools/engine.sh stop || true
    rm -rf target/docker
  fi
  rm -f "$made"
  exit "$status"
}
images() { docker image ls --format '{{.Repository}}:{{.Tag}}' | { grep -v '<none>' || true; } | sort; }

make prepare build
cargo build --locked -p dub-tests --bin compose-drills
environment=$(deploy/tools/engine.sh start)
eval "$environment"
made=$(mktemp)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
images > "$made"

build_images() {
  if [ "$COMPOSE_TEST_IMAGES" = offline ]; then
    deploy/tools/images-offline.sh
  else
    docker compose --profile demo build
    docker compose build prometheus
    docker compose -f docker-compose.yml -f deploy/docker-compose.twin.yml build gemini-twin
    MEDIA_EDGE_VARIANT=-slim docker compose build media-edge
  fi
}
was_cold=yes
! grep -q '^dub/media-edge:' "$made" || was_cold=no
at=$SECONDS
build_images
first=$((SECONDS - at))
at=$SECONDS
build_images
again=$((SECONDS - at))
echo
echo "| build | time |"
echo "|---|---|"
echo "| all images, first (cold: $was_cold, $COMPOSE_TEST_IMAGES) | $first s |"
echo "| all images, again (warm) | $again s |"
echo

promtool=$("$target/debug/local-stack" which promtool)
"$promtool" check config deploy/prometheus/prometheus.yml
"$promtool" test rules deploy/prometheus/tests/*.yml

status=0
"$target/debug/compose-drills" "$@" || status=$?
say "$((SECONDS - begun)) s in all, exit code $status"
exit "$status"
