// The bar on top: what the run has come to so far, and how this page is in its mesh.

import { byId, clean, el, mark, say } from "./dom.js";
import { bytes, count, cut, span } from "./words.js";

const STATES = {
  refused: "not let in",
  unread: "waiting", runs: "running", held: "held", left: "no orchestrator", "broke off": "broke off", pass: "passed", fail: "failed", unknown: "unknown", error: "error",
};

const MOST_FAILURES = 4;

const HEADLESS_MS = 3_000;

const THEMES = ["auto", "light", "dark"];

export class Verdict {
  constructor() {
    const theme = byId("theme");
    const show = (name) => {
      document.documentElement.dataset.theme = name;
      theme.textContent = name;
      theme.setAttribute("aria-label", `Colours: ${name}`);
    };
    show(localStorage.getItem("theme") ?? "auto");
    theme.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(theme.textContent) + 1) % THEMES.length];
      localStorage.setItem("theme", next);
      show(next);
    });
    const way = byId("way");
    way.addEventListener("click", () => {
      const about = byId("way-about");
      about.hidden = !about.hidden;
      mark(way, "aria-expanded", String(!about.hidden));
    });
    this.figures = new Map();
  }

  draw(page) {
    const { run, me, mesh, link } = page;
    say(byId("plan"), run.plan ?? me?.mesh ?? "meshproof");
    const known = link.refused ? "refused" : run.state;
    const title = `${STATES[known]}: ${run.plan ?? me?.mesh ?? "meshproof"}`;
    if (this.title !== title) {
      this.title = title;
      document.title = clean(title);
    }
    const about = [run.id ?? me?.run, run.file?.split("/").at(-1), run.takenOver ? `term ${run.takenOver}` : null, me && `${me.name}, ${roleOf(me.role)}`];
    say(byId("about"), about.filter(Boolean).join(" · ") || (link.refused ? "" : "joining…"));
    mark(byId("verdict"), "data-state", known);
    const state = run.held ? `held by ${run.held.by}` : STATES[known];
    say(byId("state"), state);
    this.figure("tests", tests(run));
    this.figure("steps", run.n > 0 ? `${run.steps.ended.toLocaleString("en")} of ${Math.max(run.expected.steps, run.steps.ended).toLocaleString("en")}` : "–");
    this.figure("faults", `${run.activeFaults.length} active`);
    this.figure("time", run.beganAt === null ? "–" : span((run.endedAt ?? Date.now()) - run.beganAt));
    this.progress(run);
    this.way(mesh, link, run.endedAt !== null);
    this.failures(page);
    this.notice(run, mesh, link);
  }

  // The first of them; what stands behind each is in the chat.
  failures({ run, console }) {
    const list = byId("failures");
    list.hidden = run.failures.length === 0;
    if (list.childElementCount === Math.min(run.failures.length, MOST_FAILURES + 1)) return;
    const shown = run.failures.slice(0, MOST_FAILURES).map(({ test, title }, at) => {
      const line = `/show f${at + 1}`;
      return el("li", {}, el("button", { type: "button", onclick: () => console.chat.submit(line) }, el("code", {}, line), ` ${test ? `${test}: ` : ""}${cut(title, 160)}`));
    });
    const more = run.failures.length - shown.length;
    if (more > 0) shown.push(el("li", {}, `${more} more`));
    list.replaceChildren(...shown);
  }

  figure(name, text) {
    if (!this.figures.has(name)) {
      const value = el("dd");
      byId("figures").append(el("div", {}, el("dt", {}, name), value));
      this.figures.set(name, value);
    }
    say(this.figures.get(name), text);
  }

  progress(run) {
    const whole = Math.max(run.expected.steps, run.steps.ended, 1);
    const part = run.verdict ? whole : run.steps.ended;
    const bar = byId("progress");
    mark(bar, "aria-valuemax", String(whole));
    mark(bar, "aria-valuenow", String(part));
    bar.firstElementChild.style.width = `${(100 * part) / whole}%`;
  }

  // How frames travel. Nothing is called a link that no heartbeat has answered on.
  way(mesh, link, over) {
    const agents = mesh?.agents ?? [];
    const direct = agents.filter(({ way }) => way === "direct").length;
    const through = agents.filter(({ way }) => way === "stand-in").length;
    const badge = byId("way");
    let way = "none", text = "no link";
    if (direct > 0 && direct === agents.length) [way, text] = ["direct", `WebRTC, ${direct} of ${agents.length}`];
    else if (through > 0) [way, text] = ["stand-in", direct > 0 ? `WebRTC ${direct}, fallback ${through}` : `fallback, ${through} of ${agents.length}`];
    else if (direct > 0) [way, text] = ["some", `WebRTC, ${direct} of ${agents.length}`];
    else if (!mesh) text = link.refused ? "no link" : "joining";
    else if (over && agents.length === 0) text = "run is over";
    else if (agents.length > 0) text = `linking ${count(agents.length, "agent")}…`;
    mark(badge, "data-way", way);
    say(badge, text);
    say(byId("way-about"), this.wayAbout(way, mesh, link));
  }

  wayAbout(way, mesh, link) {
    const ways = {
      direct: "This page is a peer of the mesh: it calls the agents itself, over WebRTC, with a key of its own.",
      some: "This page calls some of the agents itself, over WebRTC; to the others there is no way yet.",
      "stand-in": "No UDP passes between this page and some agents. For those, the process that served it stands in, over its socket, with this page's grant.",
      none: "Nothing of this page has reached an agent yet.",
    };
    const carried = (mesh?.agents ?? []).map((link) => link.traffic());
    const whole = (what) => bytes(carried.reduce((sum, link) => sum + link[what], 0));
    const traffic = carried.length > 0 ? ` Its links have carried ${whole("sent")} there and ${whole("received")} back.` : "";
    const server = mesh?.signaling.up ? "Signaling is there." : `Signaling is away: ${mesh?.signaling.why ?? "not asked yet"}. Links that are up go on.`;
    const process = link.up ? "The process that served this page reads the journal and the lines of the chat to it." : "The process that served this page is away.";
    return `${ways[way]}${traffic} ${server} ${process}`;
  }

  // For longer than a newcomer or a server that begins anew takes.
  isHeadless(run, mesh) {
    const isThere = !mesh?.signaling.up || mesh.others.some(({ role }) => role === "orchestrator");
    if (isThere || run.state !== "runs" || mesh.agents.length === 0) this.headless = null;
    else this.headless ??= Date.now();
    return this.headless !== null && Date.now() - this.headless > HEADLESS_MS;
  }

  notice(run, mesh, link) {
    const notices = [];
    if (link.refused) notices.push(link.refused);
    else if (!link.up && mesh) notices.push("The process that served this page does not answer: no feed and no chat until it does. Links go on.");
    if (mesh && !mesh.signaling.up && run.endedAt === null && link.up) notices.push(`Signaling is away (${mesh.signaling.why}). Links that are up go on without it.`);
    if (this.isHeadless(run, mesh)) notices.push("The run's orchestrator is not in the mesh: it hangs or is gone, and another one can go on with the run.");
    if (run.silence && !run.verdict) notices.push(`${run.silence[0].toUpperCase()}${run.silence.slice(1)}.`);
    const notice = byId("notice");
    say(notice, notices.join(" "));
    notice.hidden = notices.length === 0;
  }
}

function tests(run) {
  const ended = [...run.tests.values()].filter(({ state }) => !["waits", "runs"].includes(state));
  const failed = ended.filter(({ state }) => state !== "pass").length;
  if (run.tests.size === 0) return "–";
  return `${ended.length} of ${run.tests.size}${failed > 0 ? `, ${failed} not passed` : ""}`;
}

const roleOf = (role) => (role === "observer" ? "observer" : "operator console");
