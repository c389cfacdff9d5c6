// Tables: a click on a head sorts the rows that are shown, a filter field hides those without a word.
// Both are put back after a live refresh; without scripts the tables stand as the server wrote them.
"use strict";

const FACTORS = { s: 1, min: 60, h: 3600, d: 86400, 초: 1, 분: 60, 시간: 3600, 일: 86400, k: 1000 };
const NUMBER = /^(-?[\d\u202f.]+)\s*(\S*)/;
const chosen = new Map(); // table -> [column, direction]

const tables = () => document.querySelectorAll("main table:has(thead)");
const rowsOf = (table) => [...table.tBodies[0].rows].filter((row) => !row.querySelector("[colspan]"));

function key(cell) {
  if (cell.title) return cell.title;
  const text = cell.textContent.trim();
  const [, digits, unit] = text.match(NUMBER) ?? [];
  const size = Number(digits?.replaceAll("\u202f", ""));
  if (digits === undefined || Number.isNaN(size) || /^\d{4}-\d\d-\d\d/.test(text)) return text;
  return size * (FACTORS[unit] ?? (/^k[WV]/.test(unit) || unit === "kvarh" ? FACTORS.k : 1));
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

function sort(table) {
  const [column, direction] = chosen.get(table) ?? [];
  for (const head of table.tHead.querySelectorAll("th")) {
    if (head.cellIndex === column) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  if (column === undefined) return;
  const rows = rowsOf(table).map((row) => [key(row.cells[column]), row]);
  rows.sort((one, other) => direction * compare(one[0], other[0]));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function filter(field) {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const table = field.closest("section").querySelector("table:has(thead)");
  for (const row of rowsOf(table)) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
}

function refresh() {
  for (const table of tables()) {
    for (const head of table.tHead.querySelectorAll("th")) head.tabIndex = 0;
    sort(table);
  }
  for (const field of document.querySelectorAll("input[data-rows]")) filter(field);
}

function choose(head) {
  const table = head.closest("table");
  const [column, direction] = chosen.get(table) ?? [];
  chosen.set(table, [head.cellIndex, column === head.cellIndex ? -direction : 1]);
  sort(table);
}

// -- what is shown as a file, for lists that the server gives no file of; no cell can be a formula
const inert = (text) => (/^([=+@\t\r]|-(?!\d))/.test(text) ? `'${text}` : text);
const quoted = (cell) => `"${inert(cell.textContent.trim()).replaceAll('"', '""')}"`;

function save(button) {
  const lines = [...button.closest("section").querySelectorAll("table:has(thead)")].flatMap((table) =>
    [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(quoted).join(",")));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`\ufeff${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  link.download = button.dataset.csv;
  link.click();
  URL.revokeObjectURL(link.href);
}

document.addEventListener("click", ({ target }) => {
  if (target.matches("[data-csv]")) save(target);
  const head = target.closest("main thead th");
  if (head) choose(head);
});
document.addEventListener("keydown", (event) => {
  if (!["Enter", " "].includes(event.key) || !event.target.matches("main thead th")) return;
  event.preventDefault();
  choose(event.target);
});
document.addEventListener("input", ({ target }) => { if (target.matches("input[data-rows]")) filter(target); });
document.addEventListener("htmx:after:swap", refresh);
refresh();
