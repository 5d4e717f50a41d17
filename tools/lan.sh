#!/bin/sh
# lan.sh links|table OPTION...: a LAN in a box. Two network namespaces joined by a link that is as slow as it is told to
# be, one the client's machine, the other the draft server's; tools/lan_box.py runs in them and has the options. They, and
# all that runs in them, are gone when it ends, however it ends. Nothing of the machine's own network is touched.
#
# Needs Linux, iproute2, util-linux, python3 and, for the table, openssl. Exits with 77 and a reason where something of it
# is missing or namespaces are not to be had: neither as root nor as a user who may make them.
set -u
skip() {
  printf 'lan.sh: %s\n' "$1" >&2
  exit 77
}

for tool in ip tc unshare mount python3; do
  command -v "$tool" >/dev/null 2>&1 || skip "$tool is missing; install iproute2, util-linux and python3"
done
[ "${1:-}" != table ] || command -v openssl >/dev/null 2>&1 || skip 'openssl is missing; install it'
folder=$(cd "$(dirname "$0")" && pwd) || exit 1
# The private /run is where ip keeps the names of namespaces.
box='mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add server && ip link set lo up &&
  ip link add client0 type veth peer name server0 netns server'
for rights in --mount --map-root-user; do
  # shellcheck disable=SC2086  # one option or the other; --mount twice does no harm
  if reason=$(unshare $rights --net --mount --pid --fork --kill-child --mount-proc sh -c "$box" 2>&1); then
    exec unshare $rights --net --mount --pid --fork --kill-child --mount-proc \
      sh -c "$box"' && exec python3 "$@"' sh "$folder/lan_box.py" "$@"
  fi
done
skip "no network namespaces here: $(printf '%s' "$reason" | tail -n 1)"
