"""The radio layers: block checks, link addresses, security, the extended link, maker formats."""

import pytest

from firmware_profiles.codecs.crc import crc16_en13757
from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.mbus.security import KeyUse, cmac, derive_key, open_ctr, seal_cbc
from firmware_profiles.codecs.wmbus.link import FRAMES_MAX, read_frames, write_blocks_a
from firmware_profiles.codecs.wmbus.telegram import read_radio
from ohmesh.model.errors import DecodeError, DecodeErrorKind

KEY = bytes(range(16))
OTHER_KEY = bytes(16)
LINK = bytes.fromhex("9315 78563412 33 03")
"""ELS 12345678, version 33, gas: the address of the examples in the OMS specification."""
VALUES = bytes.fromhex("0c14 27048502 046d 32371f15 02fd17 0000")
"""28504.27 m3 at 2008-05-31 23:50, no error."""

OMS_PROFILE_B = bytes.fromhex(
    "434493157856341233038c2075900f002c25b30a000021924d4f2fb66e017a75002007109058475f4bc91df8"
    "78b80a1b0f98b629024aac727942bfc549233c0140829b93"
)
"""OMS specification, volume 2, annex N: a gas meter with security profile B."""
OMS_PROFILE_B_ON_AIR = bytes.fromhex(
    "434493157856341233037ac98c2075900f002c25b30a000021924d4fba372fb66e017a75002007109058475f"
    "4bc9d1281df878b80a1b0f98b629024aac7279429398bfc549233c0140829b93baa1"
)
"""The same with the block checks of format A."""


def framed(user_data, link=LINK, control=0x44):
    return bytes([9 + len(user_data), control]) + link + user_data


def short_header(configuration, access=0x2A):
    return bytes([0x7A, access, 0x00]) + configuration.to_bytes(2, "little")


def only(payload, **options):
    (telegram,) = read_radio(payload, **options)
    return telegram


def numbers(telegram):
    return [record.value for record in telegram.records][:1]


def refused(payload, kind, **options):
    with pytest.raises(DecodeError) as caught:
        read_radio(payload, **options)
    assert caught.value.kind is kind
    return caught.value


PLAIN = framed(short_header(0) + VALUES)


def test_a_plain_frame():
    telegram = only(PLAIN)
    assert numbers(telegram) == [2850427]
    assert telegram.address.number == "12345678"
    assert telegram.address.maker == "ELS"
    assert telegram.address.medium == "gas"
    assert (telegram.access, telegram.status, telegram.radio) == (0x2A, 0, None)


@pytest.mark.parametrize("size", [1, 5, 6, 7, 21, 22, 100, 240])
def test_block_checks_of_format_a_are_taken_off(size):
    frame = framed(b"\x78" + b"\x2f" * size)
    on_air = write_blocks_a(frame)
    assert len(on_air) > len(frame)
    assert [f.data for f in read_frames(on_air)] == [frame]


def test_a_wrong_block_check_is_refused_unless_the_caller_allows_it():
    on_air = bytearray(write_blocks_a(framed(b"\x78" + b"\x2f" * 40)))
    on_air[-1] ^= 1
    refused(bytes(on_air), DecodeErrorKind.CHECKSUM)
    assert only(bytes(on_air), verify=False).records == ()


def format_b(user_data):
    """A frame of format B; L counts its checks."""
    checks = 1 + (len(user_data) + 10 > 126)
    frame = bytes([9 + len(user_data) + 2 * checks, 0x44]) + LINK + user_data
    parts = [frame[:126], frame[126:]][:checks]
    return b"".join(part + crc16_en13757(part).to_bytes(2, "big") for part in parts)


@pytest.mark.parametrize("fill", [0, 80, 114, 115, 180])
def test_block_checks_of_format_b_are_taken_off(fill):
    telegram = only(format_b(short_header(0) + VALUES + b"\x2f" * fill))
    assert len(telegram.records) == 3


def test_frames_in_a_row_and_their_bound():
    assert len(read_radio(PLAIN * 2)) == 2
    assert len(read_radio(PLAIN * FRAMES_MAX)) == FRAMES_MAX
    refused(PLAIN * (FRAMES_MAX + 1), DecodeErrorKind.MALFORMED)
    refused(PLAIN + b"\x10", DecodeErrorKind.TRUNCATED)


