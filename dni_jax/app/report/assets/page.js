// What ties the page together: the pickers, the theme, the address, and the first choice.
function about() {
  const feature = features[chosen.feature];
  const column = columnOf.get(chosen.neuron);
  $("feature").value = chosen.feature;
  $("neuron").value = chosen.neuron;
  $("about").textContent = feature.meaning ? `Asked of every character: ${feature.meaning}.` : "";
  const best = feature.best.map((neuron) => make("button", { type: "button", class: "neuron", "data-neuron": neuron, "aria-pressed": neuron === chosen.neuron }, String(neuron)));
  $("best").replaceChildren(...best);
  $("sentences").replaceChildren(...feature.sentences.map((sentence) => make("li", {}, sentence)));
  $("pair").replaceChildren(...pairWords(feature, column));
}

function pairWords(feature, column) {
  const lead = [make("b", {}, `Neuron ${chosen.neuron}`), " on ", make("b", { class: "name" }, feature.shown)];
  if (column === undefined) return [...lead, ": its scores are not in this page."];
  const score = (name) => scoreOf(name, chosen.feature, column);
  const binary = feature.kind === "binary";
  const said = [`number ${rankOf(chosen.feature, column) + 1} of ${data.nNeurons}`];
  if (binary) said.push(`AUC ${three(score("auc"))}`, `accuracy ${three(score("score"))} (${three(data.baseline[chosen.feature])} without it)`);
  else said.push(`R² ${three(score("score"))}`);
  if (score("given") !== null) said.push(`${binary ? "AUC" : "squared correlation"} at equal characters ${three(score("given"))}`);
  if (score("p") !== null) said.push(`p = ${pText(score("p"))}, corrected for the number of neurons`);
  if (falls && binary) said.push(falls[chosen.feature * nKept + column] ? "lower where it holds" : "higher where it holds");
  return [...lead, `: ${said.join(", ")}.`];
}

/** The address says what is chosen, so that it can be kept and sent. */
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
