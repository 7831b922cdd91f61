// A row for each agent: its link to this page, what it holds of the run, and what disturbs it.

import { byId, el, mark, say } from "./dom.js";
import { bytes, rtt } from "./words.js";

const HEADS = ["agent", "link", "rtt", "faults", "steps", "service", "there/s", "back/s"];

export class Health {
  constructor() {
    this.rows = new Map();
    this.body = el("tbody");
    this.table = el("table", {}, el("caption", { class: "hidden" }, "Agents, and how they are"),
      el("thead", {}, el("tr", {}, ...HEADS.map((head) => el("th", { scope: "col" }, head)))), this.body);
    this.before = new Map();
  }

  draw({ mesh, watch, run }) {
    const agents = mesh?.agents ?? [];
    // the agents of a run end with it
    const gone = run.endedAt ? [] : [...run.agents].filter(([name]) => !agents.some((agent) => agent.name === name));
    const place = byId("health");
    place.hidden = agents.length === 0 && gone.length === 0;
    if (place.hidden) return;
    if (this.table.parentElement !== place) place.replaceChildren(this.table);
    const shown = new Set();
    for (const link of agents) {
      this.row(link.peer, this.linked(link, mesh, watch, run));
      shown.add(link.peer);
    }
    for (const [name, { state, reason }] of gone) {
      const why = state === "joined" ? "not in the mesh" : reason ?? state;
      this.row(name, { state: "away", cells: [name, why, "–", faultsOf(run, name), "–", serviceOf(run, name), "–", "–"] });
      shown.add(name);
    }
    // an agent that another instance has replaced stands where it stood
    const rows = [...shown].map((key) => this.rows.get(key));
    if (rows.some((row, at) => this.body.children[at] !== row)) this.body.append(...rows);
    for (const [key, row] of this.rows) {
      if (shown.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
  }

  linked(link, mesh, watch, run) {
    const seen = watch?.seen.get(link.peer);
    const { way } = link;
    const ms = way === "stand-in" ? mesh.standIn.roundTrip(link.peer) : link.rtt;
    const [there, back] = this.rates(link);
    const state = { direct: "WebRTC", "stand-in": "fallback", none: link.state }[way];
    const failed = run.endedAt === null && seen?.failed && way !== "none" ? `${state}; ${seen.failed}` : state;
    const steps = seen?.status ? String(seen.status.steps_running) : "–";
    const cells = [link.name, way === "none" && link.why ? `${state}: ${link.why}` : failed, way === "none" ? "–" : rtt(ms),
      faultsOf(run, link.name, seen), steps, serviceOf(run, link.name), bytes(there), bytes(back)];
    return { state: way === "none" ? link.state : "up", cells, disturbed: cells[3] !== "–" };
  }

  // Over a second or more.
  rates(link) {
    const now = performance.now();
    const { sent, received } = link.traffic();
    const before = this.before.get(link.peer) ?? { at: now - 1, sent, received, there: 0, back: 0 };
    if (now - before.at < 950) {
      if (!this.before.has(link.peer)) this.before.set(link.peer, before);
      return [before.there, before.back];
    }
    const seconds = (now - before.at) / 1_000;
    const rate = { at: now, sent, received, there: (sent - before.sent) / seconds, back: (received - before.received) / seconds };
    this.before.set(link.peer, rate);
    return [rate.there, rate.back];
  }

  row(key, { state, cells, disturbed }) {
    if (!this.rows.has(key)) {
      const row = el("tr", {}, el("th", { scope: "row" }), ...cells.slice(1).map(() => el("td")));
      this.rows.set(key, row);
      this.body.append(row);
    }
    const row = this.rows.get(key);
    mark(row, "data-state", state);
    mark(row, "data-disturbed", String(Boolean(disturbed)));
    cells.forEach((text, at) => say(row.children[at], text));
  }
}

function serviceOf(run, name) {
  const service = run.services.get(name);
  if (!service) return "–";
  return service.state === "ended" ? `ended: ${service.how}` : service.state;
}

function faultsOf(run, name, seen) {
  const own = run.activeFaults.filter(({ agents }) => agents.includes(name)).map(({ fault, asked }) => `${fault}: ${asked}`);
  const untold = (seen?.status?.faults_active ?? []).filter((fault) => !run.faults.has(fault) && !run.people.has(fault));
  return [...own, ...untold].join("; ") || "–";
}
