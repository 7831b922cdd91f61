// A lane for each agent: its steps as bars, faults as bands behind them, and where it was gone. Drawn on one canvas, so that a
// thousand events a second cost what ten do; the same in words stands beside each lane.

import { byId, clean, el, say } from "./dom.js";
import { count, cut, span } from "./words.js";

const LANE = 30, TOP = 22, BAR = 14;

// Time that is shown of a run that goes on: all of it, and no more than this.
const WINDOW_MS = 120_000;

// Lanes that are drawn; the rest is told.
const MOST_LANES = 64;

const NICE_MS = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000];

export class Lanes {
  constructor() {
    this.place = byId("lanes");
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.names = el("ol", { class: "lane-names" });
    this.hint = el("p", { class: "soft hint" }, "");
    this.rows = new Map();
    this.probe = el("i", { hidden: true });
    this.place.after(this.probe);
    this.marks = [];
    this.canvas.addEventListener("mousemove", (event) => this.point(event));
    this.canvas.addEventListener("mouseleave", () => say(this.hint, ""));
    new ResizeObserver(() => { this.last = null; }).observe(this.place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.last = null; });
  }

  draw({ run }) {
    if (run.beganAt === null) {
      this.place.replaceChildren(el("p", { class: "empty" }, run.silence ? `No journal here: ${run.silence}.` : "Waiting for the run's journal…"));
      say(byId("lanes-about"), "");
      return;
    }
    if (this.canvas.parentElement?.parentElement !== this.place) {
      this.place.replaceChildren(el("div", { class: "lane-chart" }, this.names, this.canvas), this.hint);
    }
    const now = run.endedAt ?? Math.max(run.at, Date.now());
    const lanes = [...run.lanes.values()].sort(byName).slice(0, MOST_LANES);
    this.words(run, lanes, now);
    const state = `${run.version} ${run.endedAt ? "" : Math.floor(now / 250)} ${document.documentElement.dataset.theme}`;
    if (this.last === state) return;
    this.last = state;
    this.paint(run, lanes, now);
  }

  words(run, lanes, now) {
    const left = run.lanes.size - lanes.length;
    const long = now - run.beganAt;
    const shown = run.endedAt === null && long > WINDOW_MS ? `the last ${span(WINDOW_MS)} of ${span(long)}` : span(long);
    say(byId("lanes-about"), `${count(run.lanes.size, "lane")}, ${shown}${left > 0 ? `; ${left} more are not drawn` : ""}`);
    for (const lane of lanes) {
      if (!this.rows.has(lane.name)) {
        const row = { now: el("span", { class: "soft" }) };
        row.item = el("li", {}, el("span", { class: "lane-name" }, cut(lane.name, 40)), row.now);
        this.rows.set(lane.name, row);
      }
      say(this.rows.get(lane.name).now, inWords(lane, run));
    }
    const items = lanes.map(({ name }) => this.rows.get(name).item);
    if (items.length !== this.names.childElementCount || items.some((item, at) => this.names.children[at] !== item)) {
      this.names.replaceChildren(...items);
    }
  }

  paint(run, lanes, now) {
    const width = this.canvas.parentElement.clientWidth - this.names.offsetWidth;
    const height = TOP + lanes.length * LANE;
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const colour = this.colours(`${document.documentElement.dataset.theme} ${matchMedia("(prefers-color-scheme: dark)").matches}`);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const from = run.endedAt === null ? Math.max(run.beganAt, now - WINDOW_MS) : run.beganAt;
    const long = Math.max(now - from, 1_000);
    const x = (at) => ((at - from) / long) * (width - 12) + 4;
    this.grid(pen, { from, long, x, width, height, colour, began: run.beganAt });
    this.marks = [];
    lanes.forEach((lane, at) => this.lane(pen, lane, { y: TOP + at * LANE, x, from, now, colour, width, over: run.endedAt !== null }));
  }

  // Colours as a canvas takes them: what the style sheet says, resolved once for each theme.
  colours(theme) {
    if (this.theme !== theme) Object.assign(this, { theme, resolved: new Map() });
    return (name) => {
      if (!this.resolved.has(name)) {
        this.probe.style.color = `var(${name})`;
        this.resolved.set(name, getComputedStyle(this.probe).color);
      }
      return this.resolved.get(name);
    };
  }

  grid(pen, { from, long, x, width, height, colour, began }) {
    const every = NICE_MS.find((ms) => long / ms <= Math.max(2, width / 110)) ?? NICE_MS.at(-1);
    pen.font = '11px system-ui, sans-serif';
    pen.fillStyle = colour("--faint");
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    const first = Math.ceil((from - began) / every) * every;
    for (let at = first; at <= from - began + long; at += every) {
      const across = Math.round(x(began + at)) + 0.5;
      pen.beginPath();
      pen.moveTo(across, 4);
      pen.lineTo(across, height);
      pen.stroke();
      if (across < width - 30) pen.fillText(at === 0 ? "0" : span(at).replace(/\.0 s/, " s"), across + 4, 13);
    }
  }

  lane(pen, lane, { y, x, from, now, colour, width, over }) {
    pen.strokeStyle = colour("--line");
    pen.beginPath();
    pen.moveTo(0, y + 0.5);
    pen.lineTo(width, y + 0.5);
    pen.stroke();
    const box = ({ began, ended }, least) => {
      const left = Math.max(x(began), -4);
      return [left, Math.max(x(ended ?? now) - left, least)];
    };
    for (const band of lane.bands) {
      if ((band.ended ?? now) < from) continue;
      const [left, wide] = box(band, 1);
      pen.fillStyle = colour("--band");
      pen.fillRect(left, y + 1, wide, LANE - 1);
      pen.fillStyle = colour("--bar-fault");
      pen.fillRect(left, y + LANE - 3, wide, 2);
      this.marks.push({ left, right: left + wide, y, text: `${band.fault} on ${band.target}: ${band.asked}, ${span((band.ended ?? now) - band.began)}` });
    }
    for (const gone of lane.gone) {
      if ((gone.ended ?? now) < from) continue;
      const [left, wide] = box(gone, 3);
      pen.fillStyle = colour("--band-gone");
      pen.fillRect(left, y + 1, wide, LANE - 1);
      this.marks.push({ left, right: left + wide, y, text: `${lane.name} was gone for ${span((gone.ended ?? now) - gone.began)}` });
    }
    let free = -1;
    for (const bar of lane.bars) {
      if ((bar.ended ?? now) < from) continue;
      const [left, wide] = box(bar, 2);
      // bars that would lie on each other are one
      if (left + wide <= free && (bar.ending === "pass" || bar.ending === null)) continue;
      free = left + wide;
      pen.fillStyle = colour(`--bar-${bar.ending ?? (over ? "unknown" : "runs")}`);
      pen.beginPath();
      pen.roundRect(left, y + (LANE - BAR) / 2, wide, BAR, Math.min(3, wide / 2));
      pen.fill();
      if (wide > 60) {
        pen.fillStyle = colour("--bar-ink");
        pen.save();
        pen.clip();
        pen.fillText(clean(cut(bar.title, Math.floor(wide / 6))), left + 6, y + LANE / 2 + 4);
        pen.restore();
      }
      this.marks.push({ left, right: left + Math.max(wide, 4), y, text: `${bar.test}: ${bar.title}, ${bar.ending ?? "runs"}, ${span((bar.ended ?? now) - bar.began)}${bar.why ? ` – ${bar.why}` : ""}` });
    }
  }

  // What is under the pointer, the last drawn first.
  point({ offsetX, offsetY }) {
    const hit = this.marks.findLast(({ left, right, y }) => offsetX >= left - 1 && offsetX <= right + 1 && offsetY >= y && offsetY < y + LANE);
    say(this.hint, hit ? cut(hit.text, 300) : "");
  }
}

// The orchestrator's first.
const byName = (left, right) => (right.name === "orchestrator") - (left.name === "orchestrator") || (left.name < right.name ? -1 : 1);

function inWords(lane, run) {
  const failed = lane.bars.filter(({ ending }) => ending === "fail" || ending === "error").length;
  const ended = lane.bars.length + lane.dropped;
  const agent = run.agents.get(lane.name);
  if (agent?.state === "lost") return `lost: ${cut(agent.reason ?? "", 40)}`;
  if (agent?.state === "failover") return "being replaced";
  if (lane.now && run.endedAt === null) return cut(lane.now.title, 36);
  return ended === 0 ? "" : `${count(ended, "step")}${failed > 0 ? `, ${failed} failed` : ""}`;
}
