#!/bin/sh
# Make a release in dist/: the wheel, and the bill of its parts (CycloneDX 1.6). The same sources give the same
# octets in any folder, at any time.   sh deploy/release.sh [CYCLONEDX-PY]
set -eu
cd "$(dirname "$0")/.."
bill=${1:-$(dirname "$(sh requirements/tools.sh release)")/cyclonedx-py}
python=${PYTHON:-python3}
rm -rf dist
"$python" -m hatchling build --target wheel
"$bill" requirements --output-reproducible --of JSON --pyproject pyproject.toml \
    --output-file dist/sbom.cdx.json requirements/base.txt 2>/dev/null
