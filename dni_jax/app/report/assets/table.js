// The table of features: sorting, filtering, and choosing a row by pointer or keyboard.
const table = $("table");
const body = table.tBodies[0];
const rows = [...body.rows];

function sortBy(head) {
  const at = head.cellIndex;
  const small = head.querySelector("button").dataset.small === "1" || at === 0;
  const now = head.getAttribute("aria-sort");
  const rising = now === "none" ? small : now === "descending";
  for (const one of table.tHead.rows[0].cells) if (one.hasAttribute("aria-sort")) one.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const key = (row) => row.cells[at].dataset.v;
  const sign = rising ? 1 : -1;
  rows.sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one === "" || other === "") return (one === "") - (other === "") || a.dataset.at - b.dataset.at;
    const way = at === 0 ? one.localeCompare(other, "en", { numeric: true }) : Number(one) - Number(other);
    return sign * way || a.dataset.at - b.dataset.at;
  });
  body.append(...rows);
}

function filter() {
  const words = $("find").value.toLowerCase().trim();
  const wanted = { family: $("by-family").value, known: $("by-known").value, use: $("by-use")?.value ?? "" };
  const all = $("all-rows").checked;
  let count = 0;
  for (const row of rows) {
    const feature = features[row.dataset.at];
    const found = !words || `${feature.name} ${feature.shown} ${feature.meaning}`.toLowerCase().includes(words);
    const fits = Object.entries(wanted).every(([name, value]) => !value || row.dataset[name] === value);
    const own = all || !["same", "constant"].includes(row.dataset.known);
    row.hidden = !(found && fits && own);
    count += !row.hidden;
  }
  $("shown").textContent = `${count} of ${rows.length} features`;
  reachable();
}

/** Make one row reachable by Tab: the chosen one, or else the first that is shown. */
function reachable(row) {
  const shown = rows.filter((one) => !one.hidden);
  const one = row ?? shown.find((each) => each.getAttribute("aria-selected") === "true") ?? shown[0];
  for (const each of rows) each.tabIndex = each === one ? 0 : -1;
}

function mark() {
  for (const row of rows) row.setAttribute("aria-selected", String(Number(row.dataset.at) === chosen.feature));
  for (const button of document.querySelectorAll(".neuron")) button.setAttribute("aria-pressed", String(Number(button.dataset.neuron) === chosen.neuron));
  reachable();
}

const goToText = () => $("text").scrollIntoView({ block: "start" });

function startTable() {
  for (const head of table.tHead.rows[0].cells) head.querySelector("button")?.addEventListener("click", () => sortBy(head));
  for (const id of ["find", "by-family", "by-known", "by-use", "all-rows"]) $(id)?.addEventListener("input", filter);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    const button = event.target.closest(".neuron");
    choose({ feature: Number(row.dataset.at), neuron: button ? Number(button.dataset.neuron) : data.neurons[orderOf(row.dataset.at)[0]] });
    goToText();
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.target !== row) return;
    const shown = rows.filter((one) => !one.hidden);
    const to = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (to) {
      event.preventDefault();
      const next = shown[shown.indexOf(row) + to];
      if (next) (reachable(next), next.focus());
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose({ feature: Number(row.dataset.at), neuron: data.neurons[orderOf(row.dataset.at)[0]] });
      goToText();
      $("characters")?.focus({ preventScroll: true });
    }
  });
  watchers.push(mark);
  filter();
}
