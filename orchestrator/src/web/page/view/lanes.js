// A lane for each agent: its steps as bars, faults as bands behind them, and where it was gone. Drawn on one canvas, so that a
// thousand events a second cost what ten do; the same in words stands beside each lane, and the arrow keys go from mark to mark.

import { failed } from "../run/run.js";
import { byId, clean, el, say } from "./dom.js";
import { count, cut, span } from "./words.js";

// Heights are in letters', which are larger on a wall.
const TOP = 1.95;

// A lane takes what room there is: few are tall, many scroll. From a middle height on the names of faults have room below the bars.
const LOW = 2.6, WITH_WORDS = 3.8, HIGH = 5.2, FEW = 6;

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
    this.chart = el("div", { class: "lane-chart" }, this.names, this.canvas);
    this.hint = byId("lanes-hint");
    this.chosen = null;
    this.rows = new Map();
    this.probe = el("i", { hidden: true });
    this.place.after(this.probe);
    this.marks = [];
    this.canvas.addEventListener("mousemove", (event) => this.point(event));
    this.canvas.addEventListener("mouseleave", () => this.choose(null));
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.place.addEventListener("blur", () => this.choose(null));
    new ResizeObserver(() => { this.last = null; }).observe(this.place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.last = null; });
  }

  draw(page) {
    const { run, link } = page;
    this.page = page;
    if (run.beganAt === null) {
      this.place.replaceChildren(el("p", { class: "empty" }, run.silence ? `No journal here: ${run.silence}.` : link.refused ? "Nothing to read without a token that is good here." : "Waiting for the run's journal…"));
      say(byId("lanes-about"), "");
      return;
    }
    if (this.chart.parentElement !== this.place) this.place.replaceChildren(this.chart);
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
    const { fontSize, fontFamily } = getComputedStyle(this.place);
    this.font = `${fontSize} ${fontFamily}`;
    const em = parseFloat(fontSize), top = Math.round(TOP * em);
    this.place.style.minHeight = `min(${TOP + lanes.length * (lanes.length > FEW ? LOW : WITH_WORDS)}em, 46vh)`;
    const high = Math.round(Math.max(LOW * em, Math.min(HIGH * em, (this.place.clientHeight - top) / lanes.length)));
    this.names.style.setProperty("--lane", `${high}px`);
    this.names.style.paddingTop = `${top}px`;
    const width = this.chart.clientWidth - this.names.offsetWidth;
    const height = top + lanes.length * high;
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
    const view = { high, em, x, from, now, colour, width, over: run.endedAt !== null };
    lanes.forEach((lane, at) => this.lane(pen, lane, { ...view, y: top + at * high }));
    const pointed = this.marks.find(({ key }) => key === this.chosen);
    say(this.hint, pointed ? `${pointed.name} – ${cut(pointed.text, 300)}` : "");
    if (pointed) this.ring(pen, pointed, colour);
  }

  ring(pen, mark, colour) {
    pen.strokeStyle = colour("--accent");
    pen.lineWidth = 2;
    pen.strokeRect(mark.left - 2, mark.y + 2, mark.right - mark.left + 4, mark.high - 4);
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
    pen.font = this.font;
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
      if (across < width - 30) pen.fillText(at === 0 ? "0" : span(at).replace(/\.0 s/, " s"), across + 4, parseFloat(this.font) * 1.15);
    }
  }

  lane(pen, lane, view) {
    const { y, colour, width } = view;
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(0, y + 0.5);
    pen.lineTo(width, y + 0.5);
    pen.stroke();
    this.bands(pen, lane, view);
    this.gaps(pen, lane, view);
    this.bars(pen, lane, view);
  }

  bands(pen, lane, view) {
    const { y, high, em, from, now, colour } = view;
    let written = -1;
    for (const band of lane.bands) {
      if ((band.ended ?? now) < from) continue;
      const [left, wide] = box(band, view, 1);
      pen.fillStyle = colour("--band");
      pen.fillRect(left, y + 1, wide, high - 1);
      pen.fillStyle = colour("--bar-fault");
      pen.fillRect(left, y + high - 3, wide, 2);
      const from_ = Math.max(left, written, 0) + 5;
      if (high >= WITH_WORDS * em && left + wide - from_ > 40) {
        pen.fillStyle = colour("--fault");
        const room = left + wide - from_;
        // beside another there is room for its name
        const isAlone = !lane.bands.some((other) => other !== band && other.began < (band.ended ?? now) && (other.ended ?? now) > band.began);
        written = from_ + this.write(pen, isAlone ? `${band.fault}: ${band.asked}` : band.fault, { x: from_, y: y + high - 7, room });
      }
      this.mark(lane, view, { what: `${band.fault} on ${band.target}`, began: band.began, left, wide, text: `: ${band.asked}, ${span((band.ended ?? now) - band.began)}` });
    }
  }

  gaps(pen, lane, view) {
    const { y, high, from, now, colour } = view;
    for (const gone of lane.gone) {
      if ((gone.ended ?? now) < from) continue;
      const [left, wide] = box(gone, view, 3);
      pen.fillStyle = colour("--band-gone");
      pen.fillRect(left, y + 1, wide, high - 1);
      pen.fillStyle = colour("--gone");
      pen.fillRect(left, y + 1, wide, 2);
      this.mark(lane, view, { what: "gone", began: gone.began, left, wide, text: ` for ${span((gone.ended ?? now) - gone.began)}` });
    }
  }

  bars(pen, lane, view) {
    const { y, high, em, from, now, colour, over } = view;
    const hasWords = high >= WITH_WORDS * em;
    const tall = Math.round((hasWords ? 1.6 : 1.25) * em);
    const top = y + (high - tall - (hasWords ? em : 0)) / 2;
    let free = -1;
    for (const bar of lane.bars) {
      if ((bar.ended ?? now) < from) continue;
      const [left, wide] = box(bar, view, 2);
      // bars that would lie on each other are one
      if (left + wide <= free && (bar.ending === "pass" || bar.ending === null)) continue;
      free = left + wide;
      // what need not hold is no failure
      const shown = bar.optional && bar.ending !== "pass" ? "unknown" : bar.ending;
      pen.fillStyle = colour(`--bar-${(bar.ending && shown) ?? (over ? "unknown" : "runs")}`);
      pen.beginPath();
      pen.roundRect(left, top, wide, tall, Math.min(3, wide / 2));
      pen.fill();
      if (wide > 60) {
        pen.fillStyle = colour("--bar-ink");
        this.write(pen, bar.title, { x: Math.max(left, 0) + 6, y: top + tall / 2 + em * 0.36, room: wide - 10 });
      }
      const why = bar.why ? ` – ${bar.why}` : "";
      this.mark(lane, view, { what: `${bar.test}: ${bar.title}`, began: bar.began, left, wide: Math.max(wide, 4), text: `, ${bar.ending ?? "runs"}, ${span((bar.ended ?? now) - bar.began)}${why}` });
    }
  }

  // As much of a text as there is room for; gives how wide it is.
  write(pen, text, { x, y, room }) {
    const whole = clean(text);
    const wide = pen.measureText(whole).width;
    const shown = wide <= room ? whole : cut(whole, Math.floor((whole.length * room) / wide) - 1);
    pen.fillText(shown, x, y);
    return Math.min(wide, room);
  }

  mark({ name }, { y, high }, { what, began, left, wide, text }) {
    this.marks.push({ key: `${name} ${began} ${what}`, name, began, left, right: left + wide, y, high, text: `${what}${text}` });
  }

  // What is under the pointer, the last drawn first.
  point({ offsetX, offsetY }) {
    this.choose(this.marks.findLast(({ left, right, y, high }) => offsetX >= left - 1 && offsetX <= right + 1 && offsetY >= y && offsetY < y + high));
  }

  // Left and right go through time, up and down from lane to lane.
  key(event) {
    const names = [...new Set(this.marks.map(({ name }) => name))];
    const at = this.marks.find(({ key }) => key === this.chosen);
    const of = (name) => this.marks.filter((mark) => mark.name === name).sort((left, right) => left.began - right.began);
    const inTime = (step) => {
      const lane = of(at.name);
      return lane[Math.max(0, Math.min(lane.length - 1, lane.indexOf(at) + step))];
    };
    const toLane = (step) => {
      const lane = of(names[Math.max(0, Math.min(names.length - 1, names.indexOf(at.name) + step))]);
      return lane.findLast(({ began }) => began <= at.began) ?? lane[0];
    };
    const keys = { ArrowLeft: () => inTime(-1), ArrowRight: () => inTime(1), ArrowUp: () => toLane(-1), ArrowDown: () => toLane(1) };
    if (!keys[event.key] || this.marks.length === 0) return;
    event.preventDefault();
    const mark = at ? keys[event.key]() : of(names[0])[0];
    this.choose(mark);
    const { scrollTop, clientHeight } = this.place;
    if (mark.y < scrollTop) this.place.scrollTop = mark.y;
    if (mark.y + mark.high > scrollTop + clientHeight) this.place.scrollTop = mark.y + mark.high - clientHeight;
  }

  choose(mark) {
    const chosen = mark?.key ?? null;
    if (chosen === this.chosen) return;
    this.chosen = chosen;
    this.last = null;
    this.draw(this.page);
  }
}

// From where on, and how wide; at least so wide.
function box({ began, ended }, { x, now }, least) {
  const left = Math.max(x(began), -4);
  return [left, Math.max(x(ended ?? now) - left, least)];
}

// The orchestrator's first.
const byName = (left, right) => (right.name === "orchestrator") - (left.name === "orchestrator") || (left.name < right.name ? -1 : 1);

function inWords(lane, run) {
  const bad = lane.bars.filter(failed).length;
  const ended = lane.bars.length + lane.dropped;
  const agent = run.agents.get(lane.name);
  if (agent?.state === "lost") return `lost: ${cut(agent.reason ?? "", 40)}`;
  if (agent?.state === "failover") return "being replaced";
  if (lane.now && run.endedAt === null) return cut(lane.now.title, 36);
  return ended === 0 ? "" : `${count(ended, "step")}${bad > 0 ? `, ${bad} failed` : ""}`;
}
