"""The pages in a real browser: they draw, they live, they are usable without a mouse."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from headend.security import people
from headend.store import db

pytestmark = pytest.mark.browser
TOKEN = "browser-token-0123456789-0123456789"
PAGES = (
    *("/", "/mesh", "/meters/M0007", "/accounts", "/accounts/A-1", "/commands", "/gateways"),
    *("/quarantine", "/vee", "/reads", "/outages", "/cutoff", "/docs"),
)
OFFICES = ("/people", "/approvals", "/audit")
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
AXE_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
"""What a scheme can change."""
FITS = "([path, width]) => document.documentElement.scrollWidth <= width"
LOST = re.compile(r"\blost\b")
HOURS = """
    insert into bulk.rollup_hour (meter_id, channel, hour, total, intervals, measured, most)
    select m.id, c.id, h, 100 * extract(hour from h at time zone 'Europe/Amsterdam')::int, 4,
           case when h = '2026-03-01T12:00:00Z' then 3 else 4 end, 1
    from ohmesh.meter m, ohmesh.channel c,
         generate_series('2026-02-28T23:00:00Z'::timestamptz, '2026-03-01T23:00:00Z', '1 hour') h
    where m.name = 'M0007' and c.name = 'el.energy.import'
"""
FINDING = """
    insert into bulk.vee_exception
        (meter_id, channel, rule, from_ts, to_ts, found, allowed, found_at)
    select m.id, c.id, 4, '2026-03-01T10:00Z', '2026-03-01T10:15Z', 90000, 6000, now()
    from ohmesh.meter m, ohmesh.channel c where m.name = 'M0007' and c.name = 'el.energy.import'
"""
WITH_CHILDREN = """
    select r.node from ohmesh.route r join ohmesh.route child on child.parent = r.node
    group by r.node, r.hops order by count(*) desc, r.hops
