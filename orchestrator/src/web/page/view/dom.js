// Elements of the page. Whatever others wrote comes in as text, and as nothing else: there is no way for markup.
// Marks that reorder, hide or drive what stands around them are shown as escapes, as report/sanitise.rs does it.

const SVG = "http://www.w3.org/2000/svg";

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;
const ALL_HIDDEN = new RegExp(HIDDEN.source, "gu");

export function clean(text) {
  if (!HIDDEN.test(text)) return text;
  return text.replace(ALL_HIDDEN, (mark) => (mark === "\r" ? "\\r" : `\\u{${mark.codePointAt(0).toString(16)}}`));
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : clean(String(value)));
  }
  const there = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...there.map((child) => (typeof child === "string" ? clean(child) : child)));
  return element;
}

export const el = (name, properties = {}, ...children) => fill(document.createElement(name), properties, children);
export const svg = (name, properties = {}, ...children) => fill(document.createElementNS(SVG, name), properties, children);

// Changes a text only where it has changed, so that nothing is selected away or read twice.
export function say(element, text) {
  const shown = clean(text);
  if (element.textContent !== shown) element.textContent = shown;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export const byId = (id) => document.getElementById(id);
