"""DLMS/COSEM (IEC 62056), both sides, without I/O, clock or randomness of its own.

What a meter pushes:
    transport   HDLC, wrapper, M-Bus, block transfer, ciphering -> plain APDUs
    push        DataNotification -> named values -> readings;  dialects: how makers write lists
    lists       reports -> push lists

A session:
    client      associate, get, set, act, read a profile, release; each a generator of APDUs
    server      the meter's side: `receive(apdu, now) -> reply`
    device      a server's objects for a profile;  objects/: the interface classes
    link        the HDLC data link of both sides;  transport.wrapper for TCP and UDP
    rows        load-profile rows -> readings

Below: apdu and apdu_wire (GET, SET, ACTION), acse (AARQ .. RLRE, Initiate), channel (a session's
protection), security (ciphered APDUs), clock (date-time), errors.

    client = Client(ClientSettings(Mechanism.LOW, b"password"))
    run(client.associate(), line)                 # line: sends an APDU, returns the reply
    value = run(client.get(Target(3, Obis.parse("1-0:1.8.0"), 2)), line)
"""
