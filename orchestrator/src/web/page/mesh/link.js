// A link to one peer: it outlives the connections that carry it. The rules of proto/src/link.rs: the peer with the lower id offers,
// the other asks it to; one attempt at a time, with a deadline; silence of two seconds means the next generation.

import { compare, fromBase32, sha256, toHex, utf8 } from "../wire/bytes.js";
import { open, seal } from "../wire/signal.js";
import { Connection } from "./connection.js";
import { Calls } from "./calls.js";

const HEARTBEAT_MS = 500;
const SUSPECT_AFTER_MS = 2_000;
const HANDSHAKE_MS = 4_000;
const RETRY_FIRST_MS = 100;
const RETRY_LONGEST_MS = 2_000;
const ASK_AGAIN_MS = 2_000;

export class Link {
  // `mesh` carries signals, and hears of changes.
  constructor(mesh, identity) {
    Object.assign(this, { mesh, identity, peer: identity.peer, name: identity.name, role: identity.role });
    this.offers = compare(mesh.self.key.bytes, fromBase32(identity.peer)) < 0;
    this.highest = 0;
    this.live = null;
    this.attempt = null;
    this.failures = 0;
    this.state = "connecting";
    this.why = "";
    this.since = Date.now();
    this.beats = new Map();
    this.beat = 0;
    this.rtt = null;
    this.bytes = { sent: 0, received: 0 };
    this.calls = new Calls((frame) => this.send(frame));
    this.over = false;
    this.timer = setInterval(() => this.tick(), HEARTBEAT_MS);
    this.begin();
  }

  get isUp() {
    return this.state === "up";
  }

  // How frames travel: over WebRTC, through who stands in, or not at all.
  get way() {
    if (this.isUp) return "direct";
    return this.mesh.standIn.carries(this.peer) ? "stand-in" : "none";
  }

  send(frame) {
    if (this.live && this.isUp) return this.live.send(frame);
    return this.mesh.standIn.send(this.peer, frame);
  }

  call(request, within) {
    return this.calls.call(request, within);
  }

  // Attempts

  begin() {
    if (this.over) return;
    if (this.offers) {
      this.offer();
    } else {
      this.attempt = { asked: true };
      this.attempt.timer = setTimeout(() => this.again(), ASK_AGAIN_MS);
      this.say(this.highest, "please-offer");
    }
  }

  again() {
    this.attempt = null;
    this.begin();
  }

  async offer() {
    this.highest += 1;
    const attempt = this.try_(this.highest);
    try {
      const sdp = await attempt.connection.offer();
      attempt.digest = toHex(await sha256(utf8(sdp)));
      if (this.attempt === attempt) await this.say(attempt.generation, { offer: { sdp } });
    } catch (error) {
      attempt.connection.end(error.message);
    }
  }

  async answer(generation, sdp) {
    this.drop("a newer offer came");
    this.highest = generation;
    const attempt = this.try_(generation);
    try {
      const ours = await attempt.connection.answer(sdp);
      const offer = toHex(await sha256(utf8(sdp)));
      if (this.attempt === attempt) await this.say(generation, { answer: { offer, sdp: ours } });
    } catch (error) {
      attempt.connection.end(error.message);
    }
  }

  try_(generation) {
    const attempt = { generation };
    const on = {
      open: () => this.opened(attempt),
      frame: (frame) => this.frame(attempt.connection, frame),
      ended: (why) => this.ended(attempt, why),
    };
    attempt.connection = new Connection(this.mesh, this.peer, generation, on);
    attempt.timer = setTimeout(() => attempt.connection.end(`no connection within ${HANDSHAKE_MS / 1000} s`), HANDSHAKE_MS);
    this.attempt = attempt;
    return attempt;
  }

  // Ends the attempt that runs, if one does.
  drop(why) {
    const attempt = this.attempt;
    this.attempt = null;
    if (attempt) clearTimeout(attempt.timer);
    attempt?.connection?.end(why);
  }

  opened(attempt) {
    if (this.attempt !== attempt) return attempt.connection.end("not wanted any more");
    clearTimeout(attempt.timer);
    this.attempt = null;
    const before = this.live;
    this.live = attempt.connection;
    this.live.openedAt = this.heardAt = performance.now();
    before?.end("replaced");
    this.change("up", `connection ${attempt.generation} opened`);
    this.tick();
  }

