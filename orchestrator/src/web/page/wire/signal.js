// What two peers say before they have a connection: signed, so that whoever carries it can only lose it (proto/src/signal.rs).

import { fromBase64, toBase64, utf8 } from "./bytes.js";
import { verify } from "./identity.js";

const LIFETIME_S = 30;
const CLOCK_SKEW_S = 120;
const MOST_BYTES = 64 * 1024;

const now = () => Math.floor(Date.now() / 1000);

// `body` is {"offer":{"sdp":…}}, {"answer":{"offer":digest,"sdp":…}} or "please-offer".
export async function seal({ key, mesh }, to, generation, body) {
  const signal = { mesh, from: key.peer, to, kind: "control", codec: "Json", generation, expires: now() + LIFETIME_S, body };
  const text = JSON.stringify(signal);
  return { text, signature: toBase64(await key.sign("signal", utf8(text))) };
}

// Throws when the signal is not of `from`, for us, and of now.
export async function open({ key, mesh }, from, signed) {
  if (signed.text.length > MOST_BYTES) throw new Error("a signal is too large");
  await verify(from, "signal", utf8(signed.text), fromBase64(signed.signature));
  const signal = JSON.parse(signed.text);
  if (signal.from !== from || signal.to !== key.peer || signal.mesh !== mesh) throw new Error("a signal is for others");
  if (now() > signal.expires + CLOCK_SKEW_S) throw new Error("a signal has expired");
  return signal;
}
