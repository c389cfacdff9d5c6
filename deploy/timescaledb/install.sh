#!/bin/sh
# A real TimescaleDB (Apache edition, PostgreSQL 17) without Docker: Debian 13 in a folder.
# usage: deploy/timescaledb/install.sh [FOLDER]     needs root, debootstrap, and Debian's packages.
set -eu
folder=${1:-.timescaledb}
packages=postgresql-17,postgresql-17-timescaledb
if [ -x "$folder/usr/lib/postgresql/17/bin/postgres" ] && ls "$folder"/usr/lib/postgresql/17/lib/timescaledb-*.so >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "TimescaleDB for tests needs root for debootstrap and chroot; run: sudo $0 $folder" >&2
    exit 1
fi
if ! command -v debootstrap >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap >/dev/null
fi
rm -rf "$folder"
echo "installing TimescaleDB into $folder (about a minute, once) ..."
debootstrap --variant=minbase --include="$packages" trixie "$folder" > "$folder.log" 2>&1 || {
    tail -5 "$folder.log" >&2
    exit 1
}
rm -f "$folder.log"
