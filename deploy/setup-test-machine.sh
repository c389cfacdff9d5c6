#!/bin/sh
# What the tests use beyond Python packages: Debian's Chromium and Mosquitto, and a TimescaleDB in a folder.
# As root it installs what is missing. Otherwise it says what is missing, and the tests that need it skip.
set -eu
here=$(dirname "$0")
missing=""
[ -x /usr/bin/chromium ] || missing="$missing chromium"
[ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
if [ -n "$missing" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif [ -n "$missing" ]; then
    echo "not installed, so the tests that need it will skip:$missing (sudo apt-get install$missing)" >&2
fi
if [ "$(id -u)" -eq 0 ]; then
    "$here/timescaledb/install.sh" "$here/../.timescaledb"
else
    echo "TimescaleDB tests will skip: sudo deploy/timescaledb/install.sh installs one" >&2
fi