"""
CONTRAST = """
() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const colour = parts(getComputedStyle(n).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const words = walker.currentNode.data.trim();
    if (!words || !node.offsetParent || node.closest("svg, .skip")) continue;
    const [a, b] = [light(parts(getComputedStyle(node).color).slice(0, 3)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${words.slice(0, 40)}`);
  }
  return poor;
}
"""
RULES = r"""
() => {
  const faults = [];
  const say = (what, node) => faults.push(`${what}: ${node.textContent.trim().slice(0, 50)}`);
  const zone = /\b(UTC|CES?T|[A-Z]{3,4})\b|[A-Z][a-z]+\/[A-Z]/;
  const file = ".files a[href*='format=csv'], .files [data-csv]";
  for (const table of document.querySelectorAll("main section:not(.operation) table:has(thead)")) {
    const section = table.closest("section");
    const heads = [...table.tHead.querySelectorAll("th")];
    if (!heads.every((head) => head.tabIndex === 0 && head.textContent.trim())) say("sort", table);
    if (!section.querySelector("details.api code")) say("no API call", section);
    if (!section.querySelector(file)) say("no file", section);
    for (const cell of table.tBodies[0].querySelectorAll("td, th")) {
      const text = cell.textContent.trim();
      const said = `${text} ${heads[cell.cellIndex]?.textContent}`;
      if (/\d\d:\d\d/.test(text) && !zone.test(said)) say("no zone", cell);
      const unitless = /^[\d\u202f]+\.\d+$/.test(text) && !table.matches(".hours");
      if (unitless) say("no unit", cell);
    }
  }
  for (const chart of document.querySelectorAll("om-chart")) {
    if (!chart.querySelector("table")) say("no twin", chart);
  }
  for (const box of document.querySelectorAll(".scroll")) {
    const cut = box.scrollWidth - box.clientWidth;
    if (innerWidth >= 1280 && cut > 16) say(`${cut} pixels of a table are cut`, box);
  }
  return faults;
}
"""


async def held_to_rules(page, path):
    """Live; sorting, API call, file, zone; no id twice; WCAG 2.2 AA by axe in both schemes."""
    await expect(page.locator("h1")).not_to_be_empty()
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    assert await page.evaluate(RULES) == [], path
    ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids)), f"{path} has an id twice"
    for scheme, options in (("light", AXE), ("dark", AXE_COLOURS)):
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate(CONTRAST) == [], (path, scheme)
        found = await Axe().run(page, options=options)
        assert found.violations_count == 0, f"{path}, {scheme}: {found.generate_report()}"


async def test_every_page_keeps_the_rules(headend, page):
    """And it has no error, asks no foreign host, and cuts no table on a small desktop."""
    await page.set_viewport_size({"width": 1280, "height": 800})
    for path in PAGES:
        assert (await page.goto(headend.url + path)).status == 200, path
        await held_to_rules(page, path)
    assert page.watched.errors == []
    assert page.watched.hosts == {urlsplit(headend.url).netloc}, "a page calls somebody else"


async def test_a_page_speaks_the_readers_language(headend, page):
    await page.goto(headend.url + "/mesh")
    await page.get_by_role("button", name="한국어").click()
    await page.wait_for_url("**/mesh")
    await expect(page.locator("html")).to_have_attribute("lang", "ko")
    await expect(page.get_by_role("link", name="격리")).to_be_visible()
    await expect(page.locator("#pulse .say")).to_have_text("실시간")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("link", name="Quarantine")).to_be_visible()
    assert page.watched.errors == []


async def test_narrow_screens_do_not_scroll_sideways(headend, page):
    """Down to 320 pixels, which is 1280 at four times the size (WCAG 2.2, 1.4.10)."""
    for path in PAGES:
        await page.goto(headend.url + path)
        for width in (320, 390, 768):
            await page.set_viewport_size({"width": width, "height": 800})
            # a chart is drawn anew in the frame after the window's new size
            await page.wait_for_function(FITS, arg=[path, width], timeout=60_000)


async def test_the_menu_opens_over_a_narrow_page(headend, page):
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto(headend.url + "/mesh")
    menu = page.get_by_role("navigation", name="Pages")
    await expect(menu).to_have_count(0)
    button = page.get_by_role("button", name="Menu")
    await button.click()
    await expect(menu.get_by_role("link", name="Mesh")).to_have_attribute("aria-current", "page")
    found = await Axe().run(page, options=AXE)
    assert found.violations_count == 0, found.generate_report()
    await page.keyboard.press("Escape")
    await expect(menu).to_have_count(0)
    await button.click()
    await menu.get_by_role("link", name="Gateways").click()
    await page.wait_for_url("**/gateways")
    await expect(menu).to_have_count(0)
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(menu.get_by_role("listitem")).to_have_count(12)
    await expect(button).to_have_count(0)
    assert page.watched.errors == []


async def test_the_load_curve_and_its_table_are_the_same(headend, page):
    await page.goto(headend.url + "/meters/M0007")
    chart = page.locator("om-chart[data-ready]")
    await expect(chart.locator("canvas")).to_be_visible()
    await chart.locator("summary").click()
    await expect(chart.locator("tbody tr[data-t]")).to_have_count(95)
    drawn = await chart.evaluate("(c) => c.plot.data[1]")
    shown = await chart.evaluate(
        "(c) => [...c.querySelectorAll('tr[data-t]')].map((r) => r.dataset.v ? +r.dataset.v : null)"
    )
    assert drawn == shown
    assert sum(v is not None for v in drawn) == 95


async def test_a_month_shows_every_hour_by_the_meters_own_clock(headend, page):
    headend.execute(HOURS)
    await page.goto(headend.url + "/meters/M0007")
    cells = page.locator("table.hours tbody tr").nth(1).locator("td")
    await expect(cells).to_have_count(25)
    shown = await cells.all_inner_texts()
    assert shown[:24] == [f"{hour * 0.1:.2f}" for hour in range(24)], "local hours, not UTC"
    await expect(page.locator("table.hours td.estimated")).to_have_count(1)
    assert page.watched.errors == []


async def test_the_fleet_lives_without_reload(headend, page):
    await page.goto(headend.url + "/")
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    await page.evaluate("window.same = true")
    headend.execute("update ohmesh.meter_status set relay = 0, relay_at = now()")
    card = page.locator(".card", has_text="Supply off").locator("strong")
    await expect(card).to_have_text("60")
    headend.execute("update ohmesh.meter_status set relay = 1, relay_at = now()")
    await expect(card).to_have_text("0")
    headend.execute(
        "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s)"
        " values (1, 'Z-NEW', 'Z-NEW', 'nl_dsmr', 900)"
    )
    await expect(page.locator("h1")).to_contain_text("not been heard yet")
    await expect(page.locator("h1")).not_to_contain_text("silent")
    headend.execute("delete from ohmesh.meter where name = 'Z-NEW'")
    assert await page.evaluate("window.same")
    assert page.watched.errors == []


async def test_a_dead_relay_is_seen_and_its_children_move(headend, page):
    """Its own circle loses its route, the links of its children change their end and are marked."""
    await page.goto(headend.url + "/mesh")
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    victim, heir = (row["node"] for row in headend.execute(WITH_CHILDREN)[:2])
    headend.execute("delete from ohmesh.route where node = %s", victim)
    headend.execute(
        "update ohmesh.route set parent = %s, reported_at = now() where parent = %s", heir, victim
    )
    await expect(page.locator(f"#n{victim}")).to_have_class(LOST)
    await expect(page.locator("h1")).to_contain_text("no route now")
    moved = page.locator(f'line.moved[data-parent="{heir}"]')
    await expect(moved.first).to_be_attached()
    assert page.watched.errors == []


async def test_a_payment_from_login_to_statement(headend, page):
    await page.goto(headend.url + "/accounts/A-1")
    await expect(page.locator("form.sell")).to_have_count(0)
    await page.get_by_role("link", name="Sign in", exact=True).click()
    await page.get_by_label("Token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("not known")
    page.watched.errors.clear()  # the browser itself reports the 401
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/accounts/A-1")
    await page.get_by_label("Amount in EUR").fill("12.34")
    await page.get_by_role("button", name="Top up").click()
    await expect(page.locator(".card", has_text="Balance")).to_contain_text("22.34 EUR")
    await expect(page.locator("tbody tr").first).to_contain_text("12.34 EUR")
    await page.get_by_role("button", name="sign out").click()
    await expect(page.locator("h1")).to_have_text("Sign in")
    assert page.watched.errors == []


async def sign_in(headend, page, to: str) -> None:
    await page.goto(f"{headend.url}/login?next={to}")
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: urlsplit(url).path == to)


async def test_the_offices_are_for_those_who_may(headend, page):
    for path in OFFICES:
        assert (await page.goto(headend.url + path)).status == 403
    page.watched.errors.clear()  # the browser itself reports the 403
    await sign_in(headend, page, OFFICES[0])
    for path in OFFICES:
        assert (await page.goto(headend.url + path)).status == 200
        await held_to_rules(page, path)
    assert page.watched.errors == []


async def test_the_map_shows_where_it_is_dark(headend, page):
    """Every mark, from this server alone; a click on one leads to its meter."""
    headend.execute(
        "update ohmesh.meter_status set last_seen = now() - interval '3 days'"
        " from ohmesh.meter m where m.id = meter_id and m.name = 'M0021'"
    )
    await sign_in(headend, page, "/map")
    await expect(page.locator("h1")).to_contain_text("silent at 1")
    await expect(page.locator("tbody tr").first).to_contain_text("M0021")
    await page.get_by_label("Latitude").fill("52.09")
    await page.get_by_label("Longitude").fill("5.12")
    await page.get_by_role("button", name="Save").click()
    plan = page.locator("om-map[data-ready]")
    await expect(plan).to_have_attribute("data-marks", "60")
    centre = await plan.evaluate("(one) => one.map.getCenter()")
    assert (round(centre["lat"], 1), round(centre["lng"], 1)) == (52.1, 5.1)
    assert await page.evaluate(RULES) == []
    found = await Axe().run(page, options=AXE)
    assert found.violations_count == 0, found.generate_report()
    spot = await plan.evaluate(
        "(one) => { const f = one.map.querySourceFeatures('places')"
        ".find((f) => f.properties.meter === 'M0021');"
        " const p = one.map.project(f.geometry.coordinates); return [p.x, p.y]; }"
    )
    await page.locator("om-map canvas").click(position={"x": spot[0], "y": spot[1]})
    await page.wait_for_url("**/meters/M0021")
    assert [e for e in page.watched.errors if "WebGL" not in e] == []
    assert page.watched.hosts == {urlsplit(headend.url).netloc}


async def test_a_finding_is_settled_by_a_click(headend, page):
    headend.execute(FINDING)
    await page.goto(headend.url + "/vee")
    await expect(page.get_by_role("button", name="Accept")).to_have_count(0)
    await sign_in(headend, page, "/vee")
    row = page.locator("tbody tr", has_text="M0007")
    await expect(row).to_contain_text("Far above its day")
    await row.get_by_role("button", name="Estimate").click()
    await page.wait_for_url("**/vee?settled=*")
    await expect(page.get_by_role("status").nth(1)).to_contain_text("M0007: an estimate")
    asked = headend.execute("select kind, author, from_ts, to_ts from ohmesh.interval_edit")
    found = headend.execute("select from_ts, to_ts from bulk.vee_exception")
    assert [(a["kind"], a["author"]) for a in asked] == [("estimate", "operator")]
    assert [(a["from_ts"], a["to_ts"]) for a in asked] == [
        (f["from_ts"], f["to_ts"]) for f in found
    ]
    assert page.watched.errors == []


async def test_the_keyboard_is_enough(headend, page):
    await page.goto(headend.url + "/")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.type("M001")
    await page.keyboard.press("Enter")
    await expect(page.locator("section:has(#h-meters) tbody tr")).to_have_count(10)
    await page.goto(headend.url + "/mesh")
    await page.locator("#n100").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/meters/M0001")


async def test_rows_are_sorted_searched_and_saved_as_they_are_shown(headend, page):
    """By the unit behind a number too, and still after the page has read itself again."""
    await page.goto(headend.url + "/")
    meters = page.locator("section:has(#h-meters)")
    hops = meters.locator("tbody td:nth-child(4)")
    head = meters.get_by_role("columnheader", name="Hops")
    await head.click()
    await head.focus()
    await page.keyboard.press("Enter")
    await expect(head).to_have_attribute("aria-sort", "descending")
    refreshed = int(await page.evaluate("document.body.dataset.refreshed ?? 0"))
    headend.execute("update ohmesh.meter_status set relay_at = now()")
    anew = re.compile(rf"^(?!{refreshed}$)\d+$")
    await expect(page.locator("body")).to_have_attribute("data-refreshed", anew)
    shown = [text for text in await hops.all_inner_texts() if text.isdigit()]  # with a way
    assert shown == sorted(shown, key=int, reverse=True)
    async with page.expect_download() as saving:
        await page.locator("section:has(#h-load) [data-csv]").click()
    lines = (await (await saving.value).path()).read_text(encoding="utf-8-sig").splitlines()
    assert len([line for line in lines if "CET" in line]) == 95, "every interval of the curve"
    await page.goto(headend.url + "/gateways")
    await page.get_by_label("Find in these rows").fill("GW2")
    await expect(page.locator("tbody tr:visible")).to_have_count(1)
    assert page.watched.errors == []


async def test_an_order_is_confirmed_and_followed_to_its_end(headend, page):
    await page.goto(headend.url + "/meters/M0008")
    await expect(page.get_by_role("button", name="read now")).to_have_count(0)
    await sign_in(headend, page, "/meters/M0008")
    await page.get_by_role("button", name="read now").click()
    row = page.locator("section:has(#h-com) tbody tr").first
    await expect(row).to_contain_text("queued")
    headend.execute(
        "update ohmesh.command set state = 'done', resolved_at = now(), attempts = 1"
        " where meter_id = (select id from ohmesh.meter where name = 'M0008')"
    )
    await expect(row).to_contain_text("done")
    await page.get_by_text("switch off …").click()
    confirm = page.get_by_label("Write M0008 to confirm").last
    await confirm.fill("M0009")
    await page.get_by_role("button", name="switch off").click()
    assert headend.execute("select 1 from ohmesh.command where kind = 1") == [], "not confirmed"
    await confirm.fill("M0008")
    await page.get_by_role("button", name="switch off").click()
    await expect(row).to_contain_text("switch off")
    said = headend.execute("select action, target, detail from ohmesh.audit_log order by seq desc")
    assert (said[0]["action"], said[0]["target"], said[0]["detail"]) == (
        "order_on_page",
        "/meters/M0008/commands",
        "relay_off",
    )
    assert page.watched.errors == []


async def test_the_mesh_is_shown_as_it_was(headend, page):
    headend.execute(
        "update ohmesh.route_history set from_ts = now() - interval '3 hours',"
        " to_ts = now() - interval '1 hour'"
    )
    await page.goto(headend.url + "/mesh")
    await page.get_by_label("Minutes ago").fill("120")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**/mesh?at=*")
    await expect(page.locator("h1")).to_contain_text("The mesh at")
    assert await page.locator("#mesh line").count() > 0
    await expect(page.locator("#live")).not_to_have_attribute("hx-get", re.compile("."))
    await page.get_by_label("Minutes ago").fill("600")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("h1")).to_contain_text("No route is known")
    await page.get_by_role("link", name="Now", exact=True).click()
    await page.wait_for_url("**/mesh")
    assert page.watched.errors == []


async def test_a_one_time_link_makes_the_first_administrator(empty_headend, page):
    with db.connect(empty_headend.admin_url, name="test") as connection, db.tenant(connection, 1):
        link = db.run(connection, people.first_link(1, datetime.now(UTC)))
    await page.goto(f"{empty_headend.url}/setup?link={link}")
    await page.get_by_label("Password", exact=True).fill("correct horse battery")
    await page.get_by_label("The same again").fill("correct horse battery")
    await page.get_by_role("button", name="Set password").click()
    await page.wait_for_url("**/login?user=admin")
    await expect(page.get_by_label("User")).to_have_value("admin")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_url(lambda url: urlsplit(url).path == "/")
    await expect(page.locator("ol.steps li").first).to_contain_text("done")
    assert page.watched.errors == []


async def test_text_from_the_field_runs_nothing(headend, page):
    await page.goto(headend.url + "/quarantine")
    await expect(page.locator("tbody")).to_contain_text(["<script>alert(1)</script>", ""])
    assert page.watched.errors == []


async def test_the_first_page_is_never_empty(empty_headend, page):
    for path in (
        "/",
        "/mesh",
        "/accounts",
        "/commands",
        "/gateways",
        "/quarantine",
        "/vee",
        "/map",
        "/reads",
    ):
        await page.goto(empty_headend.url + path)
        await expect(page.locator("h1")).not_to_be_empty()
        await expect(page.locator(".waiting code").first).to_be_visible()
    assert page.watched.errors == []


async def test_the_first_meter_appears_by_itself(empty_headend, page):
    await page.goto(empty_headend.url + "/")
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    empty_headend.execute(
        "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s)"
        " values (1, 'First', 'First', 'nl_dsmr', 900)"
    )
    await expect(page.get_by_role("link", name="First")).to_be_visible(timeout=60_000)


async def test_the_pictures_are_taken_from_a_running_head_end(headend, tmp_path):
    """The script of the README's pictures works as its help says."""
    script = Path(__file__).parents[2] / "docs" / "pictures" / "take.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        "--url",
        headend.url,
        "--out",
        tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    taken = [Path(line) for line in output.decode().splitlines()]
    assert {file.stem for file in taken} == {
        "dashboard",
        "dashboard-dark",
        "mesh",
        "meter",
        "phone",
    }
    for file in taken:
        assert file.read_bytes().startswith(b"\x89PNG")
        assert file.stat().st_size > 30_000
