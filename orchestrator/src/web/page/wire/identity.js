// Who a peer is: root key -> token -> instance, as proto/src/identity.rs has it.

import { concat, fromBase32, fromBase64, toBase32, utf8 } from "./bytes.js";

// Clocks may differ by so much.
const CLOCK_SKEW_S = 120;

const labelled = (label, bytes) => concat(utf8(`meshproof 1 ${label}\0`), bytes);

// Drawings of a key at most.
const MOST_DRAWN = 256;

// The key of this page. It is made here, and nobody can take it out of the browser.
export class Key {
  // One that is lower than nearly all: the lower peer offers, and a browser that answers loses more than a second, as its first
  // words of DTLS come before the other side listens.
  static async draw() {
    let key = await Key.make();
    for (let drawn = 1; key.bytes[0] >= 8 && drawn < MOST_DRAWN; drawn += 1) key = await Key.make();
    return key;
  }

  static async make() {
    const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
    const bytes = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    return new Key(pair.privateKey, bytes);
  }

  constructor(secret, bytes) {
    this.secret = secret;
    this.bytes = bytes;
    this.peer = toBase32(bytes);
  }

  // A signature for one purpose is none for another.
  async sign(label, bytes) {
    return new Uint8Array(await crypto.subtle.sign("Ed25519", this.secret, labelled(label, bytes)));
  }
}

// Throws when `peer` has not signed these bytes for that purpose.
export async function verify(peer, label, bytes, signature) {
  const key = await crypto.subtle.importKey("raw", fromBase32(peer), { name: "Ed25519" }, false, ["verify"]);
  if (!(await crypto.subtle.verify("Ed25519", key, signature, labelled(label, bytes)))) {
    throw new Error(`the ${label} is not signed by the key it names`);
  }
}

const matches = (pattern, name) => {
  const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(name);
};

// Whom a page trusts: what its process has learned of the mesh's root keys.
export class Trust {
  constructor(mesh, { roots, revoked }) {
    this.mesh = mesh;
    this.learn({ roots, revoked });
  }

  learn({ roots, revoked }) {
    this.roots = roots;
    this.revoked = new Set(revoked);
  }

  // Who a chain is of. Throws when it does not hold.
  async check(chain) {
    const grant = JSON.parse(chain.grant.text);
    const root = await this.rootOf(chain.grant);
    await verify(grant.token, "claim", utf8(chain.claim.text), fromBase64(chain.claim.signature));
    const claim = JSON.parse(chain.claim.text);
    if (grant.mesh !== this.mesh) throw new Error(`the grant is for mesh ${grant.mesh}`);
    if (!matches(grant.names, claim.name)) throw new Error(`the grant allows no ${claim.name}`);
    const identity = {
      peer: claim.instance,
      name: claim.name,
      role: grant.role,
      capabilities: grant.capabilities,
      issued: { token: grant.token, root, notAfter: grant.not_after },
    };
    this.admits(identity);
    return identity;
  }

  // Throws when what a peer came with is no longer good.
  admits({ issued }) {
    if (Date.now() / 1000 > issued.notAfter + CLOCK_SKEW_S) throw new Error("its token has ended");
    if (this.revoked.has(issued.token) || this.revoked.has(issued.root)) throw new Error("its token was revoked");
  }

  async rootOf(grant) {
    for (const root of [...this.roots].reverse()) {
      try {
        await verify(root, "grant", utf8(grant.text), fromBase64(grant.signature));
        return root;
      } catch {
        // of another root key, perhaps of the one before
      }
    }
    throw new Error("no root key of this mesh signed the grant");
  }
}
