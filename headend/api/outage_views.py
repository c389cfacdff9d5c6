"""What the API answers about alarms and routes through time; see `views` for the manner."""

from __future__ import annotations

from headend.api.views import Instant, View


class Alarm(View, frozen=True):
    """An outage: the element that has likely failed, and the meters that went dark.

    `element_kind` is feeder, transformer, gateway, relay or meter. Of the meters `behind` the
    element `dark` are without supply now and `lit` are back; `meters` names the dark ones, at most
    1000. `state` is open, acknowledged or closed; `closed_by` a person, `restoration`, or `merged`
    when another alarm explains it better.
    """

    alarm: int
    kind: str
    element_kind: str
    element: str
    state: str
    first_at: Instant
    last_at: Instant
    opened_at: Instant
    behind: int
    dark: int
    lit: int
    meters: list[str]
    acknowledged_at: Instant | None
    acknowledged_by: str | None
    closed_at: Instant | None
    closed_by: str | None
    note: str


class ServicePoint(View, frozen=True):
    """Where supply is delivered, and what it hangs on; limits of cutting count by `area`."""

    service_point: str
    zone: str
    x_m: float | None
    y_m: float | None
    transformer: str | None
    feeder: str | None
    area: str | None
    meters: int


class RouteChange(View, frozen=True):
    """A way that a meter kept from `since` until `until` (null: it still does)."""

    gateway: str
    node: int
    parent: int
    parent_id: str | None
    hops: int
    etx_128ths: int
    since: Instant
    until: Instant | None


class BillingMark(View, frozen=True):
    """Up to when a utility has billed; null: nobody said."""

    billed_to: Instant | None = None
    set_by: str | None = None
    set_at: Instant | None = None


PAGED = (Alarm, ServicePoint, RouteChange)
KINDS = (*PAGED, BillingMark)
