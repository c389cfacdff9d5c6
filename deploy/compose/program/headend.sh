#!/bin/sh
# The head-end: make database, roles and secrets (safe to repeat), then serve.
set -eu
umask 077
secret() { cat "${SECRETS:-/run/secrets}/$1"; }
if [ ! -e "${STATE:-/var/lib/ohmesh}/api-token" ]; then
    secret api_token > "${STATE:-/var/lib/ohmesh}/api-token"
fi
export OHMESH_HEADEND__BROKER__URL="mqtt://headend:$(secret mqtt_headend)@${BROKER:-broker:1883}"
export OHMESH_HEADEND__API__HOST="${API_HOST:-0.0.0.0}"
export OHMESH_HEADEND__API__INSECURE_LISTEN=true # inside the compose network; published on loopback
ohmesh headend bootstrap \
    --admin-url "postgresql://postgres:$(secret postgres_password)@${DATABASE:-database:5432}/postgres" \
    --database "${DATABASE_NAME:-ohmesh}" \
    --write "${STATE:-/var/lib/ohmesh}/headend.toml"
install -m 0644 "${STATE:-/var/lib/ohmesh}/gate.pub" "${PUBLIC:-/var/lib/ohmesh-public}/gate.pub"
exec ohmesh headend serve --config "${STATE:-/var/lib/ohmesh}/headend.toml"
