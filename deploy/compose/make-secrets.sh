#!/bin/sh
# Random passwords for docker-compose.yml, in .secrets/ (never committed). Existing ones are kept.
set -eu
umask 077
cd "$(dirname "$0")/../.."
mkdir -p .secrets
for name in postgres_password api_token mqtt_headend mqtt_gw1 mqtt_gw2 mqtt_sim; do
    if [ ! -s ".secrets/$name" ]; then
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' > ".secrets/$name"
    fi
    chmod 0444 ".secrets/$name" # the folder is closed; the containers' users must read the file
done
echo "secrets are in .secrets/"
