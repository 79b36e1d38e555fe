// The unpacked data of the page, and the current selection: one feature and one neuron.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const features = data.features;
const MISSING = -32768;

const bytesOf = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const nKept = data.neurons.length;
const columnOf = new Map(data.neurons.map((neuron, column) => [neuron, column]));
const order = new Uint16Array(bytesOf(data.order).buffer);
const orderOf = (feature) => order.subarray(feature * nKept, (feature + 1) * nKept);
const strength = bytesOf(data.strength);
const falls = data.falls ? bytesOf(data.falls) : null;
const matrices = Object.fromEntries(
  Object.entries(data.matrices).map(([name, one]) => [name, { scale: one.scale, values: new Int16Array(bytesOf(one.values).buffer) }]),
);

/** The score of one feature and the neuron in one column; null if there is none. */
function scoreOf(name, feature, column) {
  const matrix = matrices[name];
  if (!matrix || column === undefined) return null;
  const step = matrix.values[feature * nKept + column];
  return step === MISSING ? null : step * matrix.scale[feature];
}

/** The rank of a neuron for a feature, the best first. */
const rankOf = (feature, column) => orderOf(feature).indexOf(column);

const minus = (text) => text.replace("-", "\u2212");
const three = (value) => (value === null || value === undefined ? "\u2013" : minus(value.toFixed(3)));
const pText = (p) => (p === null ? "\u2013" : p >= 0.001 ? p.toFixed(3) : p.toPrecision(2));
const signed = (value) => (value === null || value === undefined ? "\u2013" : (value > 0 ? "+" : "") + minus(value.toFixed(3)));
const two = (value) => (value > 0 ? "+" : "") + minus(value.toFixed(2));

/** Make an element: make("b", {class: "x"}, "text", child, ...); text is never parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

const SIGNS = { " ": "\u2423", "\n": "\u21b5", "\r": "\u240d", "\t": "\u2192" };
const visible = (sign) => SIGNS[sign] ?? sign;

const chosen = { feature: 0, neuron: data.neurons[orderOf(0)[0]] };
const watchers = [];

/** Choose a feature, a neuron or both; a feature alone selects its best neuron. */
function choose({ feature = chosen.feature, neuron }) {
  const changed = feature !== chosen.feature;
  chosen.feature = feature;
  chosen.neuron = neuron ?? (changed ? data.neurons[orderOf(feature)[0]] : chosen.neuron);
  for (const watcher of watchers) watcher();
}

/** Choose the neuron that is next better (-1) or next worse (1) for the feature. */
function step(by) {
  const ranked = orderOf(chosen.feature);
  const at = rankOf(chosen.feature, columnOf.get(chosen.neuron));
  const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), nKept - 1);
  choose({ neuron: data.neurons[ranked[next]] });
}
