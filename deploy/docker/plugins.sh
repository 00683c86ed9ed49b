#!/bin/sh
# Elements on stdin, one line each with the name first; the files of the plugins that carry them on stdout.
set -eu
while read -r element _; do
  file=$(gst-inspect-1.0 "$element" | awk '$1 == "Filename" { print $2; exit }')
  [ -f "$file" ] || { echo "plugins: no file carries the element $element" >&2; exit 1; }
  printf '%s\n' "$file"
done | sort -u
