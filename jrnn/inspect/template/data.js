"use strict";
// The scripts of this folder are one, in the order of page.py. It shows the arrays of the
// page: a text, or examples of a task, on a canvas, with one unit, gate or layer at a time.
// Texts only ever reach the page as text (textContent, fillText), never as HTML.

const by = (id) => document.getElementById(id);
const about = JSON.parse(by("about").textContent);

// Arrays, decoded when they are first asked for

const KINDS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };
const decoded = new Map();

function array(name) {
  let found = decoded.get(name);
  if (!found) {
    const element = by("a-" + name);
    if (!element) return null;
    const text = atob(element.textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    found = new KINDS[element.dataset.kind](bytes.buffer); // little-endian, as all are now
    if (decoded.size > 200) decoded.delete(decoded.keys().next().value);
    decoded.set(name, found);
  }
  return found;
}

const N = about.count;
const ONE = { char: "character", byte: "byte", word: "word", step: "step" }[about.level];
const WHOLE = ONE === "step" ? "examples" : "text";
const KIND_NAMES = { lstm: "LSTM", gru: "GRU", elman: "simple", irnn: "IRNN" };

// What is shown now

const state = {
  view: null, // what colours the text
  unit: 0, // of its part, where it has units
  states: null, // the last view that had units
  feature: "any",
  cursor: 0,
  ranking: [],
  centred: true, // white at the mean, not at zero
  scale: null, // from bytes to colours, see scaleNow
};

// Views: everything that can colour the text

const views = [];
about.layers.forEach((layer, place) => {
  const of = `${KIND_NAMES[layer.kind] || layer.kind} ${layer.name || "layer"}`;
  for (const part of layer.parts) {
    const id = `${place}-${part.key}`;
    views.push({ id, of, place, layer, part, label: part.label, signed: !part.gate });
  }
  for (const whole of layer.whole) {
    const id = `${place}-${whole.key}`;
    views.push({ id, of, place, layer, whole, label: `whole layer: ${whole.label}` });
  }
});
const LOSS = about.answers ? "Answers" : "Model";
if (array("nats")?.length === N) views.push({ id: "loss", of: LOSS, label: `loss of each ${ONE}`, loss: true });

const view = (id) => views.find((v) => v.id === id);

/** Values of the text under a view: bytes, and value = (byte - zero) * step. */
function values() {
  const v = state.view;
  if (v.loss) return { bytes: lossBytes(), zero: 0, step: about.nats.step * 257 };
  if (v.whole) return { bytes: array(v.id), zero: 0, step: v.whole.step };
  const place = v.part.units.indexOf(state.unit);
  const zero = v.signed ? 127 : 0;
  return { bytes: array(`${v.id}-${state.unit}`), zero, step: v.part.steps[place] };
}

let lossInBytes = null; // for colours; numbers are read from all 16 bits
function lossBytes() {
  lossInBytes ||= Uint8Array.from(array("nats"), (n) => Math.round(n / 257));
  return lossInBytes;
}

function valueAt(t) {
  if (state.view.loss) return array("nats")[t] * about.nats.step;
  const { bytes, zero, step } = values();
  return (bytes[t] - zero) * step;
}

// Numbers as people read them

const minus = (text) => text.replace("-", "−");
const fixed = (x, digits = 2) => minus((Number(x.toFixed(digits)) || 0).toFixed(digits)); // no −0
const withSign = (x, digits = 2) => (x > 0 && Number(x.toFixed(digits)) ? "+" : "") + fixed(x, digits);
const percent = (x) => (x > 0 && x < 0.005 ? "<1 %" : `${Math.round(100 * x)} %`);
const grouped = (n) => n.toLocaleString("en");
