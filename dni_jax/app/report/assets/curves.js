// Curves of the chosen feature and neuron, and of the training.
const NAMES = { ablate: "set to 0", clamp: "set to 1", oracle: "driven by the labels", mean: "set to their means", resample: "set to states of other positions", fitted: "driven by the labels, own signs" };

function relevanceCurve() {
  const feature = chosen.feature;
  const continuous = features[feature].kind === "continuous";
  const pick = $("curve-of");
  pick.hidden = continuous;
  const name = continuous || pick.value === "score" ? "score" : "auc";
  const ranked = data.neurons.map((neuron, column) => [neuron, scoreOf(name, feature, column)]).filter((one) => one[1] !== null);
  ranked.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  if (!ranked.length) return $("curve").replaceChildren(make("p", { class: "value" }, "There is no score, because the feature never varies."));
  const at = ranked.findIndex((one) => one[0] === chosen.neuron);
  const what = continuous ? "R²" : name === "auc" ? "AUC" : "accuracy";
  const level = name === "auc" ? { y: 0.5, name: "chance" } : { y: data.baseline[feature], name: "without any neuron" };
  const describe = (x) => `rank ${x}: neuron ${ranked[x - 1][0]}, ${what} ${three(ranked[x - 1][1])}`;
  chartIn("curve", {
    series: [{ points: ranked.map((one, place) => [place + 1, one[1]]), color: "var(--c0)", name: what }],
    levels: level.y === null ? [] : [level],
    marks: at < 0 ? [] : [[at + 1, ranked[at][1]]],
    xName: "neurons, best first",
    about: `${what} of every neuron for ${features[feature].shown}, best first. Arrow keys show values, Enter chooses a neuron.`,
    describe,
    rest: at < 0 ? "" : describe(at + 1),
    pick: (x) => choose({ neuron: ranked[x - 1][0] }),
  });
}

function effectCurve() {
  const host = $("effect");
  if (!host) return;
  const kinds = data.effects[chosen.feature];
  const measure = $("effect-of").value;
  const there = Object.entries(kinds).filter(([, one]) => one[measure]);
  if (!there.length) {
    host.spec = null;
    return host.replaceChildren(make("p", { class: "value" }, "This was not measured for this feature."));
  }
  const series = [];
  const from0 = (ks, values) => [[0, 0], ...ks.map((k, at) => [k, values[at]])].filter((point) => point[1] !== null);
  const ends = (ks, low, high) => ks.map((k, at) => [k, low[at], high[at]]).filter((bar) => bar[1] !== null && bar[2] !== null);
  there.forEach(([kind, one], number) => {
    const curve = one[measure];
    const colorOf = `var(--c${[1, 0, 2, 3, 4, 5][number % 6]})`;
    series.push({ points: from0(one.k, curve.top), bars: ends(one.k, curve.top_low, curve.top_high), color: colorOf, name: `top k ${NAMES[kind] ?? kind}`, dots: true });
    if (number === 0) {
      series.unshift({ points: from0(one.k, curve.random), band: [[0, 0, 0], ...ends(one.k, curve.random_low, curve.random_high)], color: "var(--c7)", dash: "5 4", name: `random k ${NAMES[kind] ?? kind}, 95 % of sets` });
    }
  });
  const describe = (k) => k === 0 ? `without intervention: ${three(there[0][1][measure].intact)}` : there.map(([kind, one]) => {
    const at = one.k.indexOf(k);
    return at < 0 ? "" : `${NAMES[kind] ?? kind} ${signed(one[measure].top[at])} (p ${pText(one[measure].p[at])})`;
  }).filter(Boolean).join(" · ");
  const ks = [...new Set(there.flatMap(([, one]) => one.k))].sort((a, b) => a - b);
  const unit = measure.startsWith("loss") ? "nats per character" : measure === "class_probability_on" ? `probability of a ${kinds.symbols}` : "share";
  chartIn("effect", { series, levels: [], xTicks: [0, ...ks], xName: "k neurons overridden", yName: `change, ${unit}`, describe, rest: describe(ks[ks.length - 1]), about: `Change of ${$("effect-of").selectedOptions[0].text} with the k best neurons for ${features[chosen.feature].shown} overridden, compared with random sets. Arrow keys show values.` });
}

