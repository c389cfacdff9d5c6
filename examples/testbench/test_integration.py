"""Ten lines against a real head-end, gateway, broker and database: `pytest test_integration.py`."""


def test_every_reading_arrives_though_the_gateway_loses_power(headend, gateway, fleet):
    fleet.speak(hours=3)
    gateway.kill()
    gateway.restart()
    fleet.speak(hours=3)
    assert headend.stored(fleet) == fleet.readings
    meters = {meter["meter"] for meter in headend.get("/v1/meters")["items"]}
    assert set(fleet.meters) <= meters
