#!/bin/sh
# Sixty simulated meters and the radio between them; they register themselves at the head-end.
set -eu
umask 077
home=${STATE:-/var/lib/ohmesh}
air="mqtt://sim:$(cat ${SECRETS:-/run/secrets}/mqtt_sim)@${BROKER:-broker:1883}"
if [ ! -s "$home/roster.json" ]; then
    ohmesh sim roster --meters "${METERS:-60}" --gateways 2 --seed 1 > "$home/roster.new"
    mv "$home/roster.new" "$home/roster.json"
fi
ohmesh sim ether --roster "$home/roster.json" --air "$air" &
exec ohmesh sim fleet --roster "$home/roster.json" --air "$air" --state-dir "$home/meters" \
    --truth "$home/truth.jsonl" --register "${HEADEND:-http://headend:8080}" \
    --token-file ${SECRETS:-/run/secrets}/api_token
