#!/bin/sh
# Turn the secrets into Mosquitto's password file, then run Mosquitto.
set -eu
umask 077
: > /tmp/passwords
for user in headend gw1 gw2 sim; do
    mosquitto_passwd -b /tmp/passwords "$user" "$(cat "/run/secrets/mqtt_$user")"
done
if [ "$(id -u)" -eq 0 ]; then
    chown mosquitto /tmp/passwords
fi
exec mosquitto -c /broker/mosquitto.conf
