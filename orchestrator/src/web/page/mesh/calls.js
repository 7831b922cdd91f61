// tarpc in JSON over the frames of a link: calls of the peer's service, and calls that the peer makes.

import { fromBase64, text, toBase64, utf8, concat } from "../wire/bytes.js";

// A frame is at most 60 KiB, and base64 makes four characters of three bytes.
const PIECE_BYTES = 45_000;

const TRACE = { trace_id: new Array(16).fill(0), span_id: 0, sampling_decision: "Unsampled" };

export class Calls {
  // `send` takes a frame, and says whether there was a way for it.
  constructor(send) {
    this.send = send;
    this.number = 0;
    this.waiting = new Map();
    this.pieces = { Call: [], Reply: [] };
  }

  // Calls, and gives what came back. `request` is {"Ping":{"number":1}}; throws when it is refused or not answered.
  async call(request, within = 2_000) {
    const reply = JSON.parse(await this.raw(JSON.stringify(request), within));
    const [method] = Object.keys(request);
    if (reply.message.Err) throw new Error(reply.message.Err.detail ?? "the call failed");
    const came = reply.message.Ok[method];
    if (came !== null && typeof came === "object" && "Err" in came) throw new Refused(came.Err);
    return came !== null && typeof came === "object" && "Ok" in came ? came.Ok : came;
  }

  // The same for a request and a reply as they are written: numbers stay as they are.
  raw(request, within) {
    this.number += 1;
    const id = this.number;
    const seconds = Math.floor(within / 1000);
    const deadline = { secs: seconds, nanos: Math.floor((within - seconds * 1000) * 1e6) };
    const context = JSON.stringify({ deadline, trace_context: TRACE });
    const message = `{"Request":{"context":${context},"id":${id},"message":${request}}}`;
    return new Promise((came, failed) => {
      const timer = setTimeout(() => this.fail(id, `no answer within ${within / 1000} s`), within);
      this.waiting.set(id, { came, failed, timer });
      if (!this.say("Call", message)) this.fail(id, "there is no way to the peer now");
    });
  }

  // A frame of the other side. `serve` answers its calls.
  async frame(what, piece, serve) {
    this.pieces[what].push(fromBase64(piece.bytes));
    if (!piece.last) return;
    const message = text(concat(...this.pieces[what]));
    this.pieces[what] = [];
    if (what === "Reply") {
      const { request_id: id } = JSON.parse(message);
      const waiting = this.waiting.get(id);
      if (!waiting) return;
      this.forget(id);
      waiting.came(message);
      return;
    }
    const { Request: request } = JSON.parse(message);
    if (!request) return;
    const answer = { request_id: request.id, message: { Ok: serve(request.message) } };
    this.say("Reply", JSON.stringify(answer));
  }

  // Calls on their way are lost with the connection that carried them.
  broke(why) {
    for (const id of [...this.waiting.keys()]) this.fail(id, `the call broke: ${why}`);
    this.pieces = { Call: [], Reply: [] };
  }

  say(what, message) {
    const bytes = utf8(message);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      if (!this.send({ [what]: { last: at + PIECE_BYTES >= bytes.length, bytes: toBase64(piece) } })) return false;
    }
    return true;
  }

  fail(id, why) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.forget(id);
    waiting.failed(new Error(why));
  }

  forget(id) {
    clearTimeout(this.waiting.get(id).timer);
    this.waiting.delete(id);
  }
}

// A peer would not do what it was asked for.
export class Refused extends Error {
  constructor(refusal) {
    super(typeof refusal === "string" ? refusal : JSON.stringify(refusal));
    this.refusal = refusal;
  }
}
