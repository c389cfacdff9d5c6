#!/bin/sh
# Build an environment for a tool that the product must not import: oracles, gurux, fuzz or release.
#   sh requirements/tools.sh NAME    makes .tools/NAME from requirements/NAME.txt, by hash, and
#                                    prints its interpreter
set -eu
name=$1
root=$(cd "$(dirname "$0")/.." && pwd)
list="$root/requirements/$name.txt"
target="$root/.tools/$name"
if [ ! -f "$target/.done" ] || [ "$list" -nt "$target/.done" ]; then
    rm -rf "$target"
    "${PYTHON:-python3}" -m venv "$target"
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$list"
    touch "$target/.done"
fi
echo "$target/bin/python"
