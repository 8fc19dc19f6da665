// Elements made from text alone: nothing a model wrote is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

// Control marks, zero-width marks, and marks that turn the direction of what comes after them.
const MARKS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "checked" || name === "hidden" || name === "value") element[name] = value;
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function node(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

export function drawing(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

export function visible(text) {
  const code = (mark) => mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return String(text).replace(MARKS, (mark) => `\u27e8U+${code(mark)}\u27e9`);
}

// What somebody else wrote, in an element that keeps its direction to itself.
export function said(text) {
  return node("bdi", { class: "said" }, visible(text));
}

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

export function shortNumber(value, digits = 3) {
  if (!isNumber(value)) return "\u2013";
  return Number.isInteger(value) && Math.abs(value) > 1 ? String(value) : value.toFixed(digits);
}

export function choice(label, options, value, changed) {
  const select = node("select", { "aria-label": label, onchange: () => changed(select.value) });
  select.append(...options.map(([key, text]) => node("option", { value: key }, visible(text))));
  select.value = value;
  return node("label", {}, node("span", {}, label), select);
}