/** Two histograms of the neuron's activations: above the line where the feature holds, below it elsewhere. */
function distribution() {
  const host = $("distribution");
  if (!host) return;
  const column = excerpt.column.get(chosen.neuron);
  const label = excerpt.labels[chosen.feature];
  host.spec = {};
  host.redraw = distribution;
  widths.observe(host);
  host.drawn = host.clientWidth;
  if (column === undefined || !label) return host.replaceChildren(make("p", { class: "value" }, "This page has no states of this neuron, or no labels of this feature."));
  const { middle, reach } = rangeOf(column);
  const states = statesOf(column);
  const bins = 2 * LEVELS + 1;
  const counts = [new Array(bins).fill(0), new Array(bins).fill(0)];
  for (let at = 0; at < excerpt.size; at++) {
    if (isKnown(at)) counts[holdsAt(chosen.feature, at) ? 0 : 1][Math.round(((states[at] - middle) / reach) * LEVELS) + LEVELS]++;
  }
  const totals = counts.map((one) => one.reduce((a, b) => a + b, 0));
  const share = counts.map((one, side) => one.map((count) => count / (totals[side] || 1)));
  const most = Math.max(...share.flat());
  const width = Math.max(host.clientWidth, 200);
  const half = 82;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": `Distribution of the activations of neuron ${chosen.neuron} where ${features[chosen.feature].shown} holds and where it does not` });
  const slot = (width - 8) / bins;
  const base = 10 + half;
  share.forEach((one, side) => one.forEach((value, level) => {
    const high = value ? Math.max((value / most) * half, 1.5) : 0;
    svg.append(shape("rect", { x: 4 + level * slot, width: Math.max(slot - 1, 1), y: side ? base + 3 : base - 3 - high, height: high, fill: `var(--h${level})`, stroke: "var(--soft)", "stroke-width": 0.5 }));
  }));
  svg.append(shape("line", { class: "axis", x1: 4, x2: width - 4, y1: base, y2: base }));
  const word = label.bits ? ["where the feature holds", "elsewhere"] : ["in the upper half of the feature's range", "in the lower half"];
  const scale = excerpt.scale[column];
  [[0, "start"], [LEVELS, "middle"], [bins - 1, "end"]].forEach(([level, anchor]) => {
    const x = anchor === "start" ? 4 : anchor === "end" ? width - 4 : 4 + (level + 0.5) * slot;
    svg.append(shape("text", { x, y: HEIGHT - 14, "text-anchor": anchor }, two((middle + ((level - LEVELS) / LEVELS) * reach) * scale)));
  });
  host.replaceChildren(svg, make("p", { class: "value" }, `Activation of neuron ${chosen.neuron} in the text: above the line ${word[0]} (${totals[0].toLocaleString("en")} characters), below it ${word[1]} (${totals[1].toLocaleString("en")}).`));
}

function trainingCurves() {
  const training = data.training;
  if (training?.step) {
    const line = (name) => training.step.map((at, row) => [at, training[name][row]]).filter((point) => point[1] !== null);
    const ideal = $("ideal") ? Number($("ideal").textContent) : null;
    const describe = (x) => {
      const row = training.step.indexOf(x);
      return `step ${x.toLocaleString("en")}: training ${three(training.train_loss?.[row])}, validation ${three(training.validation_loss?.[row])}`;
    };
    chartIn("losses", {
      series: ["train_loss", "validation_loss"].filter((name) => training[name]).map((name, number) => ({ points: line(name), color: `var(--c${number ? 1 : 0})`, name: name === "train_loss" ? "training text" : "validation text", dots: training.step.length < 30 })),
      levels: ideal === null ? [] : [{ y: ideal, name: "best possible" }],
      xName: "steps", yName: "nats per symbol", describe, rest: describe(training.step[training.step.length - 1]), about: "Loss by training step",
    });
  }
  if (data.dynamics) dynamicsCurve();
}

function dynamicsCurve() {
  const { steps, best } = data.dynamics;
  const shown = best.map((line, feature) => feature).filter((feature) => best[feature]?.every((value) => value !== null) && features[feature].knowledge !== "same");
  const spread = (feature) => Math.max(...best[feature]) - Math.min(...best[feature]);
  const some = [...shown].sort((a, b) => spread(b) - spread(a)).slice(0, 6);
  const lines = shown.includes(chosen.feature) ? [chosen.feature, ...some.filter((one) => one !== chosen.feature)] : some;
  const points = (feature) => steps.map((at, row) => [at, best[feature][row]]);
  const rest = shown.filter((one) => !lines.includes(one)).map((feature) => ({ points: points(feature), color: "var(--c7)", faint: true }));
  const describe = (x) => `step ${x.toLocaleString("en")}: ${lines.map((one) => `${features[one].shown} ${three(best[one][steps.indexOf(x)])}`).join(" · ")}`;
  chartIn("dynamics", {
    series: [...rest, ...lines.map((one, number) => ({ points: points(one), color: `var(--c${[1, 0, 2, 3, 4, 5, 6][number]})`, name: features[one].shown, dots: true }))],
    xName: "steps", describe, rest: "The chosen feature, the six that changed most, and all others in gray.", about: "Score of the best neuron of some features by training step",
  });
}

function startCurves() {
  $("curve-of").addEventListener("change", relevanceCurve);
  $("effect-of")?.addEventListener("change", effectCurve);
  $("neutral")?.addEventListener("change", distribution);
  watchers.push(relevanceCurve, effectCurve, distribution, () => data.dynamics && dynamicsCurve());
  trainingCurves();
}
