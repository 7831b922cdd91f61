// What is known of the run: a pure reading of its journal, a record at a time. Nothing here knows the page.

// Lines that are kept for the feed; those before are in the journal.
const MOST_LINES = 120_000;

// Bars that are kept of each lane.
const MOST_BARS = 4_000;

export class Run {
  constructor() {
    this.journal = null;
    this.forget();
  }

  forget() {
    Object.assign(this, {
      n: 0, at: 0, beganAt: null, endedAt: null, id: null, plan: null, file: null, seed: null,
      expected: { steps: 0, tests: [] }, tests: new Map(), steps: { ended: 0, failed: 0, running: new Map() },
      lanes: new Map(), faults: new Map(), people: new Map(), agents: new Map(), services: new Map(), failures: [],
      verdict: null, exit: null, summary: null, held: null, lines: [], dropped: 0, silence: null, isBroken: false, takenOver: 0, version: 0,
    });
    this.lane("orchestrator");
  }

  // The records that follow are of that journal; of another one than before, everything begins anew.
  begin({ journal, after }) {
    if (this.journal !== journal || after !== this.n) this.forget();
    this.journal = journal;
    this.silence = null;
  }

  // Nobody writes the journal, or there is none.
  unread(why) {
    this.silence = why;
  }

  // Nobody will: what stands there is all there is.
  brokeOff(why) {
    Object.assign(this, { isBroken: true, endedAt: this.at, silence: why });
    this.version += 1;
  }

  take(record) {
    // told once already, before a break
    if (record.n <= this.n) return;
    this.n = record.n;
    this.version += 1;
    this.at = Math.max(this.at, record.at_ms);
    const [what, value] = Object.entries(record.what)[0];
    this.happened[what]?.(value, record);
    if (record.said) this.line(record);
  }

  line({ n, at_ms: at, from, said }) {
    this.lines.push({ n, at, from, tone: said.tone, word: said.word, text: said.text });
    // in one go, and seldom
    if (this.lines.length > MOST_LINES + 10_000) {
      const over = this.lines.length - MOST_LINES;
      this.lines.splice(0, over);
      this.dropped += over;
    }
  }

  lane(name) {
    if (!this.lanes.has(name)) this.lanes.set(name, { name, bars: [], bands: [], gone: [], dropped: 0, now: null });
    return this.lanes.get(name);
  }

  bar(lane, bar) {
    lane.bars.push(bar);
    if (lane.bars.length > MOST_BARS + 500) {
      lane.dropped += lane.bars.length - MOST_BARS;
      lane.bars.splice(0, lane.bars.length - MOST_BARS);
    }
  }

