#!/bin/sh
# Publishes the sample programme until SIGTERM, and starts over when the server was away.
#
#   publish               to PUBLISH_URL
#   publish healthcheck   whether the programme is being read, which a stalled connection stops
set -eu
: "${PUBLISH_URL:=rtmp://mediamtx:1935/live/demo/in}"

read_so_far() { awk '$1 == "rchar:" { print $2 }' "/proc/$(cat /tmp/pid)/io"; }
if [ "${1:-}" = healthcheck ]; then
  before=$(read_so_far)
  sleep 1
  [ "$(read_so_far)" -gt "$before" ]
  exit
fi

# ffmpeg's own code for an end by signal is 255; for this program it is the end that was asked for.
trap 'kill -TERM "$child" 2>/dev/null || true; wait "$child" 2>/dev/null || true; exit 0' TERM INT
while :; do
  ffmpeg -hide_banner -nostdin -nostats -loglevel warning -re -stream_loop -1 -i /srv/programme/programme.flv \
    -map 0 -c copy -f flv -flvflags no_duration_filesize "$PUBLISH_URL" &
  child=$!
  echo "$child" > /tmp/pid
  wait "$child" || true
  echo "publish: not connected to $PUBLISH_URL, again in 2 s" >&2
  sleep 2 &
  child=$!
  wait "$child" || true
done
