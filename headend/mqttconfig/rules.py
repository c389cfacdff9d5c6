"""Mosquitto's files as texts. Pure.

Theory of operation. Two listeners. Devices come to the first: they must show a certificate of the
fleet's authority, its common name (`gw/ID`, `meter/ID`) is their user name and their client id, so
that no device can throw another one out, and patterns give each its own topics. The head-end comes
to the second with a certificate of the service's authority, which signs no device. What no rule
names is denied: $SYS, $CONTROL, wildcards over other devices, the topics of others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADEND: Final = "ohmesh-headend"
DEVICE_RULES: Final = """\
# A device's user name is the middle of its topics: gw/ID or meter/ID.
pattern write ohmesh/v1/%u/up
pattern write ohmesh/v1/%u/state
pattern read ohmesh/v1/%u/ack
pattern read ohmesh/v1/%u/down
"""
HEADEND_RULES: Final = f"""\
user {HEADEND}
topic read ohmesh/v1/gw/+/up
topic read ohmesh/v1/gw/+/state
topic read ohmesh/v1/meter/+/up
topic write ohmesh/v1/gw/+/ack
topic write ohmesh/v1/gw/+/down
"""


def device_rules(out: Iterable[str] = ()) -> str:
    """`devices.acl`. Args: out: gateways that have no good certificate left."""
    denied = [f"user gw/{name}\ntopic deny ohmesh/v1/gw/{name}/#\n" for name in sorted(set(out))]
    return DEVICE_RULES + "".join(denied)


def configuration(
    folder: str, *, listen: str, port: int, headend_listen: str, headend_port: int
) -> str:
    """`mosquitto.conf`. Args: folder: where the broker finds the files that stand beside it."""
    return f"""\
# Written by 'ohmesh headend mqtt-config'; run it again instead of editing.
per_listener_settings true
sys_interval 0
set_tcp_nodelay true
max_packet_size 1100000
max_queued_messages 10000
persistence false

# Gateways, and meters with a modem.
listener {port} {listen}
{_tls(folder, "fleet")}
use_username_as_clientid true
acl_file {folder}/devices.acl

# The head-end.
listener {headend_port} {headend_listen}
{_tls(folder, "service")}
acl_file {folder}/headend.acl
"""


def _tls(folder: str, authority: str) -> str:
    return f"""\
allow_anonymous false
tls_version tlsv1.2
cafile {folder}/{authority}-ca.crt
crlfile {folder}/{authority}.crl
certfile {folder}/broker.crt
keyfile {folder}/broker.key
require_certificate true
use_identity_as_username true"""