def compacted(full):
    """CI 79 for the full frame's records, each header two octets and each datum one."""
    headers = b"".join(full[at : at + 2] for at in range(0, len(full), 3))
    signature, check = (crc16_en13757(octets).to_bytes(2, "little") for octets in (headers, full))
    return framed(b"\x79" + signature + check + full[2::3])


def test_a_full_frame_gives_the_format_of_a_compact_one_behind_it():
    full = bytes.fromhex("0113 05 0114 06")
    first, second = read_radio(framed(b"\x78" + full) + compacted(full))
    assert [r.value for r in first.records] == [r.value for r in second.records] == [5, 6]
    refused(compacted(full), DecodeErrorKind.UNSUPPORTED)


def test_a_makers_block_gives_no_format():
    signature = crc16_en13757(b"\x0f").to_bytes(2, "little")
    compact = framed(b"\x79" + signature + bytes(4))
    refused(framed(bytes.fromhex("78 0f 0102")) + compact, DecodeErrorKind.UNSUPPORTED)


def test_a_frame_that_is_cut_is_truncated():
    for end in range(len(PLAIN)):
        refused(PLAIN[:end], DecodeErrorKind.TRUNCATED)


def test_a_frame_to_a_meter_is_not_read():
    refused(framed(short_header(0) + VALUES, control=0x53), DecodeErrorKind.UNSUPPORTED)


def test_the_long_header_names_the_meter_behind_the_radio():
    header = bytes.fromhex("72 21436587 2d2c 01 16 0100 0000")
    telegram = only(framed(header + VALUES))
    assert (telegram.address.number, telegram.address.maker) == ("87654321", "KAM")
    assert telegram.radio.number == "12345678"


def test_a_meter_with_its_own_radio_is_one_device():
    header = b"\x72" + LINK[2:6] + LINK[:2] + LINK[6:] + bytes.fromhex("0100 0000")
    assert only(framed(header + VALUES)).radio is None


def test_no_header_and_a_header_alone():
    assert numbers(only(framed(b"\x78" + VALUES))) == [2850427]
    assert only(framed(bytes.fromhex("8a 01 00 0000"))).records == ()


def test_an_unknown_ci_field():
    refused(framed(bytes.fromhex("54 01")), DecodeErrorKind.UNSUPPORTED)