  happened = {
    "run-began": ({ run, plan, file, seed }, { at_ms: at }) => {
      Object.assign(this, { id: run, plan, file, seed, beganAt: this.beganAt ?? at });
    },
    expected: ({ steps, tests }) => {
      this.expected = { steps: steps.length, tests };
      for (const test of tests) if (!this.tests.has(test)) this.tests.set(test, { test, state: "waits" });
    },
    "agent-joined": ({ name, path }) => {
      this.agents.set(name, { state: "joined", path });
      this.lane(name);
    },
    "agent-lost": ({ name, reason }, { at_ms: at }) => {
      this.agents.set(name, { state: "lost", reason });
      this.gone(name, at);
    },
    "failover-detected": ({ agent, how }, { at_ms: at }) => {
      this.agents.set(agent, { state: "failover", reason: how });
      this.gone(agent, at);
    },
    "failover-complete": ({ agent, after_ms: after }, { at_ms: at }) => {
      this.agents.set(agent, { state: "joined", failover: after });
      const gone = this.lane(agent).gone.at(-1);
      if (gone) gone.ended = at;
    },
    "service-started": ({ service }) => this.services.set(service, { state: "starts" }),
    "service-ready": ({ service }) => this.services.set(service, { state: "ready" }),
    "service-ended": ({ service, how }) => this.services.set(service, { state: "ended", how }),
    "test-began": ({ test }, { at_ms: at }) => this.tests.set(test, { test, state: "runs", began: at }),
    "test-ended": ({ test, verdict, duration_ms: took }, { at_ms: at }) => {
      this.tests.set(test, { ...this.tests.get(test), test, state: verdict, took, ended: at });
    },
    "test-not-run": ({ test, why }) => this.tests.set(test, { test, state: "not run", why }),
    "step-began": (step, { at_ms: at }) => {
      const lane = this.lane(step.agent ?? "orchestrator");
      const bar = { began: at, ended: null, title: step.title, test: step.key.test, ending: null, optional: step.optional };
      this.bar(lane, bar);
      lane.now = bar;
      this.steps.running.set(keyOf(step), { lane, bar });
    },
    "step-ended": ({ step, ending, duration_ms: took, why }, { at_ms: at }) => {
      const running = this.steps.running.get(keyOf(step));
      this.steps.running.delete(keyOf(step));
      this.steps.ended += 1;
      if (failed({ ending, optional: step.optional })) this.steps.failed += 1;
      const lane = running?.lane ?? this.lane(step.agent ?? "orchestrator");
      const bar = running?.bar ?? { began: at - took, title: step.title, test: step.key.test, optional: step.optional };
      Object.assign(bar, { ended: at, ending, why });
      if (!running) this.bar(lane, bar);
      if (lane.now === bar) lane.now = null;
    },
    "fault-began": ({ fault, target, asked, agents }, { at_ms: at }) => {
      this.isTheRuns(fault);
      const band = { fault, target, asked, agents, began: at, ended: null };
      this.faults.set(fault, band);
      for (const agent of agents) this.lane(agent).bands.push(band);
    },
    "fault-ended": (report, { at_ms: at }) => {
      const band = this.faults.get(report.fault);
      if (band) band.ended = at;
    },
    failure: (failure) => {
      if (this.failures.length < 200) this.failures.push({ title: failure.title, test: failure.test });
    },
    "run-ended": ({ verdict, exit, summary }, { at_ms: at }) => Object.assign(this, { verdict, exit, summary, endedAt: at }),
    "taken-over": ({ term }) => {
      this.takenOver = term;
    },
    fact: (fact, { from, at_ms: at }) => {
      const { steered } = fact;
      if (steered) this.held = steered.how === "resume" ? null : { by: steered.by, how: steered.how };
      const began = fact["fault-began"], ended = fact["fault-ended"];
      // one of the run's own has records of the run
      if (began && !this.faults.has(began.fault)) this.disturbed(from, began.fault, at);
      if (ended && this.people.has(ended.fault)) this.people.get(ended.fault).ended = at;
    },
  };

  // Somebody in a chat has begun a fault.
  disturbed(from, fault, at) {
    const band = { fault, target: from, asked: "by a person", agents: [from], began: at, ended: null };
    this.people.set(fault, band);
    this.lane(from).bands.push(band);
  }

  // An agent may have told of a fault before the run does.
  isTheRuns(fault) {
    const told = this.people.get(fault);
    if (!told) return;
    this.people.delete(fault);
    const lane = this.lane(told.target);
    lane.bands = lane.bands.filter((band) => band !== told);
  }

  gone(name, at) {
    const lane = this.lane(name);
    if (lane.gone.at(-1)?.ended === null) return;
    lane.gone.push({ began: at, ended: null });
    lane.now = null;
  }

  // Faults that are active now.
  get activeFaults() {
    const all = [...this.faults.values(), ...this.people.values()];
    return all.filter(({ ended }) => ended === null && this.endedAt === null);
  }

  get state() {
    if (this.verdict) return this.verdict;
    if (this.isBroken) return "broke off";
    if (this.journal === null) return "unread";
    if (this.held) return "held";
    return this.silence ? "left" : "runs";
  }
}

export const failed = ({ ending, optional }) => !optional && (ending === "fail" || ending === "error");

const keyOf = ({ key, section }) => `${section}/${key.test}/${key.step}/${key.attempt}`;