  ended(attempt, why) {
    clearTimeout(attempt.timer);
    if (this.attempt === attempt) {
      this.attempt = null;
      this.failures += 1;
      this.failed = why;
      this.retry();
    } else if (this.live === attempt.connection) {
      this.count(attempt.connection);
      this.live = null;
      this.suspect(why);
    }
  }

  retry() {
    if (this.over || this.isUp) return;
    const wait = Math.min(RETRY_FIRST_MS * 2 ** this.failures, RETRY_LONGEST_MS) * (0.5 + Math.random() / 2);
    this.attempt = { waits: true, timer: setTimeout(() => this.again(), wait) };
    if (this.state !== "suspect") this.change("connecting", this.failed ?? "");
  }

  suspect(why) {
    this.calls.broke(why);
    this.change("suspect", why);
    if (!this.attempt) this.retry();
  }

  tick() {
    if (!this.live) return;
    const now = performance.now();
    if (this.isUp && now - this.heardAt > SUSPECT_AFTER_MS) {
      this.suspect(`silent for ${SUSPECT_AFTER_MS / 1000} s`);
    }
    this.beat += 1;
    this.beats.set(this.beat, now);
    this.beats.delete(this.beat - 8);
    // it may have ended just now
    this.live?.send({ Beat: this.beat });
  }

  // Signals

  async say(generation, body) {
    const signed = await seal(this.mesh.self, this.peer, generation, body);
    if (this.over) return;
    if (this.live && this.isUp) this.live.send({ Signal: signed });
    this.mesh.carry(this.peer, signed);
  }

  async signal(signed) {
    const { kind, generation, body } = await open(this.mesh.self, this.peer, signed);
    if (kind !== "control" || this.over) return;
    const running = this.attempt?.generation;
    if (body === "please-offer") {
      if (!this.offers || running > generation || this.live?.generation > generation) return;
      this.drop("the peer gave it up");
      this.highest = Math.max(this.highest, generation);
      this.begin();
    } else if (body.offer) {
      if (!this.offers && generation > this.highest) await this.answer(generation, body.offer.sdp);
    } else if (body.answer && running === generation && body.answer.offer === this.attempt.digest) {
      const { connection } = this.attempt;
      try {
        await connection.accept(body.answer.sdp);
      } catch (error) {
        connection.end(error.message);
      }
    }
  }

  // Signals can be carried again, so waiting for the next attempt is pointless.
  signalingBack() {
    if (this.attempt?.waits || this.attempt?.asked) {
      clearTimeout(this.attempt.timer);
      this.again();
    }
  }

  // Frames

  frame(connection, frame) {
    const [what, value] = typeof frame === "string" ? [frame, null] : Object.entries(frame)[0];
    switch (what) {
      case "Beat":
        connection.send({ BeatAnswer: value });
        break;
      case "BeatAnswer":
        this.answered(connection, value);
        break;
      case "Call":
      case "Reply":
        this.calls.frame(what, value, (request) => this.mesh.serve(this, request));
        break;
      case "Signal":
        this.signal(value).catch((error) => this.mesh.note(`${this.name}: ${error.message}`));
        break;
      case "Forwarded":
        this.mesh.forwarded(value);
        break;
      case "News":
        this.mesh.news(value);
        break;
      case "Bye":
        this.mesh.left(this.peer);
        break;
      case "Refuse":
        connection.end(`the peer refused: ${value}`);
        break;
      default:
        break;
    }
  }

  answered(connection, number) {
    const sentAt = this.beats.get(number);
    if (sentAt === undefined || connection !== this.live) return;
    this.heardAt = performance.now();
    this.rtt = this.heardAt - sentAt;
    if (this.heardAt - connection.openedAt > SUSPECT_AFTER_MS) this.failures = 0;
    // the old generation came back before another was there
    if (this.state === "suspect") this.change("up", "it answers again");
  }

  // Bytes of all generations.
  traffic() {
    const { sent, heard } = this.live ?? { sent: 0, heard: 0 };
    return { sent: this.bytes.sent + sent, received: this.bytes.received + heard };
  }

  count({ sent, heard }) {
    this.bytes.sent += sent;
    this.bytes.received += heard;
  }

  change(state, why) {
    if (this.state !== state) this.since = Date.now();
    this.state = state;
    this.why = why;
    this.mesh.changed(this);
  }

  end() {
    this.over = true;
    clearInterval(this.timer);
    this.drop("the link ended");
    this.live?.end("the link ended");
    this.live = null;
    this.state = "gone";
    this.calls.broke("the link ended");
  }
}

