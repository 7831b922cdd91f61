// Who is linked to whom, and how well: agents on a circle, this page in its middle.

import { byId, el, say, svg } from "./dom.js";
import { bytes, count, cut, rtt } from "./words.js";

const WIDTH = 460;

// A line of two needs no circle's height.
const heightOf = (nodes) => (nodes <= 2 ? 130 : nodes <= 8 ? 260 : 320);

// Up to so many have name and round trip beside them; more have their names like the spokes of a wheel, and still more in the table only.
const MOST_LABELS = 14;
const MOST_NAMES = 60;

export class Topology {
  constructor() {
    this.place = byId("topology");
    this.last = "";
  }

  draw({ me, mesh, watch, run, link }) {
    // whoever stands in for this page is called like it; and nobody leaves a mesh that is over
    const isOther = ({ name }) => !run.endedAt && !name.startsWith(`${me?.name}-`);
    const others = (mesh?.others ?? []).filter(isOther).map(({ name, role }) => `${name} (${role.replace("-", " ")})`);
    say(byId("people"), others.length > 0 ? `also here: ${others.join(", ")}` : "");
    const drawn = link.refused ? { nodes: [], empty: "Nobody is asked without a token that is good here." } : model(mesh, watch, run);
    const state = JSON.stringify(drawn);
    if (state === this.last) return;
    this.last = state;
    this.place.replaceChildren(drawn.nodes.length === 0 ? nobody(drawn.empty) : picture(drawn));
  }
}

const nobody = (why) => el("p", { class: "empty" }, why);

function whyNobody(mesh, run) {
  if (run.endedAt) return "The run is over, and its agents with it.";
  if (!mesh) return "Joining…";
  return mesh.signaling.up ? "No agent is in this mesh yet. One that joins is linked at once." : `Looking for the mesh: ${mesh.signaling.why}`;
}

// What is to be drawn, in figures that change only when somebody could see it.
function model(mesh, watch, run) {
  const agents = mesh?.agents ?? [];
  const names = [...new Set([...agents.map(({ name }) => name), ...(run.endedAt ? [] : run.agents.keys())])].sort();
  const disturbed = new Set(run.activeFaults.flatMap(({ agents: at }) => at));
  const nodes = names.map((name) => {
    const link = agents.find((agent) => agent.name === name);
    const way = link?.way ?? "none";
    const ms = way === "stand-in" ? mesh.standIn.roundTrip(link.peer) : link?.rtt;
    return { name, way, state: link ? link.state : "away", rtt: way === "none" ? "no link" : rtt(ms), disturbed: disturbed.has(name) };
  });
  const edges = new Map();
  for (const agent of agents) {
    for (const seen of watch?.seen.get(agent.peer)?.links ?? []) {
      if (seen.role !== "agent" || !names.includes(seen.name)) continue;
      const [left, right] = [agent.name, seen.name].sort();
      const rate = seen.sent_per_s + seen.received_per_s;
      const edge = { left, right, state: seen.state, rtt: rtt(seen.rtt_us === null ? null : seen.rtt_us / 1000), rate: bytes(rate), width: wide(rate) };
      // of two ends, the one that sees trouble
      const key = `${left} ${right}`;
      if (!edges.has(key) || edge.state !== "up") edges.set(key, edge);
    }
  }
  return { nodes, edges: [...edges.values()], empty: nodes.length === 0 ? whyNobody(mesh, run) : "" };
}

// Two pixels at a kilobyte a second, six at a hundred megabytes.
const wide = (rate) => Math.round(10 * (1.5 + Math.min(4.5, Math.max(0, Math.log10(rate + 1) - 2) * 0.8))) / 10;

