// What happened, line by line, as the terminal of the run says it. Only the lines in sight are elements.

import { byId, el, mark, say } from "./dom.js";
import { clock } from "./words.js";

// Lines beyond those in sight, so that scrolling shows no gap.
const AROUND = 12;

export class Feed {
  constructor() {
    Object.assign(this, { place: byId("lines"), input: byId("filter"), found: [], looked: 0, dropped: 0, journal: null, sticks: true, words: [], not: [], chosen: null, row: 21 });
    this.space = el("div", { class: "space" });
    this.place.append(this.space);
    this.rows = [];
    this.empty = el("p", { class: "empty" });
    this.place.addEventListener("scroll", () => this.scrolled());
    this.input.addEventListener("input", () => this.filter());
    byId("newest").addEventListener("click", () => {
      this.sticks = true;
      this.place.focus();
      this.show();
    });
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.space.addEventListener("click", ({ target }) => {
      const row = target.closest(".line");
      if (row) this.choose(Number(row.dataset.at));
    });
    new ResizeObserver(() => {
      // a line is as high as the style sheet says
      this.row = parseFloat(getComputedStyle(this.place).getPropertyValue("--row"));
      this.show();
    }).observe(this.place);
  }

  // The arrow keys go from line to line; the whole of one stands below.
  key(event) {
    const last = this.found.length - 1;
    const from = this.chosen ?? last + 1;
    const to = { ArrowUp: from - 1, ArrowDown: from + 1, Home: 0, End: last, Escape: null }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.choose(to === null ? null : Math.max(0, Math.min(last, to)));
  }

  choose(at) {
    this.chosen = at;
    const whole = byId("whole");
    whole.hidden = at === null;
    if (at !== null) {
      const { at: when, from, word, text } = this.found[at];
      say(whole, `${clock(when)} ${from} ${word}\n${text}`);
      const top = at * this.row;
      const { scrollTop, clientHeight } = this.place;
      this.sticks = false;
      if (top < scrollTop) this.place.scrollTop = top;
      if (top + this.row > scrollTop + clientHeight) this.place.scrollTop = top + this.row - clientHeight;
    }
    this.show();
  }

  // As `/filter` of the chat: words that a line must have, and with ! those that it must not.
  filter() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter((word) => word && word !== "!");
    this.words = words.filter((word) => !word.startsWith("!"));
    this.not = words.filter((word) => word.startsWith("!")).map((word) => word.slice(1));
    Object.assign(this, { found: [], looked: 0, sticks: true });
    this.choose(null);
    if (this.page) this.draw(this.page);
  }

  shows({ from, word, text }) {
    if (this.words.length === 0 && this.not.length === 0) return true;
    const line = `${from} ${word} ${text}`.toLowerCase();
    return this.words.every((wanted) => line.includes(wanted)) && !this.not.some((word_) => line.includes(word_));
  }

  draw(page) {
    const { run, link } = page;
    this.page = page;
    if (this.journal !== run.journal || run.dropped !== this.dropped || this.looked > run.lines.length) {
      Object.assign(this, { found: [], looked: 0, journal: run.journal, dropped: run.dropped });
    }
    const before = this.found.length;
    for (; this.looked < run.lines.length; this.looked += 1) {
      const line = run.lines[this.looked];
      if (this.shows(line)) this.found.push(line);
    }
    if (this.found.length !== before || this.found.length === 0 || before === 0) this.show();
    const all = run.lines.length + run.dropped;
    const about = this.found.length === run.lines.length ? `${all.toLocaleString("en")} lines` : `${this.found.length.toLocaleString("en")} of ${all.toLocaleString("en")} lines`;
    say(byId("feed-about"), run.dropped > 0 ? `${about}; the first ${run.dropped.toLocaleString("en")} are in the journal` : about);
    this.say(run, link);
  }

  say(run, link) {
    const why = run.lines.length === 0
      ? (run.silence ? `Nothing to read: ${run.silence}.` : link.refused ? "Nothing to read without a token that is good here." : "Waiting for the run's journal…")
      : "No line has these words. `!word` leaves lines out.";
    if (this.found.length > 0) this.empty.remove();
    else {
      say(this.empty, why);
      if (!this.empty.isConnected) this.place.append(this.empty);
    }
  }

  scrolled() {
    const { scrollTop, clientHeight } = this.place;
    const isAtEnd = scrollTop + clientHeight >= this.found.length * this.row - this.row;
    // a window that changes its size scrolls, too
    if (isAtEnd) this.sticks = true;
    else if (clientHeight === this.high) this.sticks = false;
    this.show();
  }

  show() {
    const { place, found } = this;
    this.high = place.clientHeight;
    this.space.style.height = `${found.length * this.row}px`;
    if (this.sticks) place.scrollTop = found.length * this.row;
    byId("newest").hidden = this.sticks || found.length === 0;
    const first = Math.max(0, Math.floor(place.scrollTop / this.row) - AROUND);
    const last = Math.min(found.length, Math.ceil((place.scrollTop + place.clientHeight) / this.row) + AROUND);
    while (this.rows.length < last - first) {
      const row = { line: el("div", { class: "line" }), parts: ["time", "from", "word", "text"].map((part) => el("span", { class: part })) };
      row.line.append(...row.parts);
      this.rows.push(row);
      this.space.append(row.line);
    }
    while (this.rows.length > last - first) this.rows.pop().line.remove();
    this.rows.forEach((row, at) => this.fill(row, found[first + at], first + at));
  }

  fill({ line, parts }, { at, from, tone, word, text }, number) {
    line.style.transform = `translateY(${number * this.row}px)`;
    line.dataset.at = number;
    mark(line, "aria-current", String(number === this.chosen));
    if (line.dataset.tone !== tone) line.dataset.tone = tone;
    say(parts[0], clock(at));
    say(parts[1], from);
    say(parts[2], word);
    say(parts[3], text.replaceAll("\n", " · "));
  }
}
