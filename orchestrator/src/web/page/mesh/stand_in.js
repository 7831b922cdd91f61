// Where no UDP passes between this page and its peers, a peer in the process that served it stands in: the frames of a link
// go over the socket to it, and it calls with the page's grant. Direct connections are tried on, and used once they are there.

// How long a first direct connection may take before somebody stands in: an attempt and a half.
const PATIENCE_MS = 6_000;

const BEAT_MS = 1_000;

export class StandIn {
  constructor(mesh) {
    Object.assign(this, { mesh, wanted: false, links: new Map(), why: "", began: performance.now(), beat: 0, beats: new Map() });
    this.rtt = null;
    setInterval(() => this.tick(), BEAT_MS);
  }

  // Whether frames for that peer have a way.
  carries(peer) {
    return this.links.get(peer)?.state === "up";
  }

  send(peer, frame) {
    if (!this.carries(peer)) return false;
    const link = this.mesh.links.get(peer);
    if (link) link.bytes.sent += JSON.stringify(frame).length;
    return this.mesh.process.frame(peer, frame);
  }

  // Somebody stands in while an agent has no direct link for long, or the browser has no WebRTC.
  consider() {
    const missed = this.mesh.agents.filter(({ isUp }) => !isUp);
    const late = missed.some(({ since }) => Date.now() - since > PATIENCE_MS) || typeof RTCPeerConnection === "undefined";
    if (missed.length > 0 && late) this.want(true);
    if (missed.length === 0 && this.mesh.agents.length > 0) this.want(false);
  }

  want(wanted) {
    if (this.wanted === wanted) return;
    this.wanted = wanted;
    if (!wanted) this.links.clear();
    this.mesh.process.standIn(wanted);
  }

  // The socket is a new one, and whoever stood in is gone.
  reset() {
    const { wanted } = this;
    this.wanted = false;
    this.links.clear();
    this.want(wanted);
  }

  hear(said) {
    if (said.Err !== undefined) {
      this.why = said.Err;
      this.links.clear();
    } else if (this.wanted) {
      this.links = new Map(said.Ok.map((link) => [link.peer, link]));
    }
    for (const link of [...this.mesh.agents, ...this.mesh.people]) if (!link.isUp) this.mesh.changed(link);
  }

  frame({ peer, frame }) {
    if (frame.BeatAnswer !== undefined) {
      const sentAt = this.beats.get(frame.BeatAnswer);
      if (sentAt !== undefined) this.rtt = performance.now() - sentAt;
      this.beats.clear();
      return;
    }
    const link = this.mesh.links.get(peer);
    if (link) link.bytes.received += JSON.stringify(frame).length;
    if (frame.Reply) link?.calls.frame("Reply", frame.Reply, null);
  }

  // Of a call through it, if there is a way: to the process and from there to the peer.
  roundTrip(peer) {
    const link = this.links.get(peer);
    return link?.rtt_us != null && this.rtt != null ? this.rtt + link.rtt_us / 1000 : null;
  }

  tick() {
    this.consider();
    const [peer] = [...this.links.keys()].filter((peer) => this.carries(peer));
    if (peer === undefined) return;
    this.beat += 1;
    this.beats.set(this.beat, performance.now());
    this.mesh.process.frame(peer, { Beat: this.beat });
  }
}
