#!/bin/sh
# Healthy: it takes a message of a known user.
exec mosquitto_pub -V 5 -h 127.0.0.1 -u sim -P "$(cat ${SECRETS:-/run/secrets}/mqtt_sim)" -t ohmesh/air/1/health -m up
