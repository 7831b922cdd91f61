// A row for each agent: its link to this page, its service, what it holds of the run and what it carries; whatever disturbs it stands
// on a line of its own below. Agents in trouble come first where there are more than fit.

import { byId, el, mark, say } from "./dom.js";
import { bytes, rtt } from "./words.js";

const HEADS = ["agent", "link", "service", "steps", "sent/s", "received/s"];

// Up to so many rows are in sight, in the order of their names.
const FEW = 8;

export class Health {
  constructor() {
    this.rows = new Map();
    this.table = el("table", {}, el("caption", { class: "hidden" }, "Agents, and how they are; figures of traffic are of their links to other agents"),
      el("thead", {}, el("tr", {}, ...HEADS.map((head) => el("th", { scope: "col" }, head)))));
  }

  draw({ mesh, watch, run }) {
    const agents = mesh?.agents ?? [];
    // the agents of a run end with it
    const gone = run.endedAt ? [] : [...run.agents].filter(([name]) => !agents.some((agent) => agent.name === name));
    const place = byId("health");
    place.hidden = agents.length === 0 && gone.length === 0;
    if (place.hidden) return;
    if (this.table.parentElement !== place) place.replaceChildren(this.table);
    const shown = [...agents.map((link) => linked(link, mesh, watch, run)), ...gone.map(([name, how]) => away(name, how, run))];
    if (shown.length > FEW) shown.sort((left, right) => isTroubled(right) - isTroubled(left));
    for (const row of shown) this.row(row);
    // an agent that another instance has replaced stands where it stood
    const rows = shown.map(({ key }) => this.rows.get(key).body);
    if (rows.some((row, at) => this.table.children[at + 2] !== row)) this.table.append(...rows);
    const keys = new Set(shown.map(({ key }) => key));
    for (const [key, { body }] of this.rows) {
      if (keys.has(key)) continue;
      body.remove();
      this.rows.delete(key);
    }
  }

  row({ key, state, cells, troubles }) {
    if (!this.rows.has(key)) {
      const first = el("tr", {}, el("th", { scope: "row" }), ...cells.slice(1).map(() => el("td")));
      const below = el("td", { colspan: HEADS.length });
      this.rows.set(key, { body: el("tbody", {}, first, el("tr", { class: "troubles" }, below)), first, below });
    }
    const { body, first, below } = this.rows.get(key);
    mark(body, "data-state", state);
    cells.forEach((text, at) => say(first.children[at], text));
    below.parentElement.hidden = troubles.length === 0;
    say(below, troubles.join("\n"));
  }
}

const isTroubled = ({ state, troubles }) => Number(state !== "up" || troubles.length > 0);

function linked(link, mesh, watch, run) {
  const seen = watch?.seen.get(link.peer);
  const { way } = link;
  const ms = way === "stand-in" ? mesh.standIn.roundTrip(link.peer) : link.rtt;
  const how = { direct: `WebRTC ${rtt(ms)}`, "stand-in": `fallback ${rtt(ms)}`, none: link.state }[way];
  const [sent, received] = carried(seen);
  const troubles = troublesOf(run, link.name, seen);
  if (way === "none" && link.why) troubles.unshift(link.why);
  if (run.endedAt === null && seen?.failed && way !== "none") troubles.unshift(`asked in vain: ${seen.failed}`);
  const cells = [link.name, how, serviceOf(run, link.name), seen?.status ? String(seen.status.steps_running) : "–", sent, received];
  return { key: link.peer, state: way === "none" ? link.state : "up", cells, troubles };
}

function away(name, { state, reason }, run) {
  const why = state === "joined" ? "not in the mesh" : reason ?? state;
  return { key: name, state: "away", cells: [name, "away", serviceOf(run, name), "–", "–", "–"], troubles: [why, ...troublesOf(run, name)] };
}

// Over all links to other agents, as the agent counts.
function carried(seen) {
  if (!seen) return ["–", "–"];
  const links = seen.links.filter(({ role }) => role === "agent");
  const whole = (what) => bytes(links.reduce((sum, link) => sum + link[what], 0));
  return [whole("sent_per_s"), whole("received_per_s")];
}

const serviceOf = (run, name) => run.services.get(name)?.state ?? "–";

// A service that has ended though nobody asked it to, and faults.
function troublesOf(run, name, seen) {
  const service = run.services.get(name);
  const ended = service?.state === "ended" ? [`service ended: ${service.how}`] : [];
  const own = run.activeFaults.filter(({ agents }) => agents.includes(name)).map(({ fault, asked }) => `${fault}: ${asked}`);
  const untold = (seen?.status?.faults_active ?? []).filter((fault) => !run.faults.has(fault) && !run.people.has(fault));
  return [...ended, ...own, ...untold];
}