function picture({ nodes, edges }) {
  const height = heightOf(nodes.length);
  const middle = { x: WIDTH / 2, y: nodes.length <= 2 ? 42 : height / 2 };
  const places = new Map(nodes.map(({ name }, at) => {
    const angle = (2 * Math.PI * at) / nodes.length - Math.PI / 2 + (nodes.length <= 2 ? Math.PI / 2 : 0);
    const [across, down] = nodes.length > MOST_NAMES ? [195, 140] : nodes.length > MOST_LABELS ? [165, 108] : [160, height / 2 - 50];
    return [name, { x: middle.x + across * Math.cos(angle), y: middle.y + down * Math.sin(angle) }];
  }));
  const few = nodes.length <= MOST_LABELS;
  const label = `${count(nodes.length, "agent")}, ${count(edges.filter(({ state }) => state === "up").length, "link")} between them up; the table says more`;
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
  for (const { left, right, state, rtt: trip, rate, width } of edges) {
    const [from, to] = [places.get(left), places.get(right)];
    const line = svg("path", { class: `edge ${state}`, "stroke-width": width, d: bent(from, to, middle) });
    line.append(svg("title", {}, `${left} – ${right}: ${state}, ${trip}, ${rate}/s`));
    root.append(line);
    if (edges.length <= 6 && state === "up") root.append(edgeLabel(from, to, middle, `${trip} · ${rate}/s`));
  }
  for (const { name, way } of nodes) {
    const { x, y } = places.get(name);
    root.append(svg("path", { class: `spoke ${way}`, d: `M${middle.x} ${middle.y}L${x} ${y}` }));
  }
  root.append(svg("circle", { class: "me", cx: middle.x, cy: middle.y, r: few ? 9 : 7 }, svg("title", {}, "this page")));
  if (few) root.append(svg("text", { class: "me-label", x: middle.x, y: middle.y - 16, "text-anchor": "middle" }, "this page"));
  for (const node of nodes) root.append(agent(node, places.get(node.name), few ? middle : null));
  if (!few && nodes.length <= MOST_NAMES) for (const { name } of nodes) root.append(spokeName(name, places.get(name), middle));
  return root;
}

// Past the middle, where this page is.
function bent(from, to, middle) {
  const { x, y } = bend(from, to, middle);
  return `M${from.x.toFixed(1)} ${from.y.toFixed(1)}Q${x.toFixed(1)} ${y.toFixed(1)} ${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
}

function bend(from, to, middle) {
  const half = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  const near = Math.hypot(half.x - middle.x, half.y - middle.y) < 30;
  if (!near) return half;
  const long = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  return { x: half.x + (90 * (to.y - from.y)) / long, y: half.y - (90 * (to.x - from.x)) / long };
}

function edgeLabel(from, to, middle, text) {
  const { x, y } = bend(from, to, middle);
  const at = { x: (from.x + 2 * x + to.x) / 4, y: (from.y + 2 * y + to.y) / 4 };
  return svg("text", { class: "edge-label", x: at.x, y: at.y - 7, "text-anchor": "middle" }, text);
}

// Outwards, and never upside down.
function spokeName(name, { x, y }, middle) {
  const angle = (180 / Math.PI) * Math.atan2(y - middle.y, x - middle.x);
  const right = Math.abs(angle) <= 90;
  const turn = `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${(right ? angle : angle + 180).toFixed(1)})`;
  return svg("text", { class: "spoke-name", transform: turn, x: right ? 13 : -13, y: 3.5, "text-anchor": right ? "start" : "end" }, cut(name, 12));
}

// With a middle there is room for names, on the side away from it.
function agent({ name, way, state, rtt: trip, disturbed }, { x, y }, middle) {
  const few = middle !== null;
  const group = svg("g", { class: `node ${way} ${state}${disturbed ? " disturbed" : ""}` });
  if (disturbed) group.append(svg("circle", { class: "halo", cx: x, cy: y, r: few ? 19 : 13 }));
  group.append(svg("circle", { cx: x, cy: y, r: few ? 12 : 8 }), svg("title", {}, `${name}: ${way === "none" ? state : way}, ${trip}`));
  if (few) {
    const below = y > middle.y - 1;
    group.append(svg("text", { x, y: below ? y + 31 : y - 35, "text-anchor": "middle" }, cut(name, 22)));
    group.append(svg("text", { class: "trip", x, y: below ? y + 46 : y - 20, "text-anchor": "middle" }, trip));
  }
  return group;
}
