"""What `detect` prints about a simulated meter is loaded, and reads that meter."""

from __future__ import annotations

import contextlib
import os
import tty

import pytest

from firmware_profiles import registry
from firmware_profiles.codecs.dlms.acse import AssociationResponse, Context, parse_aarq
from firmware_profiles.codecs.dlms.errors import Diagnostic
from gateway import cli, config
from gateway.detect import Find, Search, detect, sections
from gateway.drivers.line import Line, LineSettings
from meter_sim.field.dlms import DlmsResponder
from meter_sim.field.mbus import MbusResponder
from meter_sim.field.modbus import ModbusResponder
from meter_sim.field.optical import OpticalResponder
from meter_sim.field.push import PushingMeter, profile_telegram, readout_telegram
from meter_sim.field.server import serve_pty, serve_tcp
from ohmesh.model.errors import DriverTransient

NOW_MS = 1_767_268_800_000
QUICK = Search(
    listen_s=0.3, answer_s=0.1, sign_on_s=0.5, units=range(1, 6), addresses=range(4), session_s=0.3
)


def clock_ms():
    return NOW_MS


def pushed(name):
    return PushingMeter(profile_telegram(registry.load(name), "M1", clock_ms, seed=1), 0.05)


def readout(*, checked):
    return PushingMeter(
        readout_telegram(registry.load("de_sml"), "M1", clock_ms, seed=1, checked=checked), 0.05
    )


def dlms(*, hdlc=True):
    return DlmsResponder(registry.load("kr_dlms"), "M1", clock_ms=clock_ms, hdlc=hdlc)


def optical():
    return OpticalResponder(
        readout_telegram(registry.load("de_sml"), "M1", clock_ms, seed=1, checked=True)
    )


def mbus():
    ids = {number: f"{number:08d}" for number in (1, 2)}
    return MbusResponder(registry.load("eu_mbus"), ids, clock_ms=clock_ms)


def modbus(*, tcp=False):
    maps = {1: "eastron_sdm", 2: "eastron_sdm", 4: "carlo_gavazzi_em24", 5: "sunspec_meter_int"}
    return ModbusResponder(maps, clock_ms=clock_ms, tcp=tcp)


def loaded(find, tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(sections([find])))
    return getattr(config.load(path), find.kind)


@pytest.mark.parametrize(
    ("meter", "kind"),
    [
        (lambda: pushed("nl_dsmr"), "p1"),
        (lambda: pushed("de_sml"), "sml"),
        (lambda: pushed("fr_linky"), "tic"),
        (lambda: pushed("no_han"), "han"),
        (lambda: readout(checked=False), "readout"),
        (lambda: readout(checked=True), "readout"),
        (dlms, "dlms"),
        (optical, "optical"),
        (mbus, "mbus"),
        (modbus, "modbus"),
    ],
)
async def test_a_meter_on_a_port_is_found_and_its_section_loads(tmp_path, meter, kind):
    async with serve_pty(meter(), tmp_path / "port") as line:
        find = await detect(str(line), QUICK)
        assert find is not None
        assert find.kind == kind
        (section,) = loaded(find, tmp_path)
        assert section.line == str(line)
    if kind == "mbus":
        assert section.meters == ("1-2",)
    if kind == "modbus":
        assert {m.map: m.units for m in section.meters} == {
            "eastron_sdm": "1-2",
            "carlo_gavazzi_em24": "4",
            "sunspec_meter_int": "5",
        }


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_modbus_meters_behind_tcp_are_found(tmp_path, framing):
    async with serve_tcp(lambda: modbus(tcp=framing == "tcp"), 0) as port:
        find = await detect(f"tcp://127.0.0.1:{port}", QUICK)
        assert find is not None
        (section,) = loaded(find, tmp_path)
    assert section.rtu == (framing == "rtu")
    assert sum(len(m.units.split(",")) for m in section.meters) == 3


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
async def test_a_dlms_meter_behind_tcp_is_found(tmp_path, framing):
    async with serve_tcp(lambda: dlms(hdlc=framing == "hdlc"), 0) as port:
        find = await detect(f"tcp://127.0.0.1:{port}", QUICK)
        assert find is not None
        (section,) = loaded(find, tmp_path)
    assert (find.kind, section.framing, section.hdlc) == ("dlms", framing, framing == "hdlc")


