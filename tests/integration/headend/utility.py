"""Many prepaid homes, a worker, and the release gate, on a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headend.gate.judging import Signer
from headend.gate.process import Gate
from headend.service.accounts import add_tariff, open_account, top_up
from headend.service.commands import NewCommand
from headend.service.orders import order_command
from headend.worker import Worker
from ohmesh.model.command import CommandKind
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.release import open_release, public_key, sign_approval
from ohmesh.wire.sealed import takes_supply_away

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANNA, BERT = bytes(range(32)), bytes(range(1, 33))
PEOPLE = {"anna": public_key(ANNA), "bert": public_key(BERT)}
DEBT_MU = 1000


class Utility:
    """Many prepaid homes at one gateway, a worker, and a gate, on a clock of the test's own."""

    def __init__(self, store, kit):
        self.store, self.kit, self.now = store, kit, NOW
        self.sent = []
        self.worker = Worker(
            url=store.urls["worker"],
            keystore=store.keystore,
            publish=lambda topic, payload: not self.sent.append((topic, payload)),
            now=lambda: self.now,
        )
        self.gate = self.new_gate()
        self.work, self.judge = store.connect("worker"), store.connect("gate")
        self.gateway = store.gateway()

    def new_gate(self):
        signer = Signer(self.kit.GATE_KEY, PEOPLE)
        return Gate(url=self.store.urls["gate"], signer=signer, now=lambda: self.now)

    def homes(self, count, *, area="", prepaid=True):
        """Meters with accounts that have fresh data and credit."""
        ask = self.store.ask
        ask(add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=1))
        first = self.store.value("select coalesce(max(id), 0) from ohmesh.meter") + 1
        self.store.as_admin_all(
            "insert into ohmesh.service_point (tenant_id, name, area)"
            f" values (1, 'SP{first}', '{area}')"
        )
        for n in range(first, first + count):
            self.store.meter(f"M{n}")
            if prepaid:
                name = f"A{n}"
                terms = self.kit.NO_RESTRICTION
                ask(open_account(1, name, meter=f"M{n}", tariff="flat", now=NOW, terms=terms))
                ask(top_up(1, name, amount_mu=5, idempotency_key=name, now=NOW))
        self.store.as_admin_all(
            f"update ohmesh.meter set service_point_id = (select id from ohmesh.service_point"
            f" where name = 'SP{first}') where id >= {first}"
        )
        self.store.as_admin_all(f"update ohmesh.meter_status set gateway_id = {self.gateway}")
        self.store.as_admin_all(
            "update ohmesh.supply set kept = kept || jsonb_build_object('data_at',"
            f" '{NOW.isoformat()}')"
        )

    def exhaust(self, *, only=None):
        """A wrong tariff has charged everybody far too much."""
        where = "" if only is None else f"where a.id <= {only}"
        self.store.as_admin_all(
            "insert into ohmesh.transfer (id, tenant_id, account_id, currency, txn, debit, credit,"
            " amount_mu, code, value_at, idempotency_key) select gen_random_uuid(), 1, a.id, 'EUR',"
            f" 'wrong', 'wallet', 'rev_energy', {DEBT_MU}, 20, now(), 'wrong/' || a.id"
            f" from ohmesh.account a {where}"
        )

    def round(self, **passed):
        self.now += timedelta(**passed)
        while self.worker.sweep_page(self.work):
            pass
        self.worker.step(self.work)
        self.gate.step(self.judge)
        self.worker.step(self.work)

    def cuts(self):
        """Meters that a gateway which trusts this gate would cut."""
        found = set()
        for _, payload in self.sent:
            down = decode_down(payload)
            if takes_supply_away(down.payload):
                release = open_release([public_key(self.kit.GATE_KEY)], down.meter, down.release)
                assert release.command == down.command
                found.add(down.meter)
        return found

    def order(self, number, meter):
        request = NewCommand(
            meter, CommandKind.RELAY_OFF, self.now + timedelta(hours=2), f"o{number}", "operator"
        )
        return self.store.ask(order_command(1, request, self.now))

    def approve(self, subject, key, name):
        approval = sign_approval(key, name, subject, int(self.now.timestamp()) + 600)
        self.store.ask(_insert(approval))


def _insert(approval):
    from headend.api.routes.contracts import SQL  # noqa: PLC0415 - the API's own statement

    yield SQL(
        "add_approval",
        tenant_id=1,
        name=approval.name,
        subject=approval.subject,
        not_after=datetime.fromtimestamp(approval.not_after_s, UTC),
        signature=approval.signature,
    )
