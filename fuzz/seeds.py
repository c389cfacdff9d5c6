"""Inputs to begin with: telegrams for each target, shipped and, where they are, captured."""

from __future__ import annotations

import json
from pathlib import Path

from firmware_profiles.records import RecordError, payload_of, profile_for

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "firmware_profiles" / "samples" / "telegrams.jsonl"
CAPTURED = ROOT.parent / "shared" / "telegrams"
CODECS = {
    "axdr": ["dlms-han-push"],
    "dlms_push": ["dlms-han-push"],
    "dlms_transport": ["dlms-han-push", "dlms-hdlc-push", "dlms-mbus-push", "dlms-wrapper-glo"],
    "dlt645": ["dlt645-2007"],
    "dlt698_link": ["dlt698-45"],
    "echonet": ["echonet-lite-broute"],
    "gbcs": ["gbcs"],
    "hdlc": ["dlms-han-push", "dlms-hdlc-push", "hdlc"],
    "iec62056_21": ["iec62056-21"],
    "mbus": ["mbus", "mbus-negative"],
    "modbus": ["modbus-rtu"],
    "p1": ["dsmr-p1", "dsmr-p1-encrypted"],
    "sml": ["sml"],
    "tic": ["linky-tic-historic", "linky-tic-standard"],
    "wmbus": ["wmbus"],
}
"""Codec target -> standards of telegrams that it reads."""
KILLERS = [bytes.fromhex(text) for text in ("01ff02", "0282ffff06", "01847fffffff00")]
"""Three inputs that hang or exhaust other decoders."""


def seeds() -> dict[str, list[bytes]]:
    """Target -> inputs; every target has the killers."""
    found: dict[str, list[bytes]] = {}
    for path in (SAMPLES, *sorted(CAPTURED.glob("*.jsonl"))):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            for target in _targets(record):
                found.setdefault(target, []).append(payload_of(record))
    return found


def _targets(record: dict[str, str]) -> list[str]:
    codecs = [name for name, standards in CODECS.items() if record["standard"] in standards]
    try:
        spec = profile_for(record["standard"], record.get("country", "-")).spec
    except RecordError:
        return codecs
    return [*codecs, f"profile_{spec.name}"]


def write(target: str, folder: Path) -> int:
    """Put a target's inputs into a folder; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [*KILLERS, *seeds().get(target, [])]
    for number, octets in enumerate(inputs):
        (folder / f"seed-{number:03}").write_bytes(octets)
    return len(inputs)
