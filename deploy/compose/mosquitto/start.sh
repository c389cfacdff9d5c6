#!/bin/sh
# Turn the secrets into Mosquitto's password file, then run Mosquitto.
set -eu
umask 077
: > "${RUN:-/tmp}/passwords"
for user in headend gw1 gw2 sim; do
    mosquitto_passwd -b "${RUN:-/tmp}/passwords" "$user" "$(cat "${SECRETS:-/run/secrets}/mqtt_$user")"
done
if [ "$(id -u)" -eq 0 ]; then
    chown mosquitto "${RUN:-/tmp}/passwords"
fi
exec mosquitto -c "${BROKER_CONF:-/broker/mosquitto.conf}"
