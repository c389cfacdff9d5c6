"""What each operation needs, in one table; closed for an operation that is not in it.

An operation is named by its route: the `operationId` of the API, the function of a page. The
architecture tests refuse a route without a line here; until it has one, only an administrator may
use it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from starlette.requests import Request

from headend.api import once
from headend.api.problems import APPROVAL_NEEDED, FORBIDDEN, Problem
from headend.api.services import services_of
from headend.api.store import DEED
from headend.api.told import about
from headend.security import approvals, audit
from headend.security.roles import Permission

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from headend.security.roles import Principal
    from headend.store.plan import Row

OPERATIONS: Final[dict[Permission, tuple[str, ...]]] = {
    Permission.OPEN: (
        *("healthz", "readyz", "problem", "choose_language"),
        *("show_sign_in", "sign_in", "sign_out", "show_setup", "set_up"),
        *("oidc_start", "oidc_return"),
        *("enrol", "renew_certificate"),
    ),
    Permission.SELF: ("me", "issue_access_token"),
    Permission.FLEET_READ: (
        *("list_meters", "get_meter", "list_readings", "list_gateways", "get_gateway"),
        *("get_topology", "list_quarantine", "list_commands", "get_command", "read_success"),
        *("list_firmware", "list_events", "stream", "read_metrics", "document", "export_readings"),
        *("list_intervals", "list_interval_versions", "list_interval_totals", "list_daily_usage"),
        *("list_vee_exceptions", "list_edits", "list_swaps"),
        *("read_success_days", "list_read_misses", "list_read_gaps", "list_overdue"),
        *("list_channels", "read_registers", "list_groups", "list_feeders", "get_service_point"),
        "green_button",
        *("list_alarms", "list_service_points", "list_routes", "get_billing_mark"),
        *("fleet", "mesh", "one_meter", "quarantine", "docs", "gateways_page", "commands_page"),
        "list_certificates",
        *("vee_page", "map_page", "map_places", "reads_page", "outages_page"),
    ),
    Permission.FLEET_WRITE: (
        *("add_enrolment", "revoke_certificates"),
        *("set_map_origin", "act_on_alarm", "register_meter", "register_gateway"),
        *("add_firmware", "connect_service_point", "acknowledge_alarm", "close_alarm"),
        *("import_meters", "change_meter", "put_group", "drop_group"),
        *("add_service_point", "change_service_point"),
    ),
    Permission.DATA_EDIT: (
        *("edit_intervals", "note_swap", "settle_exception", "import_readings"),
    ),
    Permission.COMMAND_SEND: ("send_command", "cancel_command", "order_on_page"),
    Permission.MONEY_READ: (
        *("list_tariffs", "list_accounts", "get_account", "list_transfers"),
        *("accounts", "one_account", "cutoff_page"),
        *("contract_balance", "contract_statement", "contract_supply"),
        *("may_disconnect", "list_reconciliations", "show_breaker", "list_held_releases"),
        *("export_odyssey", "list_webhooks", "list_deliveries", "list_waiting_payments"),
        "get_rerate",
    ),
    Permission.MONEY_SETUP: (
        *("add_tariff", "open_account", "add_tariff_version", "agree_terms"),
        "set_billing_mark",
        "simulate_tariff",
        *("add_webhook", "remove_webhook", "set_token_identity"),
        *("set_paygo_device", "set_utrn_device", "set_payment_channel"),
    ),
    Permission.MONEY_VEND: (
        *("top_up", "sell", "pay_contract", "take_payment", "take_emergency_credit"),
        *("vend_token", "get_token", "verify_token", "confirm_token"),
    ),
    Permission.MONEY_ADJUST: (
        *("reverse_payment", "adjust", "book_waiting_payment", "migrate_contract"),
        *("rerate_contract", "book_rerate"),
    ),
    Permission.SUPPLY_SWITCH: ("hold_supply", "release_supply", "protect_supply"),
    Permission.USERS: (
        *("list_users", "get_user", "add_user", "change_user", "renew_setup_link"),
        *("list_keys", "add_key", "revoke_key", "people_page"),
    ),
    Permission.AUDIT_READ: ("list_audit", "audit_page"),
    Permission.APPROVE: (
        "approve_release",
        *("list_approvals", "decide_approval", "approvals_page", "decide_on_page"),
    ),
}
TWO_PEOPLE: Final = frozenset(
    {"release_supply", "adjust", "book_waiting_payment", "migrate_contract", "book_rerate"}
)
"""Operations that wait for a second person; each takes an Idempotency-Key."""
_NEEDS: Final = {name: p for p, names in OPERATIONS.items() for name in names}


def needed(operation: str) -> Permission:
    """What an operation needs."""
    return _NEEDS.get(operation, Permission.ADMIN)


def demand(who: Principal, permission: Permission) -> None:
    """For what a route decides by the request's content. Raises Problem(forbidden)."""
    if not who.may(permission):
        raise Problem(FORBIDDEN, f"this needs the permission {permission}", code=permission)


async def admit(request: Request) -> None:
    """Before every route: permission, second person, and the line for the audit log.

    Raises: Problem: forbidden, approval-needed. And what `once.begin` raises.
    """
    route: BaseRoute = request.scope["route"]
    operation = str(getattr(route, "name", ""))
    who: Principal | None = request.state.principal
    writes = who is not None and request.method not in once.SAFE
    DEED.set(None)
    if needed(operation) is Permission.OPEN or who is None:
        return  # the gate has let only open ones through
    deed = audit.Deed(who.name, operation, request.url.path, _detail(request) if writes else "")
    if not who.may(needed(operation)):
        if writes:
            await _refused(request, who, deed)
        demand(who, needed(operation))
    if operation in TWO_PEOPLE:
        await _second_person(request, who, deed)
    if writes:
        await once.begin(request, who, operation)
        DEED.set(deed)


def _detail(request: Request) -> str:
    """The caller's own name for a write, and what it is about."""
    parts = (_key(request), about(getattr(request.state, "body", b"")))
    return "; ".join(part for part in parts if part)


def _key(request: Request) -> str:
    return request.headers.get(once.HEADER, "")[:200]


async def demand_also(request: Request, who: Principal, permission: Permission) -> None:
    """For what a write needs by its content. Raises Problem(forbidden)."""
    deed = DEED.get()
    if deed and not who.may(permission):
        DEED.set(None)
        await _refused(request, who, deed)
    demand(who, permission)


async def _refused(request: Request, who: Principal, deed: audit.Deed) -> None:
    refused = replace(deed, action=f"refused {deed.action}")
    await services_of(request).store.run(who.tenant_id, audit.append(refused))


async def _second_person(request: Request, who: Principal, deed: audit.Deed) -> None:
    parts, now = services_of(request), services_of(request).now()
    wish = approvals.Wish(
        deed.action, request.method, request.url.path, await request.body(), _key(request)
    )
    asking = approvals.ask(who.tenant_id, wish, who, now)
    line = replace(deed, action=f"ask {deed.action}")
    asked = cast("Row", await parts.store.run(who.tenant_id, audit.appended(line, asking)))
    if not approvals.is_approved(asked, now):
        raise Problem(
            APPROVAL_NEEDED,
            f"a second person must approve this: POST /v1/approvals/{asked['id']}; then send it "
            "again unchanged, with the same Idempotency-Key",
            code=str(asked["id"]),
        )
