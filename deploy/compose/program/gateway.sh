#!/bin/sh
# usage: gateway.sh NAME NODE    a gateway whose mesh is the simulated street
set -eu
umask 077
cat > "${RUN:-/tmp}/gateway.toml" <<EOF
gateway = "$1"
[broker]
url = "mqtt://$1:$(cat "${SECRETS:-/run/secrets}/mqtt_$1")@${BROKER:-broker:1883}"
[outbox]
path = "${STATE:-/var/lib/ohmesh}/outbox.db"
[mesh]
enabled = true
node = $2
net = 1
timer_divisor = 20
[limiter]
gate_keys = ["$(cat "${PUBLIC:-/var/lib/ohmesh-public}/gate.pub")"]
EOF
exec ohmesh gateway run --config "${RUN:-/tmp}/gateway.toml"
