"""The groups of vectors about tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headend.check.vectors import Vector, compare, differs
from headend.prepayment.tokens import paygo, utrn
from ohmesh.model import relay
from ohmesh.model.command import RelayState
from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import acceptance, amounts, block, key_change, keys, sts, tid
from ohmesh.tokens.ciphers import DecoderCiphers
from ohmesh.tokens.keys import Dkga, EncryptionAlgorithm, KeyParams, KeyType
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.pan import MeterPan
from ohmesh.tokens.sts import TokenKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headend.check.vectors import Check
    from ohmesh.tokens.sta import StaTables
    from ohmesh.tokens.sts import StsToken

_UNITS = (
    "amount_tenths",
    "amount_e5",
    "power_limit_w",
    "unbalance_limit_w",
    "register",
    "tariff_rate",
    "rate",
    "water_factor",
    "factor",
    "pad",
)
"""Where a vector says the value, by kind."""


def groups(production: StaTables | None) -> dict[str, Check]:
    """Group -> check; without a licensee's `production` tables those tokens are not made."""
    sample = DecoderCiphers()
    licensed = None if production is None else DecoderCiphers(production)
    tokens = _TokenChecks(sample, licensed)
    return {
        "sts_token_ea11": tokens.token,
        "sts_token_ea07_production": tokens.token,
        "sts_token_ea07_sample": tokens.token,
        "sts_key_change": tokens.key_change,
        "sts_currency": tokens.token,
        "sts_acceptance": tokens.acceptance,
        "sts_crc16": check_crc,
        "sts_amount": check_amount,
        "sts_tid": check_tid,
        "sts_decoder_key": check_decoder_key,
        "sts_class1": check_class1,
        "misty1": check_misty1,
        "meter_pan": check_pan,
        "openpaygo_encode": check_paygo,
        "openpaygo_device": check_paygo_device,
        "smets_ptut": check_ptut,
        "dlms_disconnect_control": check_relay,
    }


class _TokenChecks:
    """Checks that need ciphers: the sample tables are ours, the production tables a licensee's."""

    def __init__(self, sample: DecoderCiphers, licensed: DecoderCiphers | None) -> None:
        self._sample = sample
        self._licensed = licensed

    def token(self, vector: Vector) -> Iterator[str]:
        """Key, TID, field, block, CRC; the digits and back where the tables are there."""
        if "vending_key" in vector:
            yield from check_decoder_key(vector)
        if "issued_at" in vector:
            yield from differs("tid", vector["tid"], _tid(vector))
        token = _token(vector)
        data = token.data_block()
        yield from compare(vector, {**_fields(token), **_block_fields(data)})
        ciphers = self._ciphers(vector)
        if ciphers is not None:
            cipher = ciphers.cipher(_ea(vector), bytes.fromhex(vector["decoder_key"]))
            yield from differs("token", vector["token"], sts.encode(token, cipher))
            yield from differs("read back", token, sts.read(sts.unseal(vector["token"], cipher)))

    def key_change(self, vector: Vector) -> Iterator[str]:
        """Each section's block and digits, and the key that the meter puts together."""
        change = _key_change(vector)
        sections = change.sections()
        expected = vector["sections"]
        yield from differs("sections", sorted(expected), sorted(map(str, sections)))
        for number, data in sections.items():
            yield from compare(expected[str(number)], {"data_block": f"{data.to_int():016x}"})
        ciphers = self._ciphers(vector)
        if ciphers is not None:
            cipher = ciphers.cipher(_ea(vector), bytes.fromhex(vector["old_decoder_key"]))
            for number, data in sections.items():
                made = {"token": sts.seal(data, cipher)}
                yield from compare(expected[str(number)], made)
        new = key_change.assemble(sections, len(change.key))
        yield from differs("key put together", change.key, None if new is None else new.key)

    def acceptance(self, vector: Vector) -> Iterator[str]:
        """A sequence of entries at the meter."""
        ciphers = self._ciphers(vector) or self._sample
        reader = acceptance.TokenReader(lambda key: ciphers.cipher(_ea_of(key), key))
        state = acceptance.MeterState(
            key=bytes.fromhex(vector["decoder_key"]),
            register_max=vector.get("register_max_tenths", 999_999_999),
            tids=(0,) * vector["store_size"],
            key_expiry=vector["ken"],
        )
        for number, step in enumerate(vector["steps"]):
            if step.get("action") == "consume":
                state = acceptance.consume(state, step["tenths"])
                continue
            entry = reader.enter(state, step["token"])
            yield from differs(f"step {number}", step["expect"], entry.verdict.value)
            yield from compare(step, {"add_tenths": entry.added})
            state = entry.state

    def _ciphers(self, vector: Vector) -> DecoderCiphers | None:
        return self._licensed if "token_needs" in vector else self._sample


