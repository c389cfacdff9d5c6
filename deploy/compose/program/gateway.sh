#!/bin/sh
# usage: gateway.sh NAME NODE    a gateway whose mesh is the simulated street
set -eu
umask 077
export OHMESH_GATEWAY__BROKER__URL="mqtt://$1:$(cat "/run/secrets/mqtt_$1")@${BROKER:-broker:1883}"
cat > /tmp/gateway.toml <<EOF
gateway = "$1"
[outbox]
path = "/var/lib/ohmesh/outbox.db"
[mesh]
enabled = true
node = $2
net = 1
timer_divisor = 20
EOF
exec ohmesh gateway run --config /tmp/gateway.toml
