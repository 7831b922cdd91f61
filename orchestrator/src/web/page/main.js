// The page: joins the mesh, reads the run, and shows both. Everything else is in the folders:
// wire (what is signed and how it is written), mesh (links), run (what happened), view (what is seen).

import { Key, Trust } from "./wire/identity.js";
import { Mesh } from "./mesh/mesh.js";
import { Process } from "./mesh/process.js";
import { Run } from "./run/run.js";
import { Watch } from "./mesh/watch.js";
import { Console } from "./view/console.js";

const TOKEN = "meshproof-token";

// The token stands behind the #, which is sent to nobody; it is kept for a reload of this tab, and out of sight.
function token() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN);
}

class Page {
  constructor(key) {
    this.key = key;
    this.token = token();
    this.run = new Run();
    this.link = { up: false, refused: null };
    this.console = new Console(this);
    this.queue = Promise.resolve();
    this.process = new Process(() => this.hello(), {
      down: () => this.down(),
      refused: (why) => this.refused(why),
      word: (what, value) => this.word(what, value),
    });
  }

  hello() {
    const { journal, n } = this.run;
    return { token: this.token ?? "", instance: this.key.peer, name: this.me?.name ?? null, after: journal ? { journal, n } : null };
  }

  down() {
    this.link = { ...this.link, up: false };
    this.mesh?.hearSignaling({ down: "the process that served this page does not answer" });
    this.mesh?.standIn.hear({ Err: "the process that served this page does not answer" });
    this.console.changed();
  }

  refused(why) {
    this.link = { up: false, refused: why };
    this.console.changed();
  }

  // One after the other, also where a signature is looked into.
  word(what, value) {
    if (what === "signaling") {
      this.queue = this.queue.then(() => this.mesh?.hearSignaling(value)).catch((error) => this.console.note(error.message));
      return;
    }
    this.words[what]?.(value);
  }

  words = {
    welcome: (welcome) => this.welcome(welcome),
    trust: (trusted) => this.mesh.trust(trusted),
    frame: (frame) => this.mesh.standIn.frame(frame),
    "stand-in": (said) => this.mesh.standIn.hear(said),
    do: (call) => this.do(call),
    undo: () => {},
    tell: ({ number, news }) => this.mesh.tell(news).then((heard) => this.process.say({ told: { number, heard } })),
    said: (said) => this.console.said(said),
    candidates: (candidates) => this.console.candidates(candidates),
    journal: (journal) => this.run.begin(journal),
    records: (records) => this.records(records),
    "broke-off": (why) => {
      this.run.brokeOff(why);
      this.console.changed();
    },
    "no-journal": (why) => {
      this.run.unread(why);
      this.console.changed();
    },
  };

  welcome(welcome) {
    this.link = { up: true, refused: null };
    if (!this.mesh) {
      this.me = welcome;
      const { chain, mesh, protocol } = welcome;
      const self = { key: this.key, chain, mesh, protocol, trust: new Trust(mesh, welcome.trust) };
      this.mesh = new Mesh(self, this.process, {
        changed: () => this.console.changed(),
        linked: ({ peer, name, role }) => role === "agent" && this.process.say({ linked: { peer, name } }),
        unlinked: ({ peer, role }) => role === "agent" && this.process.say({ unlinked: { peer } }),
        heard: (by, news) => this.process.say({ heard: { by, news } }),
        note: (text) => this.console.note(text),
      });
      this.watch = new Watch(this.mesh, () => this.console.changed());
    } else {
      this.mesh.trust(welcome.trust);
      this.mesh.standIn.reset();
      for (const link of this.mesh.agents) {
        if (link.way !== "none") this.process.say({ linked: { peer: link.peer, name: link.name } });
      }
    }
    this.console.changed();
  }

  // A call of whoever reads this page's lines, over this page's link.
  async do({ peer, call, within_ms: within, request }) {
    let reply;
    try {
      const link = this.mesh.links.get(peer);
      if (!link) throw new Error("the page has no link to it any more");
      reply = await link.calls.raw(request, within);
    } catch (error) {
      reply = JSON.stringify({ request_id: call, message: { Err: { kind: 16, detail: error.message } } });
    }
    this.process.say({ did: { peer, call, reply } });
  }

  records(records) {
    for (const record of records) this.run.take(record);
    this.console.changed();
  }
}

try {
  // for whoever looks with the browser's tools
  globalThis.meshproof = new Page(await Key.draw());
} catch (error) {
  const notice = document.getElementById("notice");
  notice.hidden = false;
  notice.textContent = `This browser cannot be a peer: ${error.message}. It takes Ed25519 in WebCrypto, as Chromium 137 and later have it.`;
}