def _tid(vector: Vector) -> int:
    return tid.tid_at(_utc(vector["issued_at"]), vector["base_year"])


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _token(vector: Vector) -> StsToken:
    kind = TokenKind((vector["token_class"], vector["token_subclass"]))
    units = next(vector[name] for name in _UNITS if name in vector)
    return sts.make(kind, units, tid=vector["tid"], rnd=vector.get("rnd", 0))


def _fields(token: StsToken) -> dict[str, Any]:
    amount = token.amount
    return {
        "field16": f"{token.field16:04x}",
        "exponent": amount.exponent,
        "mantissa": amount.mantissa,
        "s_and_e": amount.s_and_e,
        "decoded_e5": token.units,
    }


def _block_fields(data: block.DataBlock) -> dict[str, Any]:
    number = data.to_int()
    return {"data_block": f"{number:016x}", "crc": f"{number & 0xFFFF:04x}"}


def _ea(vector: Vector) -> EncryptionAlgorithm:
    key = vector.get("decoder_key") or vector["old_decoder_key"]
    return EncryptionAlgorithm(vector["ea"]) if "ea" in vector else _ea_of(bytes.fromhex(key))


def _ea_of(key: bytes) -> EncryptionAlgorithm:
    """Decoder keys of the two algorithms differ in length."""
    return next(ea for ea in EncryptionAlgorithm if ea.key_bytes == len(key))


def _key_change(vector: Vector) -> key_change.KeyChange:
    return key_change.KeyChange(
        key=bytes.fromhex(vector["new_decoder_key"]),
        key_revision=vector["new_krn"],
        key_type=KeyType(vector["new_key_type"]),
        tariff_index=int(vector["new_tariff_index"]),
        supply_group=vector["new_sgc"],
        key_expiry=vector["ken"],
        rollover=bool(vector["rollover_bit"]),
        three_kct=bool(vector["three_kct_bit"]),
    )


def check_decoder_key(vector: Vector) -> Iterator[str]:
    """A decoder key and the bytes that it is derived from."""
    ea, dkga = EncryptionAlgorithm(vector["ea"]), Dkga(vector["dkga"])
    params = KeyParams(
        pan=MeterPan.parse(vector["meter_pan"]),
        supply_group=vector["sgc"],
        tariff_index=int(vector["tariff_index"]),
        key_revision=vector["krn"],
        key_type=KeyType(vector["key_type"]),
        base_year=vector.get("base_year", 2014),
    )
    key = keys.derive(dkga, ea, bytes.fromhex(vector["vending_key"]), params)
    actual = {
        "decoder_key": key.hex(),
        "kdf_input": keys.kdf_input(ea, params).hex(),
        "control_block": keys.control_block(params).hex(),
        "pan_block": params.pan.block(common=params.key_type is KeyType.COMMON).hex(),
    }
    yield from compare(vector, actual)


def check_crc(vector: Vector) -> Iterator[str]:
    """The check over given bytes."""
    yield from compare(vector, {"crc": f"{block.crc16(bytes.fromhex(vector['input_hex'])):04x}"})


def check_amount(vector: Vector) -> Iterator[str]:
    """The quantized amount and what it gives away; an amount that does not fit is refused."""
    try:
        amount = amounts.encode(vector["units"])
    except PrepaymentError as error:
        yield from _refused(vector, error)
        return
    actual = {
        "field16": f"{amount.field16:04x}",
        "exponent": amount.exponent,
        "mantissa": amount.mantissa,
        "decoded_units": amount.units,
        "over_credit_units": amount.units - vector["units"],
        "error": None,
    }
    yield from compare(vector, actual)
    yield from differs("decoded", amount, amounts.decode(amount.field16))


