"""The chain of the audit log: any hand that changes it is seen."""

from __future__ import annotations

import random

from headend.security.audit import Head, check_part, entry_hash, verify

COUNT = 40


def chain(count=COUNT, tenant=3):
    rows, prev = [], b""
    for seq in range(1, count + 1):
        row = {"seq": seq, "at_us": seq * 1000, "who": "ann", "action": "top_up"}
        row |= {"target": f"/v1/{seq}", "detail": "키", "prev": prev}
        row["hash"] = prev = entry_hash(tenant, row)
        rows.append(row)
    return rows


def verdict(rows, head=None, known=None):
    plan = verify(head or Head(3, "t", COUNT, chain()[-1]["hash"]), known)
    try:
        next(plan)
        plan.send(rows)
    except StopIteration as end:
        return end.value
    raise AssertionError


def test_an_untouched_chain_holds():
    assert verdict(chain()).fault == ""
    assert verdict(chain()).entries == COUNT
    assert verdict([], Head(3, "t", 0, b"")).fault == ""


def test_every_change_deletion_insertion_and_swap_is_seen():
    chance = random.Random(8)
    seen = 0
    for _ in range(1000):
        rows = [dict(row) for row in chain()]
        at = chance.randrange(COUNT)
        match chance.randrange(4):
            case 0:
                field = chance.choice(["who", "action", "target", "detail"])
                rows[at][field] += "x"
            case 1:
                del rows[at]
            case 2:
                forged = {**rows[at], "who": "eve"}
                forged["hash"] = entry_hash(3, forged)
                rows.insert(at, forged)
            case _:
                other = (at + 1) % COUNT
                rows[at]["seq"], rows[other]["seq"] = rows[other]["seq"], rows[at]["seq"]
                rows.sort(key=lambda row: row["seq"])
        seen += bool(verdict(rows).fault)
    assert seen == 1000


def test_a_chain_made_anew_is_seen_by_the_head_that_was_written_down():
    known = (20, chain()[19]["hash"])
    assert verdict(chain(), known=known).fault == ""
    rows, prev = chain(), b""
    for row in rows:
        row["who"], row["prev"] = "eve", prev
        row["hash"] = prev = entry_hash(3, row)
    anew = Head(3, "t", COUNT, prev)
    assert verdict(rows, anew).fault == ""
    assert "written down" in verdict(rows, anew, known).fault


def test_fields_cannot_flow_into_each_other():
    one = {
        "seq": 1,
        "at_us": 1,
        "who": "ab",
        "action": "c",
        "target": "",
        "detail": "",
        "prev": b"",
    }
    other = {**one, "who": "a", "action": "bc"}
    assert entry_hash(1, one) != entry_hash(1, other)
    assert entry_hash(1, one) != entry_hash(2, one)


def test_parts_follow_on_each_other():
    rows = chain()
    last, fault = check_part(3, rows[:15], 0, b"")
    assert fault == ""
    assert check_part(3, rows[15:], 15, last)[1] == ""
    assert check_part(3, rows[15:], 14, last)[1]
