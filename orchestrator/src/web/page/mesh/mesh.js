// The mesh as this page is in it: who is there, and the links to them.

import { toBase64, fromBase64 } from "../wire/bytes.js";
import { Link } from "./link.js";
import { StandIn } from "./stand_in.js";

// Peers that pass a signal on when no signaling server can.
const FORWARDERS = 3;

// A peer that no server lists any more is given this long to be back, as its server may be starting.
const BACK_WITHIN_MS = 10_000;

const isPerson = ({ role }) => role === "operator-console" || role === "observer";

export class Mesh {
  // `self` is {key, chain, mesh, protocol, trust}; `process` carries what the page cannot; `on` hears changes.
  constructor(self, process, on) {
    Object.assign(this, { self, process, on });
    this.links = new Map();
    this.roster = new Map();
    this.iceServers = [];
    this.signaling = { up: false, why: "not reached yet" };
    this.standIn = new StandIn(this);
  }

  get agents() {
    return [...this.links.values()].filter(({ role }) => role === "agent").sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  // Everybody who is no agent, as signaling lists them.
  get others() {
    return [...this.roster.values()].filter(({ role }) => role !== "agent").sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get people() {
    return [...this.links.values()].filter(isPerson);
  }

  // What the way to the signaling server says.
  async hearSignaling(said) {
    if (said === "up") return;
    if (said.down !== undefined) {
      this.signaling = { up: false, why: said.down };
      this.on.changed();
      return;
    }
    const word = JSON.parse(said.heard);
    const [what, value] = typeof word === "string" ? [word, null] : Object.entries(word)[0];
    switch (what) {
      case "challenge":
        await this.register(value);
        break;
      case "welcome":
        this.signaling = { up: true, why: "" };
        await this.welcome(value.peers);
        break;
      case "joined":
        await this.joined(value.chain);
        break;
      case "left":
        this.gone(value.peer);
        break;
      case "signal":
        await this.links.get(value.from)?.signal(value.signal);
        break;
      case "news":
        this.news(value);
        break;
      case "ice":
        // for connections that are made from now on
        this.iceServers = value;
        break;
      case "refused":
        this.signaling = { up: false, why: value.reason };
        break;
      default:
        break;
    }
    this.on.changed();
  }

  async register({ nonce }) {
    const { key, chain, mesh, protocol } = this.self;
    const proof = toBase64(await key.sign("register", fromBase64(nonce)));
    this.process.signaling({ register: { protocol, mesh, chain, proof } });
  }

  async welcome(chains) {
    const listed = new Set();
    for (const chain of chains) {
      const identity = await this.joined(chain);
      if (identity) listed.add(identity.peer);
    }
    // those who were listed before have a while to come back to the server
    setTimeout(() => {
      if (!this.signaling.up) return;
      for (const peer of [...this.roster.keys()]) if (!listed.has(peer) && !this.rejoined.has(peer)) this.gone(peer);
    }, BACK_WITHIN_MS);
    this.rejoined = new Set();
    for (const link of this.links.values()) link.signalingBack();
  }

  async joined(chain) {
    let identity;
    try {
      identity = await this.self.trust.check(chain);
    } catch (error) {
      this.note(`a peer was refused: ${error.message}`);
      return null;
    }
    if (identity.peer === this.self.key.peer) return null;
    this.rejoined?.add(identity.peer);
    this.roster.set(identity.peer, identity);
    if ((identity.role === "agent" || isPerson(identity)) && !this.links.has(identity.peer)) {
      this.links.set(identity.peer, new Link(this, identity));
      this.on.changed();
    }
    return identity;
  }

  // No server lists the peer any more. Its link may still work.
  gone(peer) {
    this.roster.delete(peer);
    const link = this.links.get(peer);
    if (link && !link.isUp) this.left(peer);
  }

  // The peer leaves on purpose, or has left.
  left(peer) {
    this.roster.delete(peer);
    const link = this.links.get(peer);
    if (!link) return;
    link.end();
    this.links.delete(peer);
    this.on.unlinked(link);
    this.on.changed();
  }

  // Carries a signal by every way there is now.
  carry(to, signal) {
    if (this.signaling.up) {
      this.process.signaling({ signal: { to, signal } });
      return;
    }
    const others = [...this.links.values()].filter((link) => link.isUp && link.peer !== to).slice(0, FORWARDERS);
    for (const link of others) link.live.send({ Forward: { to, signal } });
  }

  forwarded({ from, signal }) {
    this.links.get(from)?.signal(signal).catch((error) => this.note(error.message));
  }

  // The process knows the line of root keys, and says what follows from what was heard.
  news(news) {
    this.process.news(news);
  }

  trust(trusted) {
    this.self.trust.learn(trusted);
    for (const link of [...this.links.values()]) {
      try {
        this.self.trust.admits(link.identity);
      } catch (error) {
        this.note(`${link.name}: ${error.message}`);
        this.left(link.peer);
      }
    }
  }

  // Answers a call of a peer: only people say things to people.
  serve(link, request) {
    const news = request.Hear?.news;
    if (!news || !isPerson(link)) return { Hear: { Err: { Failed: "a page only hears people" } } };
    this.on.heard(link.name, news);
    return { Hear: { Ok: null } };
  }

  // Tells the other people; gives how many heard it.
  async tell(news) {
    const telling = this.people.filter(({ way }) => way !== "none").map((link) => link.call({ Hear: { news } }));
    const told = await Promise.allSettled(telling);
    return told.filter(({ status }) => status === "fulfilled").length;
  }

  changed(link) {
    // one that no server lists, and whose link does not work either, has left
    if (!link.isUp && this.signaling.up && !this.roster.has(link.peer)) {
      this.left(link.peer);
      return;
    }
    if (link.way === "none") this.on.unlinked(link);
    else this.on.linked(link);
    this.standIn.consider();
    this.on.changed();
  }

  note(text) {
    this.on.note(text);
  }
}
