#!/bin/sh
# Makes a root file system of nothing but named programs and libraries and what these link to.
#
#   collect.sh FOLDER FILE…    a FILE is a path, or the name of a library that the loader knows
#
# With it go certificates, one user without rights, and the order in which names are looked up.
set -eu
root=$1
shift

mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc/ssl/certs" "$root/tmp" "$root/run" "$root/var/log"
for link in bin lib lib64; do ln -sfn "usr/$link" "$root/$link"; done
chmod 1777 "$root/tmp"

# A library is copied under the name by which it is asked for, into the real folder of that name.
take() {
  folder=$(cd "$(dirname "$1")" && pwd -P)
  mkdir -p "$root$folder"
  cp -L "$1" "$root$folder/$(basename "$1")"
}

links_of() {
  # `ldd` prints "name => path (address)" and, for the loader itself, "path (address)".
  ldd "$1" | awk '/not found/ { print "collect: " $0 > "/dev/stderr"; bad = 1 }
    $2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 } END { exit bad }'
}

for file; do
  case $file in
    /*) path=$file ;;
    *) path=$(ldconfig -p | awk -v name="$file" '$1 == name { print $NF; exit }') ;;
  esac
  [ -f "$path" ] || { echo "collect: $file: no such file or library" >&2; exit 1; }
  printf '%s\n' "$path"
  links_of "$path"
done | sort -u > /tmp/collected
while read -r path; do take "$path"; done < /tmp/collected
rm /tmp/collected

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -L /etc/os-release /etc/nsswitch.conf "$root/etc/"
printf 'root:x:0:0:root:/root:/usr/sbin/nologin\ndub:x:10001:10001::/nonexistent:/usr/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\ndub:x:10001:\n' > "$root/etc/group"
# Some libraries lie in folders that only the loader's cache knows.
cp -rL /etc/ld.so.conf /etc/ld.so.conf.d "$root/etc/"
ldconfig -r "$root"
