// All neurons and features as a map, drawn on a canvas.
const field = { rows: data.map.features, columns: data.map.neurons, size: [6, 14], at: null };

function drawMap() {
  const canvas = $("map-cells");
  const room = canvas.closest(".scroll").clientWidth - $("map-names").offsetWidth - 24;
  const wide = Math.max(4, Math.min(18, room / field.columns.length));
  const high = field.size[1];
  field.size[0] = wide;
  const sharp = Math.max(1, Math.round(devicePixelRatio));
  canvas.width = Math.round(field.columns.length * wide * sharp);
  canvas.height = field.rows.length * high * sharp;
  canvas.style.width = `${canvas.width / sharp}px`;
  canvas.style.height = `${canvas.height / sharp}px`;
  const paper = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const heat = Array.from({ length: 2 * LEVELS + 1 }, (_, level) => style.getPropertyValue(`--h${level}`));
  field.rows.forEach((feature, row) => field.columns.forEach((column, place) => {
    const way = falls?.[feature * nKept + column] ? -1 : 1;
    paper.fillStyle = heat[LEVELS + way * Math.round((strength[feature * nKept + column] / 255) * LEVELS)];
    const left = Math.round(place * wide * sharp);
    paper.fillRect(left, row * high * sharp, Math.round((place + 1) * wide * sharp) - left, high * sharp);
  }));
  const row = field.rows.indexOf(chosen.feature);
  const place = field.columns.indexOf(columnOf.get(chosen.neuron));
  paper.strokeStyle = style.getPropertyValue("--ink");
  paper.lineWidth = sharp;
  if (row >= 0) paper.strokeRect(0, row * high * sharp + sharp / 2, canvas.width, high * sharp - sharp);
  if (place >= 0) paper.strokeRect(place * wide * sharp + sharp / 2, 0, wide * sharp - sharp, canvas.height);
  [...$("map-names").children].forEach((name, at) => name.classList.toggle("here", at === row));
}

function describeCell(row, place) {
  const feature = field.rows[row];
  const column = field.columns[place];
  if (feature === undefined || column === undefined) return;
  const continuous = features[feature].kind === "continuous";
  const score = continuous ? `R² ${three(scoreOf("score", feature, column))}` : `AUC ${three(scoreOf("auc", feature, column))}`;
  const way = falls ? (falls[feature * nKept + column] ? ", lower where it holds" : ", higher where it holds") : "";
  $("map-readout").textContent = `${features[feature].shown}, neuron ${data.neurons[column]}: ${score}${way}`;
}

function startMap() {
  const canvas = $("map-cells");
  if (!field.rows.length) return;
  for (const feature of field.rows) {
    const name = make("li", { title: features[feature].meaning }, features[feature].shown);
    name.style.height = `${field.size[1]}px`;
    $("map-names").append(name);
  }
  const cell = (event) => {
    const box = canvas.getBoundingClientRect();
    return [Math.floor((event.clientY - box.top) / field.size[1]), Math.floor((event.clientX - box.left) / field.size[0])];
  };
  canvas.addEventListener("pointermove", (event) => describeCell(...cell(event)));
  canvas.addEventListener("click", (event) => {
    const [row, place] = cell(event);
    if (field.rows[row] !== undefined && field.columns[place] !== undefined) choose({ feature: field.rows[row], neuron: data.neurons[field.columns[place]] });
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    const row = Math.max(field.rows.indexOf(chosen.feature), 0) + by[0];
    const place = Math.max(field.columns.indexOf(columnOf.get(chosen.neuron)), 0) + by[1];
    if (field.rows[row] !== undefined && field.columns[place] !== undefined) choose({ feature: field.rows[row], neuron: data.neurons[field.columns[place]] });
  });
  watchers.push(() => {
    drawMap();
    describeCell(field.rows.indexOf(chosen.feature), field.columns.indexOf(columnOf.get(chosen.neuron)));
  });
  addEventListener("resize", drawMap);
}
