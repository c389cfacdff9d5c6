"""Time other projects' decoders: run by `ohmesh bench decode` in the environment `oracles`.

stdin:  {"records": [a record of telegrams with `standard`, `country`, `payload_hex`, keys ...],
         "rounds": 5, "round_s": 0.002}
stdout: a JSON list, for each record {library: CPU microseconds, or null when it gave no values}

Only libraries under permissive licences are here. Each is used as its own documentation shows, down
to values: what only splits a frame is said to in its name.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FLAG = b"\x7e"
DSMR_4 = re.compile(r"(?:1-3:0\.2\.8|0-0:96\.1\.4)\((\d+)\)")
Decoder = "Callable[[], Any]"


@cache
def _dsmr_parser(name: str, *, check: bool = True) -> Any:
    from dsmr_parser import telegram_specifications  # noqa: PLC0415 - each library only when asked
    from dsmr_parser.parsers import TelegramParser  # noqa: PLC0415

    specification = getattr(telegram_specifications, name)
    return TelegramParser(specification, apply_checksum_validation=check)


def dsmr(record: dict[str, Any], payload: bytes) -> Decoder:
    text = payload.decode("latin-1")
    version = DSMR_4.search(text)
    countries = {"BE": "BELGIUM_FLUVIUS", "SE": "SWEDEN", "LU": "LUXEMBOURG_SMARTY"}
    name = "V5" if version and version[1].startswith("5") else "V4" if version else "V3"
    name = countries.get(record["country"], name)
    if record["standard"] == "dsmr-p1-encrypted":
        # The CRC inside the published example is wrong; the tag outside it is checked.
        parser = _dsmr_parser("LUXEMBOURG_SMARTY", check=False)
        return lambda: parser.parse(
            payload.hex(), record["key_hex"], record.get("auth_key_hex"), throw_ex=True
        )
    return lambda: _dsmr_parser(name).parse(text, throw_ex=True)


def amshan_p1(_record: dict[str, Any], payload: bytes) -> Decoder:
    from han import dlde  # noqa: PLC0415

    return lambda: dlde.decode_p1_readout(dlde.DataReadout(payload))


def amshan(_record: dict[str, Any], payload: bytes) -> Decoder:
    from han.autodecoder import AutoDecoder  # noqa: PLC0415
    from han.hdlc import HdlcFrameReader  # noqa: PLC0415

    decoder = AutoDecoder()
    if payload[:1] != FLAG:
        return lambda: decoder.decode_message_payload(payload)
    reader = HdlcFrameReader(use_octet_stuffing=False)

    def read() -> Any:
        frames = reader.read(payload + FLAG)
        return decoder.decode_message(frames[0]) if frames[0].is_good_ffc else None

    return read


def pysml(_record: dict[str, Any], payload: bytes) -> Decoder:
    from sml import SmlBase  # noqa: PLC0415

    return lambda: SmlBase.find_frame(payload)[1]


def meterbus(_record: dict[str, Any], payload: bytes) -> Decoder:
    import meterbus as library  # noqa: PLC0415

    return lambda: library.load(payload).to_JSON()


def iec62056_21(_record: dict[str, Any], payload: bytes) -> Decoder:
    from iec62056_21.messages import DataLine  # noqa: PLC0415

    lines = [line for line in payload.decode("latin-1").splitlines() if line.endswith(")")]
    return lambda: [DataLine.from_representation(line) for line in lines]


def dlt645(_record: dict[str, Any], payload: bytes) -> Decoder:
    from dlt645.common.transform import bcd_to_float  # noqa: PLC0415
    from dlt645.protocol.protocol import DLT645Protocol  # noqa: PLC0415

    def read() -> Any:
        frame = DLT645Protocol.deserialize(payload)
        return bcd_to_float(frame.data[4:], "XXXXXX.XX", "little") if frame.data[4:] else frame

    return read


def pychonet(_record: dict[str, Any], payload: bytes) -> Decoder:
    from pychonet.lib.functions import decodeEchonetMsg  # noqa: PLC0415
    from pychonet.LowVoltageSmartElectricEnergyMeter import (  # noqa: PLC0415
        LowVoltageSmartElectricEnergyMeter as Meter,
    )

    def value(item: dict[str, Any]) -> Any:
        known = Meter.EPC_FUNCTIONS.get(item["EPC"])
        if isinstance(known, list):
            return known[0](item["EDT"], *known[1:])
        return known(item["EDT"]) if known else item["EDT"]

    return lambda: [value(item) for item in decodeEchonetMsg(payload)["OPC"]]


def pymodbus(record: dict[str, Any], _payload: bytes) -> Decoder:
    from pymodbus.client.mixin import ModbusClientMixin  # noqa: PLC0415
    from pymodbus.framer import FramerRTU  # noqa: PLC0415
    from pymodbus.pdu import DecodePDU  # noqa: PLC0415

    framer = FramerRTU(DecodePDU(is_server=False))
    answer = bytes.fromhex(record["telegram_hex"])
    float32 = ModbusClientMixin.DATATYPE.FLOAT32

    def read() -> Any:
        _, pdu = framer.handleFrame(answer, 0, 0)
        pairs = [pdu.registers[i : i + 2] for i in range(0, len(pdu.registers) - 1, 2)]
        return [ModbusClientMixin.convert_from_registers(pair, float32) for pair in pairs]

    return read


LIBRARIES: dict[str, dict[str, Callable[[dict[str, Any], bytes], Decoder]]] = {
    "dsmr-p1": {"dsmr-parser": dsmr, "amshan": amshan_p1},
    "dsmr-p1-encrypted": {"dsmr-parser": dsmr},
    "dlms-han-push": {"amshan": amshan},
    "sml": {"pysml": pysml},
    "mbus": {"pyMeterBus": meterbus},
    "iec62056-21": {"iec62056-21": iec62056_21},
    "dlt645-2007": {"dlt645": dlt645},
    "echonet-lite-broute": {"pychonet": pychonet},
    "modbus-rtu": {"pymodbus": pymodbus},
}


def cpu_us(decode: Decoder, rounds: int, round_s: float) -> float:
    """The best round's CPU microseconds a call."""
    best = float("inf")
    for _ in range(rounds):
        calls, begin = 0, time.process_time()
        while (taken := time.process_time() - begin) < round_s:
            decode()
            calls += 1
        best = min(best, taken / calls)
    return best * 1e6


def timed(record: dict[str, Any], make: Any, rounds: int, round_s: float) -> float | None:
    try:
        decode = make(record, bytes.fromhex(record["payload_hex"]))
        if not decode():
            return None
        return cpu_us(decode, rounds, round_s)
    except Exception:  # noqa: BLE001 - a library that fails on a telegram has no time for it
        return None


def main() -> int:
    logging.disable(logging.CRITICAL)
    task = json.load(sys.stdin)
    results = []
    with contextlib.redirect_stdout(io.StringIO()):
        for record in task["records"]:
            libraries = LIBRARIES.get(record["standard"], {})
            results.append(
                {
                    name: timed(record, make, task["rounds"], task["round_s"])
                    for name, make in libraries.items()
                }
            )
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
