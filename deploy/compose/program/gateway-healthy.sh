#!/bin/sh
# Healthy: the process of this container runs a gateway whose outbox answers.
set -eu
exec ohmesh gateway outbox --config /tmp/gateway.toml --json
