// One generation of a link: a WebRTC connection whose two channels were agreed before the offer, and the signed hello on it.
// It is made to be thrown away. As proto/mesh's rtc.rs and carrier have it, on the other side.

import { fromHex, random, sha256, text, utf8 } from "../wire/bytes.js";
import { verify } from "../wire/identity.js";

// This machine's own addresses are there at once; a STUN or TURN server that has not answered by then is done without.
const GATHERED_WITHIN_MS = 900;

// Above it the channel would be closed by the browser; nobody of ours comes near.
const MOST_UNSENT_BYTES = 4 * 1024 * 1024;

export class Connection {
  // `on` hears open(), frame(frame, bytes) and ended(why), the last once.
  constructor({ self, iceServers }, peer, generation, on) {
    Object.assign(this, { self, peer, generation, on, ended: false, heard: 0, sent: 0 });
    this.rtc = new RTCPeerConnection({ iceServers });
    const channel = (label, id) => {
      const made = this.rtc.createDataChannel(label, { negotiated: true, id, ordered: true });
      made.binaryType = "arraybuffer";
      made.onclose = () => this.end("the peer closed it");
      return made;
    };
    this.main = channel("control", 0);
    this.events = channel("events", 1);
    this.words = this.take();
    this.words.next();
    this.queue = Promise.resolve();
    // one after the other, also where a signature is looked into
    this.main.onmessage = ({ data }) => {
      this.heard += data.byteLength ?? data.length;
      this.queue = this.queue.then(() => this.message(data)).catch((error) => this.end(error.message));
    };
    this.rtc.onconnectionstatechange = () => {
      if (this.rtc.connectionState === "failed") this.end("no path to the peer");
    };
  }

  async offer() {
    this.greeted = false;
    this.main.onopen = () => {};
    await this.rtc.setLocalDescription(await this.rtc.createOffer());
    await this.gathered();
    this.offered = this.rtc.localDescription.sdp;
    return this.offered;
  }

  async answer(sdp) {
    // the answerer greets, and both begin
    this.greeted = true;
    this.main.onopen = () => {
      this.main.send(utf8("open"));
      this.hello().catch((error) => this.end(error.message));
    };
    await this.rtc.setRemoteDescription({ type: "offer", sdp });
    await this.rtc.setLocalDescription(await this.rtc.createAnswer());
    await this.gathered();
    return this.rtc.localDescription.sdp;
  }

  async accept(sdp) {
    await this.rtc.setRemoteDescription({ type: "answer", sdp });
  }

  async gathered() {
    if (this.rtc.iceGatheringState === "complete") return;
    await Promise.race([
      new Promise((done) => {
        this.rtc.onicegatheringstatechange = () => this.rtc.iceGatheringState === "complete" && done();
      }),
      new Promise((done) => setTimeout(done, GATHERED_WITHIN_MS)),
    ]);
  }

  send(frame) {
    if (this.ended || this.main.readyState !== "open" || this.main.bufferedAmount > MOST_UNSENT_BYTES) return false;
    const bytes = utf8(JSON.stringify(frame));
    this.sent += bytes.length;
    this.main.send(bytes);
    return true;
  }

  end(why) {
    if (this.ended) return;
    this.ended = true;
    this.rtc.onconnectionstatechange = null;
    this.rtc.close();
    this.on.ended(why);
  }

  async message(data) {
    if (this.ended) return;
    const said = typeof data === "string" ? data : text(new Uint8Array(data));
    if (!this.greeted) {
      if (said !== "open") throw new Error("something other than a greeting came first");
      this.greeted = true;
      await this.hello();
      return;
    }
    const frame = JSON.parse(said);
    if (this.isOpen) {
      this.on.frame(frame);
      return;
    }
    await this.words.next(frame);
  }

  async hello() {
    this.nonce = random(32);
    const { key, chain, protocol } = this.self;
    this.send({ Hello: { protocol, chain, nonce: [...this.nonce] } });
  }

  // The signed hello: nothing else is accepted before both sides proved their keys over this very DTLS session.
  async *take() {
    const first = yield;
    if (first.Refuse) throw new Error(`the peer refused: ${first.Refuse}`);
    if (!first.Hello) throw new Error("something other than a hello came first");
    const theirs = first.Hello;
    if (theirs.protocol.major !== this.self.protocol.major) {
      throw new Error(`this page speaks protocol ${this.self.protocol.major}, the other ${theirs.protocol.major}`);
    }
    const identity = await this.self.trust.check(theirs.chain);
    if (identity.peer !== this.peer) throw new Error("another peer answered than the one that was meant");
    const ours = { peer: this.self.key.peer, nonce: [...this.nonce], certificate: [...(await this.localCertificate())] };
    const other = { peer: this.peer, nonce: theirs.nonce, certificate: [...(await this.remoteCertificate())] };
    const transcript = (signer, seen) =>
      utf8(JSON.stringify({ signer, other: seen, kind: "control", generation: this.generation }));
    this.send({ Proof: [...(await this.self.key.sign("hello", transcript(ours, other)))] });
    const second = yield;
    if (second.Refuse) throw new Error(`the peer refused: ${second.Refuse}`);
    if (!second.Proof) throw new Error("something other than a proof came");
    await verify(this.peer, "hello", transcript(other, ours), Uint8Array.from(second.Proof));
    this.isOpen = true;
    this.on.open();
  }

  async localCertificate() {
    const line = this.rtc.localDescription.sdp.match(/^a=fingerprint:sha-256 ([0-9A-Fa-f:]+)/m);
    return fromHex(line[1].replaceAll(":", ""));
  }

  // As it was presented, whatever the description said.
  async remoteCertificate() {
    const [presented] = this.rtc.sctp.transport.getRemoteCertificates();
    return sha256(presented);
  }

  // The pair of candidates in use, with its bytes.
  async path() {
    const stats = await this.rtc.getStats();
    for (const pair of stats.values()) {
      if (pair.type === "candidate-pair" && pair.nominated && pair.state === "succeeded") {
        return { bytesSent: pair.bytesSent, bytesReceived: pair.bytesReceived, rtt: pair.currentRoundTripTime };
      }
    }
    return null;
  }
}
