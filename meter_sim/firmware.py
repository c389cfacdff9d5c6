"""Two slots for firmware: one runs, the other takes the next image block by block. Pure.

Theory of operation. An offer names an image by version, size and SHA-256. Its blocks may come in
any order, more than once, and over days; which of them are there is kept, so a reboot costs
nothing. When all are there the image is checked: size, SHA-256, the maker's signature, a version
that is not older. It is tried in the slot that does not run; a program that does not confirm
itself is left, and the meter runs on with the slot that ran before.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from ohmesh.model.command import ResultStatus
from ohmesh.model.errors import WireError
from ohmesh.wire.commandbody import BLOCK_BYTES, Offer, decode_offer, encode_wanted
from ohmesh.wire.firmware import check_image, version_of

if TYPE_CHECKING:
    from meter_sim.flash import Flash
    from ohmesh.model.command import Command

CRASHES = b"\0"
"""A simulated program that begins so never confirms itself."""


class FirmwareState(msgspec.Struct):
    """What runs, and what is on its way.

    Attributes:
        slot: which of the two runs.
        running: the offer of what runs; empty as delivered by the factory.
        ident: the command of the transfer under way; empty without one.
        offer: its image.
        have: its blocks that are there, one byte each.
    """

    slot: int = 0
    running: bytes = b""
    ident: bytes = b""
    offer: bytes = b""
    have: bytes = b""

    @property
    def version(self) -> int:
        """Of what runs; 0 as delivered."""
        return decode_offer(self.running).version if self.running else 0


def take_block(state: FirmwareState, flash: Flash, command: Command) -> None:
    """Keep a block of the transfer under way; anything else changes nothing."""
    number, octets = command.argument, command.body
    if command.id != state.ident or not 0 <= number < len(state.have):
        return
    if len(octets) != _block_bytes(decode_offer(state.offer), number):
        return
    flash.put(_area(state), number, octets)
    state.have = state.have[:number] + b"\1" + state.have[number + 1 :]


def obey_offer(
    state: FirmwareState, flash: Flash, command: Command, maker: bytes
) -> tuple[ResultStatus, bytes]:
    """Go on with an offer: what is wanted still, or how it ended and what runs.

    Raises:
        Malformed: no offer.
    """
    offer = decode_offer(command.body)
    if command.body == state.running:
        return ResultStatus.OK, state.running
    if offer.version < state.version:
        return ResultStatus.REFUSED, state.running
    if command.id != state.ident:
        flash.erase(_area(state))
        state.ident, state.offer, state.have = command.id, command.body, bytes(offer.blocks)
    missing = [number for number, there in enumerate(state.have) if not there]
    if missing:
        return ResultStatus.IN_PROGRESS, encode_wanted(missing)
    status = _try(state, flash, offer, maker)
    state.ident, state.offer, state.have = b"", b"", b""
    return status, state.running


def _try(state: FirmwareState, flash: Flash, offer: Offer, maker: bytes) -> ResultStatus:
    """Check the image, run it, and go back when it does not confirm itself."""
    image = b"".join(flash.get(_area(state), number) or b"" for number in range(offer.blocks))
    if len(image) != offer.size or sha256(image).digest() != offer.sha256:
        return ResultStatus.FAILED
    try:
        program = check_image(maker, image)
    except WireError:
        return ResultStatus.FAILED
    if version_of(image) != offer.version or program.startswith(CRASHES):
        return ResultStatus.FAILED
    state.slot, state.running = 1 - state.slot, state.offer
    return ResultStatus.OK


def _area(state: FirmwareState) -> str:
    return f"image{1 - state.slot}"


def _block_bytes(offer: Offer, number: int) -> int:
    return min(BLOCK_BYTES, offer.size - number * BLOCK_BYTES)
