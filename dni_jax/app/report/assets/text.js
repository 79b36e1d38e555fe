// The text, colored by the activation of a neuron, with the labels of a feature below it.
const excerpt = data.excerpt ?? null;
const LEVELS = 15;
const SHADES = 5;
const reader = { spans: [], at: -1, column: undefined, levels: null };

if (excerpt) {
  excerpt.column = new Map(excerpt.neurons.map((neuron, column) => [neuron, column]));
  excerpt.states = new Int8Array(bytesOf(excerpt.hidden).buffer);
  excerpt.known = excerpt.known ? bytesOf(excerpt.known) : null;
  excerpt.size = excerpt.text.length;
  excerpt.signs = excerpt.text.map((point) => String.fromCodePoint(point));
  excerpt.labels = excerpt.labels.map((one) => one && { ...one, held: bytesOf(one.bits ?? one.shades) });
}
const bit = (packed, at) => (packed[at >> 3] >> (7 - (at & 7))) & 1;
const isKnown = (at) => !excerpt.known || bit(excerpt.known, at) === 1;

/** The label of a character as a number from 0 to 1; null if it has none. */
function labelAt(feature, at) {
  const label = excerpt.labels[feature];
  if (!label || !isKnown(at)) return null;
  return label.bits ? bit(label.held, at) : label.held[at] / 255;
}
const holdsAt = (feature, at) => labelAt(feature, at) > 0.5;

function labelText(feature, at) {
  const label = excerpt.labels[feature];
  const value = labelAt(feature, at);
  if (value === null) return "not labeled";
  if (label.bits) return value ? "holds" : "does not hold";
  return three(label.low + value * (label.high - label.low));
}

const statesOf = (column) => excerpt.states.subarray(column * excerpt.size, (column + 1) * excerpt.size);
const stateAt = (column, at) => excerpt.states[column * excerpt.size + at] * excerpt.scale[column];

/** The center of the color scale and its reach on either side, in int8 steps of the neuron. */
function rangeOf(column) {
  const way = $("neutral").value;
  const scale = excerpt.scale[column] || 1;
  if (way === "all") return { middle: 0, reach: Math.max(...excerpt.scale) * 127 / scale };
  const states = statesOf(column);
  if (way === "own") return { middle: 0, reach: 127 };
  const middle = states.reduce((sum, one) => sum + one, 0) / states.length;
  return { middle, reach: states.reduce((most, one) => Math.max(most, Math.abs(one - middle)), 1e-9) };
}

/** Create the text once: a span for each character, a block for each segment. */
function layOut() {
  const box = $("characters");
  const lengths = excerpt.strings.map((_, s) => excerpt.offsets[s + 1] - excerpt.offsets[s]);
  const long = excerpt.signs.includes("\n") || [...lengths].sort((a, b) => a - b)[lengths.length >> 1] > 90;
  box.classList.toggle("long", long);
  const all = document.createDocumentFragment();
  for (let s = 0; s < lengths.length; s++) {
    const block = make("span", { class: "string" });
    if (long) block.append(make("small", {}, `text ${excerpt.strings[s]}, from character ${excerpt.starts[s]}`));
    for (let at = excerpt.offsets[s]; at < excerpt.offsets[s + 1]; at++) {
      const sign = excerpt.signs[at];
      const span = document.createElement("span");
      span.textContent = sign === "\n" || sign === "\r" ? SIGNS[sign] : sign;
      span.at = at;
      reader.spans.push(span);
      block.append(span);
      if (sign === "\n") block.append(document.createElement("br"));
    }
    all.append(block);
    if (!long) all.append(" ");
  }
  box.replaceChildren(all);
}

function labelClass(feature, at) {
  const value = labelAt(feature, at);
  if (value === null) return excerpt.labels[feature] ? " unknown" : "";
  if (excerpt.labels[feature].bits) return value ? " on" : "";
  const shade = Math.round(value * SHADES);
  return shade ? ` s${shade}` : "";
}

function color() {
  const column = excerpt.column.get(chosen.neuron);
  reader.column = column;
  const { middle, reach } = column === undefined ? { middle: 0, reach: 1 } : rangeOf(column);
  const states = column === undefined ? null : statesOf(column);
  reader.spans.forEach((span, at) => {
    let heat = "";
    if (states && isKnown(at)) heat = ` h${Math.round(((states[at] - middle) / reach) * LEVELS) + LEVELS}`;
    span.className = `c${heat}${labelClass(chosen.feature, at)}${at === reader.at ? " here" : ""}`;
  });
  colorbar(column, middle, reach);
  writeNotes(column);
  if (reader.feature !== chosen.feature) {
    reader.feature = chosen.feature;
    reveal();
  }
  if (reader.at >= 0) describeCharacter(reader.at);
}

function colorbar(column, middle, reach) {
  const bar = make("span", {});
  for (let level = 0; level <= 2 * LEVELS; level++) bar.append(make("i", { class: `h${level}` }));
  const scale = column === undefined ? 0 : excerpt.scale[column];
  const ends = [middle - reach, middle + reach].map((end) => two(end * scale));
  $("scale").replaceChildren(ends[0], bar, ends[1]);
}

