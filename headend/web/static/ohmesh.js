// Live pages in three small parts: the pulse (server-sent events), load curves, moved links.
"use strict";

// -- the pulse: "changed" names topics; regions that show them read themselves again (hx-trigger)
const pulse = document.getElementById("pulse");
let source = null;

function say(state) {
  const words = pulse.querySelector(".say");
  pulse.dataset.state = state;
  words.textContent = words.dataset[state];
}

function listen() {
  if (source || document.hidden || document.body.dataset.live === undefined) return;
  source = new EventSource("/v1/stream");
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say("lost"));
  source.addEventListener("changed", (event) => {
    for (const topic of JSON.parse(event.data)) {
      document.body.dispatchEvent(new CustomEvent(`changed-${topic}`));
    }
  });
}

// A hidden tab holds no connection: browsers allow six to one server, all tabs together.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) { listen(); return; }
  source?.close();
  source = null;
});

// -- load curves: the table below is the data, so picture and table cannot disagree
class Chart extends HTMLElement {
  connectedCallback() {
    this.draw();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this);
  }

  disconnectedCallback() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this);
    this.plot?.destroy();
  }

  handleEvent() { this.draw(); }

  get room() { return this.querySelector(".plot"); }

  resize() {
    if (this.plot && this.room.clientWidth !== this.plot.width) {
      this.plot.setSize({ width: this.room.clientWidth, height: 240 });
    }
  }

  values() {
    const rows = [...this.querySelectorAll("tr[data-t]")];
    const step = Number(this.dataset.step);
    return [
      rows.map((row) => Number(row.dataset.t) - step / 2),
      rows.map((row) => (row.dataset.v === undefined ? null : Number(row.dataset.v))),
    ];
  }

  draw() {
    const data = this.values();
    const scheme = matchMedia("(prefers-color-scheme: dark)").matches;
    if (this.plot && this.drawn === scheme) {
      this.plot.setData(data);
    } else {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(), data, this.room);
      this.drawn = scheme;
    }
    this.dataset.ready = "";
  }

  options() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = `12px ${style.fontFamily}`;
    const axis = { stroke: colour("--muted"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const zone = this.dataset.zone;
    const half = Number(this.dataset.step) / 2;
    const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
    const interval = (middle) => [middle - half, middle + half].map((s) => clock.format(s * 1e3)).join("\u2013");
    return {
      width: this.room.clientWidth || 400,
      height: 240,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), zone),
      cursor: { y: false },
      scales: { x: { range: (_, low, high) => [low - half, high + half] }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.08] } },
      series: [
        { label: zone, value: (_, middle) => (middle === null ? "" : interval(middle)) },
        {
          label: this.dataset.label,
          stroke: colour("--accent"),
          fill: `${colour("--accent")}33`,
          width: 1,
          paths: uPlot.paths.bars({ size: [0.9, 40], align: 0 }),
          points: { show: false },
          value: (_, value) => (value === null || value === undefined ? "" : `${value.toLocaleString("en")} ${this.dataset.unit}`),
        },
      ],
      axes: [
        { ...axis, size: 28, values: [[3600, "{HH}:{mm}", null, null, null, null, null, null, 1]] },
        { ...axis, size: 56, values: (_, marks) => marks.map((mark) => `${mark.toLocaleString("en")} ${this.dataset.unit}`) },
      ],
    };
  }
}
customElements.define("om-chart", Chart);

// -- moved links: what has another parent than a moment ago is marked for a while
const MARKED_MS = 8000;
const parents = new Map();

function markMoved() {
  const first = parents.size === 0;
  for (const line of document.querySelectorAll("#mesh line")) {
    const before = parents.get(line.id);
    parents.set(line.id, line.dataset.parent);
    if (!first && before !== line.dataset.parent) {
      line.classList.add("moved");
      line.dataset.moved = Date.now();
      setTimeout(() => line.classList.remove("moved"), MARKED_MS);
    } else if (Date.now() - Number(line.dataset.moved ?? 0) < MARKED_MS) {
      line.classList.add("moved");
    }
  }
}

document.addEventListener("htmx:after:swap", () => {
  for (const chart of document.querySelectorAll("om-chart")) chart.draw();
  markMoved();
  document.body.dataset.refreshed = Number(document.body.dataset.refreshed ?? 0) + 1;
});

// -- the mesh's slider says its minutes while it moves and shows them when it is let go
document.addEventListener("input", ({ target }) => {
  if (target.matches("[data-send]")) target.nextElementSibling.value = target.value;
});
document.addEventListener("pointerup", ({ target }) => { if (target.matches("[data-send]")) target.form.requestSubmit(); });

// -- "/" puts the cursor into the filter
document.addEventListener("keydown", (event) => {
  const field = document.querySelector('[data-hotkey="/"]');
  if (event.key === "/" && field && !event.target.closest("input, textarea")) {
    event.preventDefault();
    field.focus();
  }
});

markMoved();
listen();