def mode_5(clear=b"", fill=b"\x2f"):
    body = b"\x2f\x2f" + VALUES
    body += fill * (-len(body) % 16)
    sealed = seal_cbc(KEY, LINK + bytes([0x2A]) * 8, body)
    return framed(short_header(0x0500 | len(body) // 16 << 4) + sealed + clear)


def test_mode_5_with_the_right_key():
    assert numbers(only(mode_5(), key=KEY)) == [2850427]


def test_records_behind_the_encrypted_blocks_are_read_too():
    telegram = only(mode_5(clear=bytes.fromhex("01fd74 05")), key=KEY)
    assert telegram.records[-1].value == 5


@pytest.mark.parametrize("key", [None, OTHER_KEY, b"short"])
def test_mode_5_without_the_right_key(key):
    refused(mode_5(), DecodeErrorKind.KEY, key=key)


def test_a_telegram_that_was_opened_on_the_way_needs_no_key():
    opened = framed(short_header(0x0520) + b"\x2f\x2f" + VALUES + b"\x2f" * 13)
    assert numbers(only(opened)) == [2850427]
    refused(opened, DecodeErrorKind.KEY, key=KEY)


def test_mode_5_without_encrypted_blocks_is_plain():
    assert numbers(only(framed(short_header(0x0500) + VALUES))) == [2850427]


def test_more_encrypted_blocks_than_there_are():
    refused(framed(short_header(0x05F0) + bytes(32)), DecodeErrorKind.TRUNCATED, key=KEY)


@pytest.mark.parametrize("mode", [1, 2, 4, 6, 8, 13, 31])
def test_other_modes_are_not_opened(mode):
    refused(
        framed(short_header(mode << 8 | 0x10) + bytes(16)), DecodeErrorKind.UNSUPPORTED, key=KEY
    )


@pytest.mark.parametrize("frame", [OMS_PROFILE_B, OMS_PROFILE_B_ON_AIR])
def test_the_example_of_security_profile_b(frame):
    telegram = only(frame, key=KEY)
    volume, time, error = telegram.records
    assert volume.value == 2850427
    assert str(time.value) == "2008-05-31T23:50:00"
    assert error.value == 0
    assert telegram.counter == 0xAB3
    assert telegram.access == 0x75


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_security_profile_b_without_the_right_key(key):
    refused(OMS_PROFILE_B, DecodeErrorKind.KEY, key=key)


def test_each_authenticated_octet_counts():
    # from the message counter to the end; the MAC itself and the sealed data among them
    for position in range(17, len(OMS_PROFILE_B)):
        changed = bytearray(OMS_PROFILE_B)
        changed[position] ^= 0x01
        with pytest.raises(DecodeError):
            read_radio(bytes(changed), key=KEY)


def authenticated(message, *, counter=7, control=0x2C00, fields=b""):
    """A message behind an authentication layer with a MAC of eight bytes."""
    octets = counter.to_bytes(4, "little")
    covered = b"\x25" + octets
    mac = cmac(derive_key(KEY, KeyUse.AUTHENTICATION, octets, LINK[2:6]), covered + message)[:8]
    layer = control.to_bytes(2, "little") + b"\x25" + fields + octets + mac
    return framed(bytes([0x90, len(layer)]) + layer + message)


def test_a_plain_message_can_be_authenticated():
    payload = authenticated(short_header(0) + VALUES)
    assert only(payload, key=KEY).counter == 7
    assert only(payload).counter == 7
    refused(payload, DecodeErrorKind.KEY, key=OTHER_KEY)


def test_a_key_information_field_stands_before_the_counter():
    payload = authenticated(short_header(0) + VALUES, control=0x2E00, fields=b"\x00\x10")
    assert only(payload, key=KEY).counter == 7


def test_a_message_in_fragments_is_not_read():
    for control in (0x6C01, 0x2C02):
        payload = authenticated(short_header(0) + VALUES, control=control)
        refused(payload, DecodeErrorKind.UNSUPPORTED, key=KEY)


def test_mode_7_without_a_counter():
    payload = framed(short_header(0x0710) + b"\x10" + bytes(16))
    refused(payload, DecodeErrorKind.UNSUPPORTED, key=KEY)


SESSION = bytes.fromhex("11223320")
"""Session number with encryption 1."""


def checked(body):
    return crc16_en13757(body).to_bytes(2, "little") + body


def extended(session, payload):
    return framed(bytes([0x8D, 0x20, 0x55]) + session + payload)


def ctr(payload):
    return open_ctr(KEY, LINK + b"\x20" + SESSION + bytes(3), payload)


def test_the_extended_link_layer_in_ctr_mode():
    payload = extended(SESSION, ctr(checked(b"\x78" + VALUES)))
    assert numbers(only(payload, key=KEY)) == [2850427]
    for key in (None, OTHER_KEY):
        refused(payload, DecodeErrorKind.KEY, key=key)


def test_an_opened_session_is_known_by_its_check():
    payload = extended(SESSION, checked(b"\x78" + VALUES))
    assert numbers(only(payload)) == [2850427]
    refused(payload[:-1] + b"\xff", DecodeErrorKind.KEY)


def test_a_plain_session_is_checked():
    payload = extended(bytes(4), checked(b"\x78" + VALUES))
    assert numbers(only(payload)) == [2850427]
    wrong = payload[:-1] + b"\xff"
    refused(wrong, DecodeErrorKind.CHECKSUM)
    assert numbers(only(wrong, verify=False)) == [2850427]


def test_another_encryption_of_the_extended_link_layer():
    refused(extended(bytes.fromhex("11223340"), bytes(20)), DecodeErrorKind.UNSUPPORTED, key=KEY)


@pytest.mark.parametrize(
    "layer", ["8c 20 55", "8e 20 55 2d2c 21436587 01 16", "8f 20 55 2d2c 21436587 01 16 00000000"]
)
def test_the_other_extended_link_layers(layer):
    octets = bytes.fromhex(layer)
    body = short_header(0) + VALUES
    telegram = only(framed(octets + (checked(body) if octets[0] == 0x8F else body)))
    assert numbers(telegram) == [2850427]
    assert telegram.address.number == "12345678"


def test_the_access_number_of_the_extended_link_serves_a_message_without_a_header():
    assert only(framed(bytes.fromhex("8c 20 55 78") + VALUES)).access == 0x55


def address(letters, identification, version, device_type):
    code = maker_code(letters).to_bytes(2, "little")
    return code + bytes.fromhex(identification) + bytes([version, device_type])


def maker(letters, version, device_type, payload, ci=0xA0):
    link = address(letters, "21436587", version, device_type)
    return framed(bytes([ci]) + bytes.fromhex(payload), link)


def values(telegram):
    return {r.header.octets.hex(): r.value for r in telegram.records}


def test_a_techem_allocator():
    # billing 2019-12-31, 1026 units; 8 February, 131 units; 22.44 and 25.51 C
    telegram = only(maker("TCH", 0x69, 0x80, "11 9f27 0204 8004 8300 c408 f709 00"))
    found = values(telegram)
    assert telegram.address.medium == "heat cost allocator"
    assert (found["426e"], found["026e"], found["0265"], found["0259"]) == (1026, 131, 2244, 2551)
    assert (str(found["426c"]), str(found["026c"])) == ("2019-12-31", "2020-02-08")


def test_a_makers_payload_behind_the_extended_link():
    link = address("TCH", "21436587", 0x69, 0x80)
    payload = bytes.fromhex("8c 20 55 a0 11 9f27 0204 8004 8300 c408 f709 00")
    assert values(only(framed(payload, link)))["026e"] == 131


def test_a_techem_water_meter():
    telegram = only(maker("TCH", 0x74, 0x62, "06 9f25 5900 b029 3100 00", ci=0xA2))
    found = values(telegram)
    assert telegram.address.medium == "hot water"
    assert (found["4215"], found["0215"]) == (89, 138)
    assert (str(found["426c"]), str(found["026c"])) == ("2018-12-31", "2019-04-27")


def test_a_techem_water_meter_with_months():
    months = "".join(f"{n:02x}{n + 1:02x}00" for n in range(12))
    found = values(only(maker("TCH", 0x50, 0x72, "0c00 7c31 10250000" + months)))
    assert found["0415"] == 9488
    assert [v for k, v in found.items() if k.endswith("15") and k != "0415"] == list(
        range(1, 25, 2)
    )


def test_a_techem_allocator_of_version_94_has_its_temperatures_later():
    found = values(only(maker("TCH", 0x94, 0x80, "0f 9f29 2d00 5024 0400 11 bd08 3809")))
    assert (found["426e"], found["026e"], found["0265"], found["0259"]) == (45, 4, 2237, 2360)


@pytest.mark.parametrize("kind", [0x43, 0xC3])
def test_techem_heat_meters(kind):
    vario = only(maker("TCH", 0x27, kind, "12 9f25 3833 00a8 6226 00"))
    assert (values(vario)["440e"], values(vario)["040e"]) == (0x3338, 0x3338 + 0x2662)
    compact = only(maker("TCH", 0x45, kind, "00 9f27 770101 60 780000", ci=0xA1))
    assert (values(compact)["4406"], values(compact)["0406"]) == (0x10177, 0x10177 + 120)
    assert vario.address.medium == compact.address.medium == "heat"


def test_a_techem_smoke_detector():
    telegram = only(maker("TCH", 0x76, 0xF0, "05 9f27 82"))
    assert (values(telegram)["01fd17"], telegram.address.medium) == (5, "smoke detector")


def test_apator_pulse_adapters_count_thirds():
    small = only(maker("APT", 0x0F, 0x0F, "42f21400 00"))
    large = only(maker("APT", 0x04, 0x11, "1d540000 00"))
    assert [r.value for t in (small, large) for r in t.records] == [457_579_333, 7_177_666_667]


def test_an_apator_allocator():
    found = values(only(maker("APA", 0x04, 0x08, "a10000 5900 1c27 0100 322d e413 b415")))
    assert (found["426e"], found["026e"]) == (89, 1)
    assert found["0265"] == 0x15B4 * 390_625


PRIOS_STARTS = [0x39BC8A10 ^ 0xE66D83F8, 0x51728910 ^ 0xE66D83F8]


def whitened(frame_head, plain, start):
    """Diehl whitening of what stands behind the 15 octets of a frame's head."""
    state = start
    for at in (2, 6, 10):
        state ^= int.from_bytes(frame_head[at : at + 4], "big")
    out = bytearray()
    for octet in plain:
        for _ in range(8):
            taps = (state >> 1) ^ (state >> 2) ^ (state >> 11) ^ (state >> 31)
            state = (state << 1 | taps & 1) & 0xFFFFFFFF
        out.append(octet ^ state & 0xFF)
    return bytes(out)


@pytest.mark.parametrize("start", PRIOS_STARTS)
def test_a_whitened_diehl_heat_meter(start):
    # in the link address: version 20, type 04, then 68926025
    link = bytes.fromhex("2423 2004 25609268")
    records = bytes.fromhex("0c06 51260000 0c13 47031500 0a62 4101")
    clear = bytes.fromhex("7a 37 00 45") + bytes([sum(records) & 0xFF])
    head = bytes([9 + 5 + len(records), 0x44]) + link + clear
    payload = framed(clear + whitened(head, records, start), link)
    telegram = only(payload)
    assert [r.value for r in telegram.records] == [2651, 150347, 141]
    assert (telegram.address.number, telegram.address.medium) == ("68926025", "heat")
    assert (telegram.address.version, telegram.access) == (0x20, 0x37)
    refused(payload[:-1] + bytes([payload[-1] ^ 1]), DecodeErrorKind.UNSUPPORTED)


@pytest.mark.parametrize(("letters", "number"), [("SAP", "87654321"), ("DME", "01D48765")])
@pytest.mark.parametrize("start", PRIOS_STARTS)
def test_a_diehl_water_radio(start, letters, number):
    link = address(letters, "21436587", 0xD4, 0x01)
    clear = bytes.fromhex("01 13 00 00")
    plain = bytes.fromhex("4b a00d0000 9e0d0000 7e29")
    head = bytes([9 + 1 + 4 + 11, 0x44]) + link + b"\xa2" + clear
    telegram = only(framed(b"\xa2" + clear + whitened(head, plain, start), link))
    found = values(telegram)
    assert (found["0413"], found["4413"]) == (3488, 3486)
    assert str(found["426c"]) == "2019-09-30"
    assert telegram.address.number == number


def test_an_unknown_makers_payload_is_refused():
    refused(maker("XYZ", 1, 7, "00" * 20), DecodeErrorKind.UNSUPPORTED)
    refused(maker("SAP", 1, 7, "00" * 20), DecodeErrorKind.UNSUPPORTED)
    refused(maker("TCH", 0x01, 0x80, "00" * 20), DecodeErrorKind.UNSUPPORTED)
    refused(maker("TCH", 0x69, 0x80, "00"), DecodeErrorKind.TRUNCATED)


def block(letters, version, device_type, records):
    link = address(letters, "21436587", version, device_type)
    return only(framed(short_header(0) + bytes.fromhex(records), link))


def test_a_block_of_zenner():
    telegram = block("ZRI", 0x0B, 0x16, "0f 00000000 80bf1b00 00a64200 00")
    kept, target, total = telegram.records
    assert kept.value == "0000000080BF1B0000A6420000"
    assert target.value == 71_035 * 10**7
    assert total.value == 17_062 * 10**8
    assert target.header.exponent == total.header.exponent == -11


def test_a_block_of_qundis():
    head = "00824e00007f0007c113ffff"
    data = head + "63961300 df2c 82731200 fe24 63811300 a400 f200 0080 2f"
    payload = f"0dff5f {len(bytes.fromhex(data)):02x}" + data
    found = values(block("QDS", 0x18, 0x06, payload))
    assert (found["0c13"], found["8c0113"], found["4c13"]) == (139_663, 127_382, 138_163)
    assert [found[k] for k in ("820413", "c20413", "820513")] == [164, 242, None]
    assert str(found["426c"]) == "2023-04-30"


def test_a_block_of_qundis_with_an_unknown_unit_stays_text():
    payload = "0dff5f 1e" + "00" * 9 + "7c" + "00" * 20
    assert len(block("QDS", 0x18, 0x06, payload).records) == 1


def test_a_body_in_place_of_records():
    months = "000002 040004 04000e e2020a c1321d"
    body = "9e1f 03c1 0388 152a" + "00" * 12 + months + "280221"
    found = values(block("BFW", 0x02, 0x08, "2f2f" + body))
    assert (found["026e"], found["426e"]) == (904, 961)
    assert str(found["026c"]) == "2021-02-28"
    newest = [found[k] for k in ("82046e", "c2046e", "82056e")]
    assert newest == [541, 961, 522]
