// The pickers, the theme, the address bar, and the first selection.
function about() {
  const feature = features[chosen.feature];
  const column = columnOf.get(chosen.neuron);
  $("feature").value = chosen.feature;
  $("neuron").value = chosen.neuron;
  $("about").textContent = feature.meaning ? `Label of each character: ${feature.meaning}.` : "";
  const best = feature.best.map((neuron) => make("button", { type: "button", class: "neuron", "data-neuron": neuron, "aria-pressed": neuron === chosen.neuron }, String(neuron)));
  $("best").replaceChildren(...best);
  $("sentences").replaceChildren(...feature.sentences.map((sentence) => make("li", {}, sentence)));
  $("pair").replaceChildren(...pairWords(feature, column));
}

function pairWords(feature, column) {
  const lead = [make("b", {}, `Neuron ${chosen.neuron}`), " on ", make("b", { class: "name" }, feature.shown)];
  if (column === undefined) return [...lead, ": its scores are not included in this page."];
  const score = (name) => scoreOf(name, chosen.feature, column);
  const binary = feature.kind === "binary";
  const facts = [`rank ${rankOf(chosen.feature, column) + 1} of ${data.nNeurons}`];
  if (binary) facts.push(`AUC ${three(score("auc"))}`, `accuracy ${three(score("score"))} (${three(data.baseline[chosen.feature])} without any neuron)`);
  else facts.push(`R² ${three(score("score"))}`);
  if (score("auc_within_symbol") !== null) facts.push(`${binary ? "AUC" : "squared correlation"} within symbol ${three(score("auc_within_symbol"))}`);
  if (score("p_family") !== null) facts.push(`p = ${pText(score("p_family"))}, corrected for the number of neurons`);
  if (falls && binary) facts.push(falls[chosen.feature * nKept + column] ? "lower where it holds" : "higher where it holds");
  return [...lead, `: ${facts.join(", ")}.`];
}

/** The address bar records the selection, so that it can be bookmarked and shared. */
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const feature = features.findIndex((one) => one.name === asked.get("feature"));
  const neuron = Number(asked.get("neuron") ?? NaN);
  if (feature < 0) return false;
  choose({ feature, neuron: Number.isInteger(neuron) && neuron >= 0 && neuron < data.nNeurons ? neuron : undefined });
  return true;
}

function writeAddress() {
  const asked = new URLSearchParams({ feature: features[chosen.feature].name, neuron: chosen.neuron });
  try {
    history.replaceState(null, "", `#${asked}`);
  } catch {}
}

function start() {
  startTheme(drawMap);
  startReader();
  startTable();
  watchers.unshift(about);
  startCurves();
  startMap();
  $("feature").addEventListener("change", () => choose({ feature: Number($("feature").value) }));
  $("neuron").addEventListener("input", () => {
    const neuron = Number($("neuron").value);
    if ($("neuron").value !== "" && Number.isInteger(neuron) && neuron >= 0 && neuron < data.nNeurons) choose({ neuron });
  });
  $("better").addEventListener("click", () => step(-1));
  $("worse").addEventListener("click", () => step(1));
  document.addEventListener("click", (event) => {
    const show = event.target.closest("[data-show]");
    const neuron = event.target.closest(".neuron");
    if (show) choose({ feature: Number(show.dataset.show), neuron: data.neurons[orderOf(show.dataset.show)[0]] });
    else if (neuron && !table.contains(neuron)) choose({ neuron: Number(neuron.dataset.neuron) });
    if (show || neuron?.closest(".card")) goToText();
  });
  const known = features.filter((one) => one.knowledge === "known");
  const first = Math.max(features.indexOf(known.find((one) => one.use === "used") ?? known[0]), 0);
  if (!readAddress()) choose({ feature: first, neuron: data.neurons[orderOf(first)[0]] });
  watchers.push(writeAddress);
  addEventListener("hashchange", readAddress);
}
start();