def _refused(vector: Vector, error: PrepaymentError) -> Iterator[str]:
    if "error" not in vector:
        yield f"refused: {error}"


def check_tid(vector: Vector) -> Iterator[str]:
    """The identifier of an instant, or that there is none."""
    try:
        number = _tid(vector)
    except PrepaymentError as error:
        yield from differs("error", vector.get("error"), error.code)
        return
    at = _utc(vector["issued_at"])
    skipped = (at.hour, at.minute) == (0, 1)
    actual = {
        "tid": number,
        "tid_hex": f"{number:06x}",
        "reserved_minute_skipped": skipped and tid.time_of(number, vector["base_year"]) > at,
        "error": None,
    }
    yield from compare(vector, actual)


def check_class1(vector: Vector) -> Iterator[str]:
    """A test token."""
    arguments = (vector["token_subclass"], int(vector["control"], 16), vector["mfr_code"])
    data = sts.display_block(*arguments)
    actual = {**_block_fields(data), "token": sts.display_token(*arguments)}
    yield from compare(vector, actual)


def check_misty1(vector: Vector) -> Iterator[str]:
    """One block there and back."""
    cipher = Misty1(bytes.fromhex(vector["key"]))
    plain, encrypted = int(vector["plain"], 16), int(vector["cipher"], 16)
    yield from differs("cipher", vector["cipher"], f"{cipher.encrypt(plain):016x}")
    yield from differs("plain", vector["plain"], f"{cipher.decrypt(encrypted):016x}")


def check_pan(vector: Vector) -> Iterator[str]:
    """A meter's number: valid or not, and its parts."""
    try:
        pan = MeterPan.parse(vector["pan"])
    except PrepaymentError:
        yield from differs("valid", vector["valid"], actual=False)
        return
    yield from compare(vector, {"valid": True, "iin": pan.iin, "drn": pan.drn})
    yield from differs("printed", vector["pan"], str(pan))


def check_paygo(vector: Vector) -> Iterator[str]:
    """A token for a device."""
    key = paygo.PaygoKey(
        vector["secret_key"],
        vector.get("starting_code"),
        restricted=vector["restricted_digit_set"],
        extended=vector["extended_token"],
    )
    kind = paygo.PaygoType[vector["token_type"]]
    made = paygo.issue(key, vector["count"], kind, vector["value"])
    yield from compare(vector, {"token": made.digits, "new_count": made.count})


def check_paygo_device(vector: Vector) -> Iterator[str]:
    """A sequence of entries at a device."""
    key = paygo.PaygoKey(vector["secret_key"], vector.get("starting_code"))
    device = paygo.PaygoDevice(vector["start_count"], tuple(vector["start_used_counts"]))
    for number, step in enumerate(vector["steps"]):
        entry = paygo.enter(key, device, step["token"])
        yield from differs(f"step {number}", step["expect"], entry.kind.name)
        device = entry.device
        yield from compare(step, {"value": entry.value, "count_after": device.count})
    yield from compare(vector, {"days_after": device.days, "unlocked": device.unlocked})


def check_ptut(vector: Vector) -> Iterator[str]:
    """The number of a top-up, there and back."""
    token = utrn.TopUpToken(
        vector["truncated_originator_counter"],
        utrn.ValueClass(vector["value_class"]),
        vector["value"],
        int(vector["mac32"], 16),
    )
    digits = token.to_digits()
    yield from compare(vector, {"ptut_hex": f"{token.to_int():016x}", "pptd_19": digits})
    yield from differs("read back", token, utrn.TopUpToken.from_digits(digits))


def check_relay(vector: Vector) -> Iterator[str]:
    """One event at the supply switch."""
    event = relay.RelayEvent(vector["event"])
    state = relay.after(RelayState(vector["state"]), event, vector["mode"])
    output = state is RelayState.CONNECTED
    yield from compare(vector, {"next_state": state.value, "output_state": output})
