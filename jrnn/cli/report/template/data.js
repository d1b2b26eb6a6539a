"use strict";
// The scripts of this folder are one, in the order of command.py. Names, settings and
// samples come from files of anyone's: they only ever reach the page as text
// (textContent), never as HTML.

const by = (id) => document.getElementById(id);
const about = JSON.parse(by("about").textContent);

// Elements

function made(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Text

/** A text in which characters without a picture have one. */
const visible = (text) => text
  .replace(/[\x00-\x08\x0b-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
  .replace(/\x7f/g, "\u2421")
  .replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (c) => `\u27e8${c.charCodeAt(0).toString(16)}\u27e9`);

const minus = (text) => text.replace("-", "\u2212");

/** A number as people read it: in four digits, or all of a whole one. */
function shown(x) {
  if (x === null || x === undefined) return "\u2013";
  if (typeof x === "string") return visible(x);
  if (Number.isInteger(x)) return minus(x.toLocaleString("en"));
  const size = Math.abs(x);
  if (size >= 10000) return minus(Math.round(x).toLocaleString("en"));
  if (size < 0.0005) return minus(x.toExponential(2));
  return minus(x.toPrecision(4));
}

const percent = (x) => (x === null || x === undefined ? "\u2013" : `${(100 * x).toFixed(1)} %`);

/** The colour of a run; beyond eight they repeat, with other dashes. */
const looks = (n) => `c${n % 8} dash${Math.floor(n / 8) % 4}`;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function mixed(a, b, share) {
  const channel = (c, i) => parseInt(c.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mix = [0, 1, 2].map((i) => Math.round(channel(a, i) * (1 - share) + channel(b, i) * share));
  return `rgb(${mix.join()})`;
}
