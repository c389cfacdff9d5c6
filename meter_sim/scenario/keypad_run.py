"""The driver `keypad`: prepayment tokens between a vending desk and meters, on virtual time.

Every meter's customer buys a token twice a day and keys it in at once; each token is keyed in a
second time, and now and then somebody keeps one in a drawer. At a base date's end the desk sells
key changes with the roll-over bit instead (IEC 62055-41): what was in a drawer then is lost, which
is why customers are told in time. No server takes part: the codec and the meter's checks do.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from meter_sim.scenario.mesh import moments
from meter_sim.scenario.model import What, span_s
from meter_sim.scenario.outcome import Happening, Outcome
from ohmesh.tokens import sts
from ohmesh.tokens.acceptance import MeterState, TokenReader, Verdict
from ohmesh.tokens.key_change import KeyChange
from ohmesh.tokens.keys import KeyType
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid, next_base_year, next_tid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.scenario.model import Scenario

FIRST_BASE_YEAR = 1993
_EVERY = timedelta(hours=12)
_GROUP, _TARIFF = "123456", 1
_READER = TokenReader(Misty1)


@dataclass(slots=True)
class Customer:
    """A meter with its keypad, and what the vending desk knows of it."""

    name: str
    state: MeterState
    base_year: int = FIRST_BASE_YEAR
    revision: int = 1
    last: LastTid | None = None
    sold: int = 0
    drawer: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, scenario: Scenario, number: int) -> Customer:
        """Meter number 1, 2 ..."""
        name = f"M{number:04d}"
        return cls(name, MeterState(_key(scenario, name, 1)))

    def buy(self, now: datetime, units: int, rnd: int) -> str:
        """A token. Raises PrepaymentError when the base date has ended."""
        tid = next_tid(now, self.base_year, self.last)
        self.last = LastTid(tid, now)
        token = sts.make(TokenKind.ELECTRICITY, units, tid=tid, rnd=rnd)
        return sts.encode(token, Misty1(self.state.key))

    def enter(self, digits: str) -> Verdict:
        """Key a token in."""
        entry = _READER.enter(self.state, digits)
        self.state = entry.state
        return entry.verdict

    def roll_over(self, scenario: Scenario) -> Iterator[str]:
        """The key change tokens to the next base date, in the order of their sections."""
        self.revision += 1
        change = KeyChange(
            _key(scenario, self.name, self.revision),
            self.revision,
            KeyType.UNIQUE,
            _TARIFF,
            _GROUP,
            rollover=True,
        )
        cipher = Misty1(self.state.key)
        self.base_year, self.last = next_base_year(self.base_year), None
        for section in change.sections().values():
            yield sts.seal(section, cipher)


def _key(scenario: Scenario, name: str, revision: int) -> bytes:
    """A decoder key of a simulation; it keeps no secret."""
    text = f"{scenario.name}/{scenario.seed}/{name}/{revision}"
    return hashlib.sha256(text.encode()).digest()[:16]


class KeypadRun:
    """One run."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._dice = Random(f"{scenario.name}/{scenario.seed}")  # noqa: S311 - repeatable
        self._customers = [Customer.of(scenario, n + 1) for n in range(scenario.fleet.meters)]
        self._counts: Counter[str] = Counter()
        self._digest = hashlib.sha256()

    def run(self) -> Outcome:
        """Buy and key in until the end. Raises PrepaymentError when nobody rolled over in time."""
        plan = self._scenario.fleet
        now, end = plan.start, plan.start + timedelta(seconds=span_s(plan.lasts))
        todo = [m for m in moments(self._scenario.fault) if m[1] and m[3].what is What.ROLLOVER]
        timeline = [Happening("rollover", m[0], m[0]) for m in todo]
        while now < end:
            while todo and plan.start + timedelta(seconds=todo[0][0]) <= now:
                todo.pop(0)
                self._roll_over()
            for customer in self._customers:
                self._buy(customer, now)
            now += _EVERY
        return Outcome(self._facts(), timeline=timeline, digest=self._digest.hexdigest())

    def _buy(self, customer: Customer, now: datetime) -> None:
        units = self._dice.randrange(10, 2000)
        digits = customer.buy(now, units, self._dice.randrange(16))
        self._digest.update(digits.encode())
        if self._dice.randrange(20) == 0:
            customer.drawer.append(digits)
            self._counts["tokens_kept"] += 1
            return
        self._counts["tokens_sold"] += 1
        before = customer.state.credit
        self._counts["tokens_accepted"] += customer.enter(digits) is Verdict.ACCEPT
        customer.sold += customer.state.credit - before
        self._counts["tokens_again"] += 1
        self._counts["tokens_again_refused"] += customer.enter(digits) is Verdict.REJECT_USED

    def _roll_over(self) -> None:
        for customer in self._customers:
            sections = list(customer.roll_over(self._scenario))
            self._dice.shuffle(sections)  # a meter takes them in any order
            verdicts = [customer.enter(digits) for digits in sections]
            self._counts["key_changes"] += verdicts[-1] is Verdict.ACCEPT_KEY_CHANGED
            for digits in customer.drawer:
                refused = customer.enter(digits) is not Verdict.ACCEPT
                self._counts["tokens_kept_refused"] += refused
            customer.drawer.clear()

    def _facts(self) -> dict[str, float]:
        facts: dict[str, float] = {"meters": len(self._customers)}
        for name in _COUNTED:
            facts[name] = self._counts[name]
        facts["credit_added"] = sum(customer.sold for customer in self._customers)
        facts["credit_in_meters"] = sum(customer.state.credit for customer in self._customers)
        return facts


_COUNTED = (
    "tokens_sold",
    "tokens_accepted",
    "tokens_again",
    "tokens_again_refused",
    "tokens_kept",
    "tokens_kept_refused",
    "key_changes",
)


def run_keypad(scenario: Scenario) -> Outcome:
    """The driver `keypad`. Raises PrepaymentError when a base date ends without a roll-over."""
    began_s = time.monotonic()
    outcome = KeypadRun(scenario).run()
    outcome.facts["seconds"] = round(time.monotonic() - began_s, 2)
    return outcome
