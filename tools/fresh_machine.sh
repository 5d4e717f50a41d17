#!/bin/sh
# fresh_machine.sh [COMMAND...]: what somebody with a new machine sees. Makes a minimal Debian 12 (debootstrap) in a
# temporary directory, clones the last commit into it, runs there `./run COMMAND` for each COMMAND (test and demo when
# none is given), prints how long each took, and removes everything again. Needs root and debootstrap.
set -u
[ "$(id -u)" -eq 0 ] || { echo 'fresh_machine.sh: has to be run as root (chroot, mount)' >&2; exit 1; }
command -v debootstrap >/dev/null 2>&1 || { echo 'fresh_machine.sh: needs debootstrap (apt-get install debootstrap)' >&2; exit 1; }
repository=$(cd "$(dirname "$0")/.." && pwd) || exit 1
[ $# -gt 0 ] || set -- test demo

root=$(mktemp -d "${TMPDIR:-/tmp}/assay-fresh-XXXXXX") || exit 1
clean_up() {
  umount "$root/proc" 2>/dev/null
  # Never delete into something that is still mounted.
  if grep -q " $root/" /proc/mounts; then
    echo "fresh_machine.sh: $root/proc could not be unmounted; $root is left" >&2
  else
    rm -rf "$root"
  fi
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# The mirror and the proxy that this machine uses.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -m 1 '/debian/*$')
debootstrap --variant=minbase bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
  { tail -n 5 "$root.log" >&2; echo 'fresh_machine.sh: debootstrap failed' >&2; exit 1; }
rm -f "$root.log"
apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$root/etc/apt/apt.conf.d/99host"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc" || echo 'fresh_machine.sh: no /proc in there: the sanitizers will be left out' >&2
git clone -q "file://$repository" "$root/root/assay" || exit 1
echo "a minimal Debian $(cat "$root/etc/debian_version"), $(git -C "$root/root/assay" log -1 --format='commit %h: %s')"

status=0
for command in "$@"; do
  start=$(date +%s)
  # An empty environment, no input, and a working directory that is not the project's.
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=true \
    /bin/sh -c "cd / && exec /root/assay/run $command" </dev/null
  result=$?
  echo "=== ./run $command: exit code $result after $(($(date +%s) - start)) s"
  [ "$result" -eq 0 ] || status=1
done
exit "$status"
