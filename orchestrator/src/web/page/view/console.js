// Everything that is seen, drawn at most once a frame from what is known.

import { Chat } from "./chat.js";
import { Feed } from "./feed.js";
import { Health } from "./health.js";
import { Lanes } from "./lanes.js";
import { Topology } from "./topology.js";
import { Verdict } from "./verdict.js";

// Time goes on also where nothing happens.
const TICK_MS = 1_000;

export class Console {
  constructor(page) {
    this.page = page;
    this.views = [new Verdict(), new Topology(), new Health(), new Lanes(), new Feed()];
    this.chat = new Chat(page);
    this.drawn = 0;
    setInterval(() => this.changed(), TICK_MS);
    this.changed();
  }

  changed() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.drawn += 1;
      for (const view of this.views) view.draw(this.page);
    });
  }

  said(said) {
    this.chat.said(said);
  }

  candidates(candidates) {
    this.chat.candidates(candidates);
  }

  note(text) {
    this.chat.said({ kind: "note", text });
  }
}
