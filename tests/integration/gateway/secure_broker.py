"""A real Mosquitto as `ohmesh headend mqtt-config` sets it up, and identities for its devices."""

from __future__ import annotations

import os
import socket
import ssl
from datetime import UTC, datetime

import aiomqtt

from gateway.identity import Identity, NewKey
from headend.mqttconfig.write import Broker, authority, write
from headend.security import ca
from meter_sim.servers.process import LOOPBACK, free_port, listening, spawn, stop, wait_until
from ohmesh.wire.uplink import decode_batch, encode_ack

NOW = datetime.now(UTC)


class SecureBroker:
    """Mosquitto with two authorities, and identities for its devices."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.headend_port = free_port(), free_port()
        place = Broker((LOOPBACK,), LOOPBACK, self.port, LOOPBACK, self.headend_port)
        write(folder, place, NOW)
        self.pid_file = folder / "mosquitto.pid"
        with (folder / "mosquitto.conf").open("a") as stream:
            stream.write(f"pid_file {self.pid_file}\n")
        if os.geteuid() == 0:
            with (folder / "mosquitto.conf").open("a") as stream:
                stream.write("user root\n")
        self.fleet = authority(folder, "fleet", NOW)
        self.url = f"mqtts://{LOOPBACK}:{self.port}"
        self.process = None

    def start(self):
        log = self.folder / "mosquitto.log"
        argv = ["/usr/sbin/mosquitto", "-c", self.folder / "mosquitto.conf"]
        with log.open("ab") as stream:
            self.process = spawn(argv, log=stream)
        wait_until(lambda: listening(self.port) and listening(self.headend_port), self.process, log)

    def stop(self):
        if self.process is not None:
            stop(self.process)

    def identity(self, folder, *, signer=None, now=NOW, life=ca.LIFE, name="gw/gw1"):
        """An identity folder as enrolment writes it; its certificate."""
        key = NewKey(name)
        made = (signer or self.fleet).issue(key.request, name, now, life=life)
        trusted = (self.folder / "service-ca.crt").read_bytes()
        Identity(folder).keep(key, ca.pem(made), trusted)
        return made

    def revoke(self, certificate):
        crl = self.fleet.crl({certificate.serial_number: NOW}, datetime.now(UTC))
        (self.folder / "fleet.crl").write_bytes(crl)
        self.process.send_signal(1)

    async def head_end(self):
        """Acknowledges and counts, on the head-end's own listener."""
        context = ssl.create_default_context(cafile=self.folder / "service-ca.crt")
        context.load_cert_chain(self.folder / "headend.crt", self.folder / "headend.key")
        rows = {}
        async with aiomqtt.Client(
            LOOPBACK,
            self.headend_port,
            tls_context=context,
            protocol=aiomqtt.ProtocolVersion.V5,
        ) as client:
            await client.subscribe("ohmesh/v1/gw/+/up", qos=1)
            yield rows
            async for message in client.messages:
                batch = decode_batch(message.payload)
                for n, telegram in enumerate(batch.telegrams()):
                    rows[batch.epoch, batch.first_seq + n] = telegram.payload
                through = batch.end_seq
                topic = f"ohmesh/v1/gw/{batch.gateway}/ack"
                await client.publish(topic, encode_ack(batch.epoch, through))
                yield rows


def connack(port, context, client_id="x"):
    """The broker's answer to a CONNECT of MQTT 3.1.1: 0 is welcome; None when it hangs up.

    Args: context: None for a connection in the clear.
    """
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
    try:
        with socket.create_connection((LOOPBACK, port), 5) as plain:
            line = context.wrap_socket(plain, server_hostname=LOOPBACK) if context else plain
            with line:
                line.sendall(bytes((0x10, len(body))) + body)
                answer = line.recv(4)
    except (ssl.SSLError, ConnectionError):
        return None
    return answer[3] if len(answer) == 4 else None