function writeNotes(column) {
  const notes = [`${excerpt.size.toLocaleString("en")} characters of unseen text, chosen so that rare features have examples. The bar below a character marks where the feature holds.`];
  if (excerpt.neurons.length < data.nNeurons) notes.push(`This page includes the states of ${excerpt.neurons.length} of ${data.nNeurons} neurons, the best for each feature.`);
  if (column === undefined) notes.unshift(`This page does not include the states of neuron ${chosen.neuron}.`);
  if (!excerpt.labels[chosen.feature]) notes.unshift("This page does not include the labels of this feature.");
  $("reader-note").textContent = notes.join(" ");
}

/** Say where a character is, what the neuron's activation is, and which features hold there. */
function describeCharacter(at) {
  const s = stringOf(at);
  const place = at - excerpt.offsets[s] + excerpt.starts[s];
  const sign = make("b", { class: `sign ${reader.spans[at].className.match(/h\d+/) ?? ""}` }, visible(excerpt.signs[at]));
  const others = features.map((one, f) => f).filter((f) => f !== chosen.feature && excerpt.labels[f]?.bits && !["same", "constant"].includes(features[f].knowledge) && holdsAt(f, at));
  const parts = [sign, ` text ${excerpt.strings[s]}, character ${place}. Neuron ${chosen.neuron}: `, make("b", {}, stateText(at)), `. ${features[chosen.feature].shown}: `, make("b", {}, labelText(chosen.feature, at)), "."];
  if (others.length) parts.push(` Also holding here: ${others.slice(0, 9).map((f) => features[f].shown).join(", ")}${others.length > 9 ? ", …" : ""}.`);
  $("readout").replaceChildren(...parts);
}
const stateText = (at) => (reader.column === undefined || !isKnown(at) ? "no state" : two(stateAt(reader.column, at)));

function stringOf(at) {
  let low = 0;
  let high = excerpt.strings.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (excerpt.offsets[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function moveTo(at, scroll = true) {
  if (at < 0 || at >= excerpt.size) return;
  reader.spans[reader.at]?.classList.remove("here");
  reader.at = at;
  reader.spans[at].classList.add("here");
  describeCharacter(at);
  if (!scroll) return;
  const box = $("characters");
  const top = reader.spans[at].getBoundingClientRect().top - box.getBoundingClientRect().top;
  if (top < 10 || top > box.clientHeight - 40) box.scrollTop += top - box.clientHeight / 3;
}

/** Go to the next (or previous) character where the feature begins to hold. */
function example(by) {
  const begins = (at) => holdsAt(chosen.feature, at) && !(at > excerpt.offsets[stringOf(at)] && holdsAt(chosen.feature, at - 1));
  for (let way = 1; way <= excerpt.size; way++) {
    const at = (((reader.at < 0 && by < 0 ? 0 : reader.at) + by * way) % excerpt.size + excerpt.size) % excerpt.size;
    if (begins(at)) return moveTo(at);
  }
  $("readout").textContent = "The feature holds nowhere in the text of this page.";
}

/** After a feature was chosen, scroll to an example unless one is visible. */
function reveal() {
  const box = $("characters");
  const inside = (span) => span.offsetTop >= box.scrollTop && span.offsetTop < box.scrollTop + box.clientHeight - 30;
  const examples = reader.spans.filter((_, at) => holdsAt(chosen.feature, at));
  if (examples.length && !examples.some(inside)) box.scrollTop = examples[0].offsetTop - box.clientHeight / 3;
}

function hover(event) {
  const at = event.target.at;
  const tip = $("tip");
  if (at === undefined) return void (tip.hidden = true);
  tip.textContent = `${visible(excerpt.signs[at])}  ${stateText(at)} · ${labelText(chosen.feature, at)}`;
  tip.hidden = false;
  const box = event.target.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(box.left - 20, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.top - tip.offsetHeight - 8}px`;
}

function startReader() {
  if (!excerpt) return;
  layOut();
  const box = $("characters");
  box.addEventListener("pointerover", hover);
  box.addEventListener("pointerleave", () => ($("tip").hidden = true));
  box.addEventListener("scroll", () => ($("tip").hidden = true), { passive: true });
  box.addEventListener("click", (event) => event.target.at !== undefined && moveTo(event.target.at, false));
  box.addEventListener("focus", () => reader.at < 0 && moveTo(0));
  box.addEventListener("keydown", (event) => {
    const act = {
      ArrowRight: () => moveTo(reader.at + 1),
      ArrowLeft: () => moveTo(reader.at - 1),
      ArrowUp: () => step(-1),
      ArrowDown: () => step(1),
      Home: () => moveTo(excerpt.offsets[stringOf(Math.max(reader.at, 0))]),
      End: () => moveTo(excerpt.offsets[stringOf(Math.max(reader.at, 0)) + 1] - 1),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  $("neutral").addEventListener("change", color);
  $("previous-example").addEventListener("click", () => example(-1));
  $("next-example").addEventListener("click", () => example(1));
  watchers.push(color);
}
