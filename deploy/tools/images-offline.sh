#!/bin/sh
# Builds every image where no image registry can be reached: the images that the Dockerfile stands on are made under
# their own names, from Debian's packages and from Go modules, and our programs are compiled outside.
#
#   deploy/tools/images-offline.sh        everything
#
# Needs: a Docker engine with compose and buildx, debootstrap (as root), Rust, Go. An image that is there already
# under its name is taken as it is. BASE_IMAGE, MEDIAMTX_IMAGE, JAEGER_IMAGE and PROMETHEUS_IMAGE name others. Grafana
# comes from no package registry: of the profile `observability` only Prometheus is built here.
set -eu
cd "$(dirname "$0")/../.."
: "${BASE_IMAGE:=debian:trixie-slim}" "${MEDIAMTX_IMAGE:=bluenviron/mediamtx:1.20.1}" "${PROMETHEUS_IMAGE:=prom/prometheus:v3.13.5}"
# The newest Jaeger that a Go module reaches is older than the image of the compose file, so it has a name of its own.
: "${JAEGER_IMAGE:=dub/jaeger-module:2.13.0}"
export BASE_IMAGE MEDIAMTX_IMAGE PROMETHEUS_IMAGE JAEGER_IMAGE BINARIES=prebuilt
target=${CARGO_TARGET_DIR:-target}
local_stack=$target/debug/local-stack
made=${IMAGES_MADE_LIST:-/dev/null}

say() { printf 'images: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
exists() { docker image inspect "$1" >/dev/null 2>&1; }
note() { printf '%s\n' "$1" >> "$made"; }

docker version >/dev/null 2>&1 || die "no Docker engine answers; start one, or set DOCKER_HOST"
case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) die "no image is made for $(uname -m)" ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_base() {
  command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
  [ "$(id -u)" = 0 ] || die "$BASE_IMAGE is made by debootstrap, which needs root"
  say "$BASE_IMAGE: debootstrap trixie (about 30 s)"
  debootstrap --variant=minbase --include=ca-certificates trixie "$work/base" > "$work/log" 2>&1 \
    || { cat "$work/log" >&2; die "debootstrap failed"; }
  # What the official slim image leaves out too, now and at each installation: archives, manuals, translations.
  (
    cd "$work/base"
    rm -rf var/cache/apt/archives/*.deb var/lib/apt/lists/* usr/share/doc/* usr/share/man/* usr/share/locale/* usr/share/info/*
    for folder in doc man locale info; do echo "path-exclude /usr/share/$folder/*"; done > etc/dpkg/dpkg.cfg.d/slim
    echo 'path-include /usr/share/doc/*/copyright' >> etc/dpkg/dpkg.cfg.d/slim
    echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin"; };' > etc/apt/apt.conf.d/slim
  )
  tar -C "$work/base" -c . | docker import --change 'CMD ["bash"]' - "$BASE_IMAGE" > /dev/null
  note "$BASE_IMAGE"
}

# A binary alone in an image, where the upstream image has it.
make_upstream() {
  image=$1 tool=$2 path=$3
  binary=$("$local_stack" which "$tool")
  mkdir -p "$work/$tool$(dirname "$path")"
  cp "$binary" "$work/$tool$path"
  tar -C "$work/$tool" -c . | docker import - "$image" > /dev/null
  note "$image"
  say "$image: $binary as $path"
}

compile() {
  say "compiling our programs (release)"
  cargo build --release --locked -p orchestrator -p media-edge -p dubber -p mtx-hook -p media-judge -p gemini-twin
  mkdir -p "deploy/docker/bin/$arch"
  for program in orchestrator media-edge dubber mtx-hook media-judge gemini-twin; do
    strip --strip-debug -o "$work/program" "$target/release/$program"
    # An unchanged binary keeps its time, and with it the layers that are built on it.
    cmp -s "$work/program" "deploy/docker/bin/$arch/$program" || mv "$work/program" "deploy/docker/bin/$arch/$program"
  done
}

begun=$(date +%s)
took() { echo "$(($(date +%s) - begun)) s"; }
[ -x "$local_stack" ] || cargo build --locked -p local-stack
exists "$BASE_IMAGE" || make_base
exists "$MEDIAMTX_IMAGE" || make_upstream "$MEDIAMTX_IMAGE" mediamtx /mediamtx
exists "$JAEGER_IMAGE" || make_upstream "$JAEGER_IMAGE" jaeger /cmd/jaeger/jaeger-linux
say "what the images stand on is there after $(took)"
exists "$PROMETHEUS_IMAGE" || make_upstream "$PROMETHEUS_IMAGE" prometheus /bin/prometheus
compile
say "our programs are compiled after $(took)"
docker compose --profile demo build
docker compose build prometheus
docker compose -f docker-compose.yml -f deploy/docker-compose.twin.yml build gemini-twin
MEDIA_EDGE_VARIANT=-slim docker compose build media-edge
say "all images are built after $(took)"