async def test_a_dlms_meter_that_wants_a_password_is_found_and_says_so():
    class Strict(DlmsResponder):
        def _apdu(self, apdu):
            assert parse_aarq(apdu)
            reason = Diagnostic.AUTHENTICATION_FAILURE
            return AssociationResponse(Context.PLAIN, accepted=False, diagnostic=reason).to_bytes()

    async with serve_tcp(
        lambda: Strict(registry.load("kr_dlms"), "M1", clock_ms=clock_ms, hdlc=False), 0
    ) as port:
        find = await detect(f"tcp://127.0.0.1:{port}", QUICK)
    assert find.kind == "dlms"
    assert "it wants one" in find.more


async def test_a_dlms_meter_that_shows_its_registers_by_password_only_says_so():
    def closed():
        profile = registry.load("kr_dlms")
        return DlmsResponder(profile, "M1", clock_ms=clock_ms, hdlc=False, password="12345678")

    async with serve_tcp(closed, 0) as port:
        find = await detect(f"tcp://127.0.0.1:{port}", QUICK)
    assert find.kind == "dlms"
    assert "it wants one" in find.more


async def test_a_silent_port_has_nothing():
    ours, end = os.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, ours)
        stack.callback(os.close, end)
        tty.setraw(end)
        few = Search(
            listen_s=0.05, answer_s=0.02, sign_on_s=0.05, units=[1], addresses=[1], session_s=0.05
        )
        assert await detect(os.ttyname(end), few) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/dev/nope", "No such file or directory; plug it in, or correct `line`"),
        ("/dev/null", "it is no serial port; correct `line`"),
        ("tcp://127.0.0.1:1", "connection refused; start the device server"),
    ],
)
async def test_a_line_that_cannot_be_opened_says_what_to_do(line, message):
    with pytest.raises(DriverTransient) as caught:
        await detect(line, QUICK)
    assert str(caught.value).startswith(f"{line}: {message}")


async def test_a_port_that_is_open_elsewhere_says_so(tmp_path):
    async with serve_pty(mbus(), tmp_path / "port") as port:
        line = await Line.open(LineSettings(str(port)))
        try:
            with pytest.raises(DriverTransient, match="another program has it open; stop that"):
                await detect(str(port), QUICK)
        finally:
            line.close()
        assert (await detect(str(port), QUICK)).kind == "mbus"


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["detect", "tcp://x"], 2, "'tcp://x' is not tcp://host:port"),
        (["detect", "--units", "1-999", "x"], 2, "'1-999' is not within 1 to 247"),
        (["detect", "/dev/nope"], 1, "/dev/nope: No such file"),
    ],
)
def test_the_command_tells_in_a_line(argv, code, message, capsys):
    assert cli.main(argv) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err


def test_a_meter_that_was_found_does_not_hide_a_line_that_failed(monkeypatch, capsys):
    """Of lines that somebody named; of the machine's own ports some may always be in use."""

    async def one_of_two(line, _search):
        if line == "/dev/lost":
            raise DriverTransient("/dev/lost: No such file or directory; plug it in")
        return Find("p1", line, 115_200, "8N1")

    monkeypatch.setattr(cli, "detect", one_of_two)
    monkeypatch.setattr(cli, "ports", lambda: ["/dev/lost", "/dev/there"])
    for argv, code in ((["/dev/there"], 0), (["/dev/lost", "/dev/there"], 1), ([], 0)):
        assert cli.main(["detect", *argv]) == code
        assert 'line = "/dev/there"' in capsys.readouterr().out
