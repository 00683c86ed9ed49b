#!/bin/sh
# Names what this machine lacks to build, run and test the stack, asks once, and installs it.
#
#   deploy/tools/prepare.sh            asks before it installs
#   YES=1 deploy/tools/prepare.sh      goes on without asking
#
# What it cannot install it names with the command for it. Everything it says goes to stderr: stdout belongs to the
# programs that follow it.
set -eu
exec 1>&2

say() { printf '%s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# Debian and Ubuntu. To build: a C toolchain for the linker, GStreamer's development files. To run: GStreamer's
# plugins and ffmpeg. For demo and tests: recorded speech in English and Spanish, and music (CC-BY-SA-3.0). For tests:
# openssl, which makes keys of nobody.
packages="build-essential pkg-config curl ca-certificates git
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav
  ffmpeg procps openssl
  asterisk-core-sounds-en-g722 asterisk-core-sounds-es-g722 asterisk-moh-opsound-wav"

# Google's own SDKs hold sessions with the twin in a test. Whoever has these from elsewhere keeps them.
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"
{ have node && have npm; } || packages="$packages nodejs npm"

missing_packages() {
  for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
  done
}

install_packages() {
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  say "These Debian packages are missing and will be installed:"
  say "  $missing"
  as_root=
  if [ "$(id -u)" != 0 ]; then
    if have sudo; then
      as_root=sudo
    else
      say "This needs root and there is no sudo. As root:"
      say "  apt-get update && apt-get install --no-install-recommends $missing"
      exit 1
    fi
  fi
  if [ "${YES:-0}" != 1 ]; then
    if [ ! -t 0 ]; then
      say "Nobody to ask here: run again with YES=1, or install them yourself."
      exit 1
    fi
    printf 'Install them now? [Y/n] '
    read -r answer
    case $answer in
      '' | y | Y | yes | Yes) ;;
      *) say "Nothing was installed."; exit 1 ;;
    esac
  fi
  $as_root apt-get update -q
  # shellcheck disable=SC2086 # the list is words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}

check_other_systems() {
  lacking=
  for program in pkg-config ffmpeg gst-launch-1.0 curl; do
    have "$program" || lacking="$lacking $program"
  done
  pkg-config --exists gstreamer-1.0 gstreamer-app-1.0 2>/dev/null || lacking="$lacking GStreamer-development-files"
  [ -n "$lacking" ] || return 0
  say "Missing:$lacking. This script installs on Debian and Ubuntu only. Elsewhere, for example:"
  say "  macOS   brew install gstreamer ffmpeg pkg-config"
  say "  Fedora  dnf install gcc pkgconf gstreamer1-devel gstreamer1-plugins-base-devel gstreamer1-plugins-good \\"
  say "          gstreamer1-plugins-bad-free gstreamer1-libav ffmpeg"
  exit 1
}

if have apt-get && have dpkg-query; then
  install_packages
else
  check_other_systems
fi

stop=0
if ! have cargo; then
  say "Rust is missing; this script does not install it. The command:"
  say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain none"
  stop=1
fi
# Not needed where MediaMTX is at hand or its release archive can be downloaded.
if ! have go && ! have mediamtx && [ -z "${MEDIAMTX_BIN:-}" ]; then
  say "Note: go is missing. It is only needed where MediaMTX's release archive cannot be downloaded; then install"
  say "  Go 1.26 or newer from https://go.dev/dl"
fi
exit $stop
