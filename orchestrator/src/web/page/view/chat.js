// The chat: lines are read by the one parser of the terminal's chat, in the process that served this page; the calls that they
// come to are this page's own.

import { byId, el, mark } from "./dom.js";

// Blocks that stay on the page; those before can be asked for again.
const MOST_BLOCKS = 400;
const MOST_HISTORY = 200;

// Columns, frames and carets mean nothing once their lines are broken.
const TABLE = /\S {2,}\S|^\s+[|:,`]/m;

export class Chat {
  constructor(page) {
    Object.assign(this, { page, place: byId("said"), input: byId("line"), list: byId("words"), history: [], at: 0, asked: 0, words: [], chosen: -1, from: 0 });
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.submit(this.input.value)) this.input.value = "";
    });
    this.input.addEventListener("input", () => this.ask());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.close());
    this.place.append(el("p", { class: "empty" }, "Ask an agent: @all ping. Commands begin with /, as /help and /fault; anything else is said to the other people."));
  }

  // Whether somebody reads the line.
  submit(line) {
    if (!line.trim()) return false;
    this.close();
    this.block("line", line);
    if (!this.page.process.line(line)) {
      this.block("note", "nobody reads this line now: the process that served this page does not answer");
      return false;
    }
    this.history.push(line);
    this.history.splice(0, this.history.length - MOST_HISTORY);
    this.at = this.history.length;
    return true;
  }

  said({ kind, text }) {
    this.block(kind, text.replace(/\n+$/, ""));
  }

  block(kind, text) {
    this.place.querySelector(".empty")?.remove();
    const sticks = this.place.scrollTop + this.place.clientHeight >= this.place.scrollHeight - 30;
    const block = el("pre", { class: TABLE.test(text) ? `${kind} table` : kind }, text);
    this.place.append(block);
    while (this.place.childElementCount > MOST_BLOCKS) this.place.firstElementChild.remove();
    if (!sticks && kind !== "line") return;
    this.place.scrollTop = this.place.scrollHeight;
    // an answer that is longer than what is in sight is read from its line on
    const line = [...this.place.querySelectorAll(".line")].at(-1);
    if (line && block.offsetHeight > this.place.clientHeight) this.place.scrollTop -= this.place.getBoundingClientRect().top - line.getBoundingClientRect().top;
  }

  // Completion

  ask() {
    this.asked += 1;
    const line = this.input.value.slice(0, this.input.selectionStart);
    Object.assign(this, { waits: line.trim() !== "", tabbed: false });
    this.page.process.say({ complete: { number: this.asked, line } });
  }

  candidates({ number, from, words }) {
    if (number !== this.asked || document.activeElement !== this.input) return;
    const { tabbed } = this;
    Object.assign(this, { words, from, chosen: -1, waits: false, tabbed: false });
    this.list.replaceChildren(...words.slice(0, 60).map(({ word, about }, at) => {
      const option = el("li", { role: "option", id: `word-${at}`, "aria-selected": "false" }, el("b", {}, word), el("span", { class: "soft" }, about));
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        this.take(at);
      });
      return option;
    }));
    this.list.hidden = words.length === 0;
    mark(this.input, "aria-expanded", String(words.length > 0));
    if (tabbed && words.length > 0) this.tab();
  }

  // The only word is taken, of several the next is pointed at; one whose words are still on their way is heeded when they come. Where
  // nothing is proposed, and after Escape, Tab leads on.
  tab() {
    if (this.list.hidden) {
      this.tabbed = Boolean(this.waits);
      return this.tabbed;
    }
    if (this.words.length === 1) this.take(0);
    else this.choose(this.chosen + 1);
    return true;
  }

  choose(at) {
    const options = [...this.list.children];
    this.chosen = (at + options.length) % options.length;
    options.forEach((option, number) => mark(option, "aria-selected", String(number === this.chosen)));
    options[this.chosen].scrollIntoView({ block: "nearest" });
    mark(this.input, "aria-activedescendant", `word-${this.chosen}`);
  }

  take(at) {
    const { value, selectionStart } = this.input;
    const before = `${value.slice(0, this.from)}${this.words[at].word} `;
    this.input.value = before + value.slice(selectionStart);
    this.input.setSelectionRange(before.length, before.length);
    this.close();
    this.ask();
  }

  close() {
    this.list.hidden = true;
    Object.assign(this, { chosen: -1, waits: false, tabbed: false });
    this.asked += 1;
    mark(this.input, "aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const open = !this.list.hidden;
    const keys = {
      Tab: () => (event.shiftKey ? false : this.tab()),
      ArrowDown: () => (open ? this.choose(this.chosen + 1) : this.recall(1)),
      ArrowUp: () => (open ? this.choose(this.chosen < 0 ? -1 : this.chosen - 1) : this.recall(-1)),
      Enter: () => (open && this.chosen >= 0 ? this.take(this.chosen) : false),
      Escape: () => (open || this.waits ? this.close() : false),
    };
    const done = keys[event.key]?.();
    if (done !== false && keys[event.key]) event.preventDefault();
  }

  recall(step) {
    if (this.history.length === 0) return;
    this.at = Math.max(0, Math.min(this.history.length, this.at + step));
    this.input.value = this.history[this.at] ?? "";
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
  }
}
