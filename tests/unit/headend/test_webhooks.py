"""Webhooks: signed as the specification says, and never to an address inside."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from standardwebhooks.webhooks import Webhook

from headend.webhooks import places, signing
from ohmesh.model.errors import PrepaymentError

INSIDE = (
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
)


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused_written_out_and_resolved(address):
    assert not places.is_public(ip_address(address))
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(PrepaymentError):
        places.parse(f"https://{shown}/hook")
    with pytest.raises(PrepaymentError):
        places.choose([address])
    with pytest.raises(PrepaymentError):
        places.choose(["93.184.216.34", address])


def test_a_public_address_is_taken():
    assert str(places.choose(["93.184.216.34"])) == "93.184.216.34"
    place = places.parse("https://hooks.example.com/a/b?c=d")
    assert (place.host, place.port, place.target) == ("hooks.example.com", 443, "/a/b?c=d")
    assert places.is_public(ip_address("2606:2800:220:1::1"))


@pytest.mark.parametrize(
    "url",
    [
        "https://0x7f.1/",
        "https://2130706433/",
        "https://127.1/",
        "https://localhost/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://host/",
        "https://example.com:6379/",
        "https://a@example.com/",
        "https://example.com/ x",
        "https:///x",
        "gopher://example.com/",
        "https://[::1/",
        "https://example.com:99999/",
    ],
)
def test_an_odd_address_is_refused(url):
    with pytest.raises(PrepaymentError):
        places.parse(url)


def test_the_reference_library_takes_our_signature():
    secret, body = bytes(range(32)), '{"type":"balance.low","data":{"x":"\u00e9"}}'
    now_s = int(datetime.now(UTC).timestamp())
    made = signing.headers(secret, "msg_1", now_s, body.encode())
    assert Webhook(signing.shown(secret)).verify(body, made)["type"] == "balance.low"
    with pytest.raises(Exception, match="signature"):
        Webhook(signing.shown(secret)).verify(body.replace("low", "zero"), made)
