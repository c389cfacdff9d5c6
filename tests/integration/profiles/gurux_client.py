"""A DLMS client of another making, run in an interpreter of its own by `test_gurux.py`.

It writes each frame as a line `> hex` to stdout, reads the answer as a hex line from stdin, and
ends with a JSON line of what it read.

usage: PYTHON gurux_client.py HDLC|WRAPPER NONE|LOW|HIGH_GMAC
"""

import json
import sys

from gurux_dlms import GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType, Security
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.objects import (
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDisconnectControl,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
)
from gurux_dlms.secure import GXDLMSSecureClient


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def exchange(frame):
    say(f"> {bytes(frame).hex()}")
    return bytearray.fromhex(sys.stdin.readline())


def ask(client, frames):
    """Send frames, follow up until the reply is whole; returns it."""
    reply = GXReplyData()
    for frame in frames if isinstance(frames, list) else [frames]:
        reply.clear()
        client.getData(GXByteBuffer(exchange(frame)), reply)
        while reply.isMoreData():
            ready = client.receiverReady(reply)
            client.getData(GXByteBuffer(exchange(ready)), reply)
        if reply.error:
            raise SystemExit(f"error {reply.error}")
    return reply


def secure(client):
    client.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
    client.ciphering.systemTitle = b"OHC\0\0\0\0\1"
    client.ciphering.blockCipherKey = bytes(range(16))
    client.ciphering.authenticationKey = bytes(range(16, 32))


def main():
    interface, authentication = sys.argv[1:3]
    client = GXDLMSSecureClient(
        useLogicalNameReferencing=True,
        clientAddress=1,
        serverAddress=1,
        forAuthentication=Authentication[authentication],
        password="12345678",
        interfaceType=InterfaceType[interface],
    )
    if authentication == "HIGH_GMAC":
        secure(client)
    if interface == "HDLC":
        client.parseUAResponse(ask(client, client.snrmRequest()).data)
    client.parseAareResponse(ask(client, client.aarqRequest()).data)
    if authentication == "HIGH_GMAC":
        reply = ask(client, client.getApplicationAssociationRequest())
        client.parseApplicationAssociationResponse(reply.data)
    say(json.dumps(read_all(client, authentication)))


def value_of(client, item, index):
    return client.updateValue(item, index, ask(client, client.read(item, index)).value)


def read_all(client, authentication):
    found = {}
    name = GXDLMSData("0.0.42.0.0.255")
    found["name"] = bytes(value_of(client, name, 2)).decode()
    found["clock"] = str(value_of(client, GXDLMSClock("0.0.1.0.0.255"), 2))
    if authentication == "NONE":
        return found
    energy = GXDLMSRegister("1.0.1.8.0.255")
    value_of(client, energy, 3)
    found["energy"] = value_of(client, energy, 2)
    found["unit"] = int(energy.unit)
    listed = ask(client, client.getObjectsRequest()).data
    found["objects"] = len(client.parseObjects(listed, onlyKnownObjects=False))
    profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
    value_of(client, profile, 3)
    found["rows"] = len(value_of(client, profile, 2))
    request = client.readRowsByEntry(profile, 3, 4)
    found["last"] = client.updateValue(profile, 2, ask(client, request).value)[-1][1]
    if authentication == "HIGH_GMAC":
        relay = GXDLMSDisconnectControl("0.0.96.3.10.255")
        ask(client, relay.remoteDisconnect(client))
        found["relay"] = bool(value_of(client, relay, 2))
        note = GXDLMSData("0.0.96.13.0.255")
        note.value = bytes(range(256)) * 8
        ask(client, client.write(note, 2))
        found["note"] = bytes(value_of(client, note, 2)) == note.value
    return found


if __name__ == "__main__":
    main()
