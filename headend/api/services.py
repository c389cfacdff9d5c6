"""What routes and pages work with, put together once by `create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeVar

from fastapi import Depends
from starlette.requests import Request

from headend.api.gate import principal_of
from headend.security.roles import Principal
from headend.store.plan import Queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from headend.api.access import Access
    from headend.api.cursor import Cursors
    from headend.api.metrics import Metrics
    from headend.api.pulse import Pulses
    from headend.api.sign_ins import SignIns
    from headend.prepayment.tokens.vending import Vending
    from headend.security.enrolment import Enroller
    from headend.security.oidc import Provider
    from headend.store.plan import Plan, Row, Statement

SQL: Final = Queries("headend.api", "queries.sql")
BILLED_CHANNEL: Final = "el.energy.import"
"""The channel that reports, curves and rating look at unless told otherwise."""
_T = TypeVar("_T")


class Store(Protocol):
    """Runs a plan in one transaction in which only the tenant's rows can be seen."""

    async def run(self, tenant_id: int, plan: Plan[_T]) -> _T:
        """The plan's result, committed. Raises StoreError and what the plan raises."""

    async def together(self, tenant_id: int, about: str, make: Callable[[], Plan[_T]]) -> _T:
        """The same for a plan that may share its transaction with others, about other things.

        Args:
            tenant_id: whose.
            about: what the plan reads and writes; two about one thing never share.
            make: the plan, anew each time, as a shared transaction may fail by another's fault.
        """

    async def rows(self, tenant_id: int, statement: Statement) -> list[Row]:
        """The rows of one statement. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one app.

    Attributes:
        store: the database under the API's own role.
        access: who asks.
        sign_ins: makes sessions.
        cursors: seals the cursors of lists.
        pulses: what has changed, for the live pages.
        seal_key: a meter's key under the key-encryption key, as the store keeps it.
        open_key: the inverse.
        now: the clock, UTC.
        vendings: make tokens, by the name of their kind.
        metrics: counts what this process does.
        provider: signs people in elsewhere; None: passwords and keys alone.
        enroller: issues certificates to gateways; None: nobody does.
    """

    store: Store
    access: Access
    sign_ins: SignIns
    cursors: Cursors
    pulses: Pulses
    seal_key: Callable[[str, bytes], bytes]
    open_key: Callable[[str, bytes], bytes]
    now: Callable[[], datetime]
    vendings: Mapping[str, Vending]
    metrics: Metrics
    provider: Provider | None = None
    enroller: Enroller | None = None

    async def rows(self, tenant_id: int, query: str, /, **params: object) -> list[Row]:
        """The rows of one named query of the API for a tenant."""
        return await self.store.rows(tenant_id, SQL(query, tenant_id=tenant_id, **params))


def services_of(request: Request) -> Services:
    """The parts of the app that a request came to."""
    services: Services = request.app.state.services
    return services


# Asynchronous, or FastAPI asks a thread for each of them, of every request.
async def _parts(request: Request) -> Services:
    return services_of(request)


async def _caller(request: Request) -> Principal:
    return principal_of(request)


Parts = Annotated[Services, Depends(_parts)]
Caller = Annotated[Principal, Depends(_caller)]
