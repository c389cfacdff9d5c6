#!/bin/sh
# Resolve the requirement files from pyproject.toml: names, versions and hashes only.
# What is younger than a week is left alone: a release that was taken over is mostly found out in
# days. A mend that cannot wait: COOL_DOWN='0 days' sh requirements/pins.sh, and say why.
set -eu
uv=${1:-uv}
export UV_EXCLUDE_NEWER="${COOL_DOWN:-7 days}"
common="pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --no-emit-package ohmesh"
# shellcheck disable=SC2086
"$uv" $common pyproject.toml requirements/build.in -o requirements/base.txt
# shellcheck disable=SC2086
"$uv" $common pyproject.toml requirements/build.in --extra gateway --extra headend --extra sim --extra dev \
    --constraint requirements/base.txt -o requirements/dev.txt
# Tools with environments of their own (requirements/tools.sh).
tool="pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet"
for name in oracles gurux fuzz release; do
    # shellcheck disable=SC2086
    "$uv" $tool "requirements/$name.in" -o "requirements/$name.txt"
done
