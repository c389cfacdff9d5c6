"""Getting a certificate from the head-end: with a token the first time, by the key from then on."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from gateway.identity import Enrolment, Identity, NewKey
from ohmesh.model.errors import ConfigError, OhmeshError
from ohmesh.program.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_log = logging.getLogger(__name__)
_RENEWAL: Final = b"ohmesh renewal 1\0"
_TIMEOUT_S: Final = 60.0
_ANSWER_BYTES_MAX: Final = 65_536
_LOOK_S: Final = 3600.0
"""Between two looks at the certificate's age, on average."""


class EnrolmentError(OhmeshError):
    """The head-end gave no certificate; the text says why and what to do."""


class _Answer(msgspec.Struct, frozen=True):
    gateway: str
    certificate: str
    broker_authority: str
    gate_keys: list[str]


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""


def enrol(identity: Identity, url: str, token: str, gateway: str) -> None:
    """Make a key here and get its certificate.

    Args:
        identity: gets both; `api-ca.crt` in it is trusted, if it is there.
        url: of the head-end, https:// unless it is on this machine.
        token: as the head-end gave it.
        gateway: our name.

    Raises: ConfigError, EnrolmentError, OSError.
    """
    _check_url(url)
    key = NewKey(f"gw/{gateway}")
    body = {"token": token, "request": key.request.decode()}
    answer = _ask(identity, url, "/v1/enrol", body)
    if answer.gateway != gateway:
        raise EnrolmentError(
            f"the token is for the gateway {answer.gateway}; this one is called {gateway}:"
            " correct 'gateway' in the configuration, and ask for a new token"
        )
    identity.keep(key, answer.certificate.encode(), answer.broker_authority.encode())
    identity.keep_enrolment(Enrolment(url, answer.gate_keys))


def renew(identity: Identity, enrolment: Enrolment) -> None:
    """Get the next certificate, for a new key. Raises ConfigError, EnrolmentError, OSError."""
    key = NewKey(identity.life().name)
    body = {
        "certificate": identity.certificate().decode(),
        "request": key.request.decode(),
        "signature": identity.sign(_RENEWAL + key.request),
    }
    answer = _ask(identity, enrolment.url, "/v1/enrol/renewal", body)
    identity.keep(key, answer.certificate.encode(), answer.broker_authority.encode())
    identity.keep_enrolment(Enrolment(enrolment.url, answer.gate_keys))


async def renew_for_ever(identity: Identity, now: Callable[[], datetime]) -> None:
    """Renew when two thirds of a certificate's life are over, until cancelled."""
    while True:
        try:
            enrolment = identity.enrolment
            if enrolment is not None and now() >= identity.life().renewal:
                await asyncio.to_thread(renew, identity, enrolment)
                _log.info("the certificate is renewed until %s", identity.life().ends.date())
        except (ConfigError, EnrolmentError, OSError) as error:
            _log.error("the certificate is not renewed: %s", error)
        await asyncio.sleep(random.uniform(0.5, 1.5) * _LOOK_S)  # noqa: S311 - spreads a fleet


def _check_url(url: str) -> None:
    place = urlsplit(url)
    loopback = place.scheme == "http" and is_loopback(place.hostname or "")
    if not (place.hostname and (place.scheme == "https" or loopback)):
        raise ConfigError("--url must be https://host[:port]; http:// only for this machine itself")


def _ask(identity: Identity, url: str, path: str, body: Mapping[str, str]) -> _Answer:
    place = urlsplit(url)
    request = urllib.request.Request(  # noqa: S310 - http and https alone, checked at enrolment
        f"{place.scheme}://{place.netloc}{path}",
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Origin": f"{place.scheme}://{place.netloc}",
        },
    )
    trusted = identity.api_authority
    context = ssl.create_default_context(cafile=trusted if trusted.exists() else None)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310 - as above
            return msgspec.json.decode(answer.read(_ANSWER_BYTES_MAX), type=_Answer)
    except urllib.error.HTTPError as error:
        with error:
            raise EnrolmentError(_refusal(error)) from error
    except urllib.error.URLError as error:
        raise EnrolmentError(f"{place.netloc} does not answer: {_reason(error)}") from error
    except (msgspec.DecodeError, TimeoutError) as error:
        raise EnrolmentError(f"{place.netloc} gives no sensible answer: {error}") from error


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        problem = msgspec.json.decode(error.read(_ANSWER_BYTES_MAX), type=_Problem)
    except msgspec.DecodeError:
        return f"the head-end refuses: {error.code} {error.reason}"
    return f"the head-end refuses: {problem.detail or problem.title}"


def _reason(error: urllib.error.URLError) -> str:
    reason = error.reason
    if not isinstance(reason, ssl.SSLCertVerificationError):
        return str(reason)
    return f"its certificate is not trusted ({reason.verify_message}); give its authority by --ca"
