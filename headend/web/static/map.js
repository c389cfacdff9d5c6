// The map: outlines that ship with the head-end, marks from this server. Read again when news comes.
import * as maplibre from "./vendor/maplibre-gl-6.17.0.mjs";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

function style(outlines) {
  return {
    version: 8,
    sources: {
      outlines: { type: "geojson", data: outlines },
      places: { type: "geojson", data: { type: "FeatureCollection", features: [] } },
    },
    layers: [
      { id: "water", type: "background", paint: { "background-color": colour("--soft") } },
      { id: "land", type: "fill", source: "outlines", paint: { "fill-color": colour("--panel"), "fill-outline-color": colour("--line") } },
      {
        id: "places",
        type: "circle",
        source: "places",
        paint: {
          "circle-radius": ["interpolate", ["linear"], ["get", "meters"], 1, 5, 100, 12, 1000, 20],
          "circle-color": ["match", ["get", "state"], "silent", colour("--bad"), "disconnected", colour("--warn"), "awaited", colour("--muted"), colour("--good")],
          "circle-stroke-color": colour("--panel"),
          "circle-stroke-width": 1.5,
        },
      },
    ],
  };
}

class Places extends HTMLElement {
  connectedCallback() {
    maplibre.setWorkerUrl(new URL(this.dataset.worker, location.href).href);
    const [west, south, east, north] = this.dataset.box.split(",").map(Number);
    this.map = new maplibre.Map({
      container: this.querySelector(".plan"),
      style: style(new URL(this.dataset.outlines, location.href).href),
      bounds: [[west, south], [east, north]],
      fitBoundsOptions: { padding: 40, maxZoom: 17, animate: false },
      attributionControl: false,
      fadeDuration: still ? 0 : 200,
      dragRotate: false,
    });
    this.map.addControl(new maplibre.NavigationControl({ showCompass: false }));
    this.map.addControl(new maplibre.ScaleControl());
    this.map.on("load", () => this.read());
    this.map.on("moveend", () => this.read());
    this.map.on("click", "places", (event) => {
      const { meter } = event.features[0].properties;
      if (meter) location.href = `/meters/${encodeURIComponent(meter)}`;
      else this.map.easeTo({ center: event.lngLat, zoom: this.map.getZoom() + 2, animate: !still });
    });
    document.body.addEventListener("changed-meters", () => this.read());
  }

  disconnectedCallback() { this.map.remove(); }

  async read() {
    const box = this.map.getBounds();
    const query = new URLSearchParams({ west: box.getWest(), south: box.getSouth(), east: box.getEast(), north: box.getNorth() });
    const answer = await fetch(`${this.dataset.places}?${query}`);
    if (!answer.ok) return;
    const marks = await answer.json();
    this.map.getSource("places").setData(marks);
    this.dataset.marks = marks.features.length;
    this.map.once("idle", () => { this.dataset.ready = ""; this.querySelector(".sketch")?.remove(); });
  }
}
customElements.define("om-map", Places);
