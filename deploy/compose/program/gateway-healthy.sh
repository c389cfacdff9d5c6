#!/bin/sh
# Healthy: the doctor finds nothing wrong.
set -eu
exec ohmesh gateway doctor --config "${RUN:-/tmp}/gateway.toml"
