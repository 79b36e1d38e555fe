// Line charts as SVG, drawn at their current width, with a readout under the pointer.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 208;
const INSET = 8; // between the axis and the first point
const EDGE = { left: 46, right: 10, top: 8, bottom: 32 };

function shape(tag, attributes = {}, text) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  if (text !== undefined) one.textContent = text;
  return one;
}

/** Round ticks that cover a range: about `count` of them. */
function ticksOf(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const ticks = [];
  for (let at = Math.ceil(low / size - 1e-9) * size; at <= high + size * 1e-9; at += size) ticks.push(at);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(size) + 1e-9)) };
}

const extent = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);

/**
 * Draw lines into a host.
 * spec: {series: [{points: [[x, y]], color, dash, name, band: [[x, low, high]], bars: [[x, low, high]], faint, dots}],
 *        levels: [{y, name}], marks: [[x, y]], xName, yName, xTicks, xRange, yRange, describe(x) -> text, pick(x), about}
 */
function plot(host, spec) {
  host.spec = spec;
  const width = Math.max(host.clientWidth, 200);
  const everyX = spec.series.flatMap((one) => one.points.map((p) => p[0]));
  const everyY = spec.series.flatMap((one) => [
    ...one.points.map((p) => p[1]),
    ...(one.band ?? []).flatMap((b) => [b[1], b[2]]),
    ...(one.bars ?? []).flatMap((b) => [b[1], b[2]]),
  ]);
  const [x0, x1] = spec.xRange ?? extent(everyX);
  let [y0, y1] = spec.yRange ?? extent([...everyY, ...(spec.levels ?? []).map((level) => level.y)]);
  if (!spec.yRange) {
    const room = (y1 - y0 || Math.abs(y1) || 1) * 0.06;
    [y0, y1] = [y0 - room, y1 + room];
  }
  const inner = { w: width - EDGE.left - EDGE.right, h: HEIGHT - EDGE.top - EDGE.bottom };
  const px = (x) => EDGE.left + INSET + ((x - x0) / (x1 - x0 || 1)) * (inner.w - INSET);
  const py = (y) => EDGE.top + (1 - (y - y0) / (y1 - y0 || 1)) * inner.h;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": spec.about });
  axes(svg, spec, { x0, x1, y0, y1, px, py, width });
  for (const one of spec.series) if (one.band) svg.append(bandOf(one, px, py));
  for (const level of spec.levels ?? []) {
    svg.append(shape("line", { x1: px(x0), x2: px(x1), y1: py(level.y), y2: py(level.y), stroke: "var(--c7)", "stroke-dasharray": "1.5 3.5", "stroke-width": 1.6 }));
  }
  for (const one of spec.series) lineOf(svg, one, px, py);
  for (const [x, y] of spec.marks ?? []) {
    svg.append(shape("circle", { cx: px(x), cy: py(y), r: 5, fill: "var(--paper)", stroke: "var(--c1)", "stroke-width": 2.5 }));
  }
  const value = make("p", { class: "value" }, spec.rest ?? "");
  host.replaceChildren(svg, keysOf(spec), value);
  if (spec.describe) listen(svg, value, spec, { x0, x1, px, width, everyX });
}

function axes(svg, spec, { x0, x1, y0, y1, px, py, width }) {
  const y = ticksOf(y0, y1, 4);
  for (const at of y.ticks) {
    svg.append(shape("line", { class: "grid", x1: EDGE.left, x2: px(x1), y1: py(at), y2: py(at) }));
    svg.append(shape("text", { x: EDGE.left - 6, y: py(at) + 4, "text-anchor": "end" }, minus(at.toFixed(y.digits))));
  }
  const x = spec.xTicks ? { ticks: spec.xTicks, digits: 0 } : ticksOf(x0, x1, width / 90);
  for (const at of x.ticks) {
    svg.append(shape("text", { x: px(at), y: HEIGHT - 17, "text-anchor": "middle" }, minus(at.toLocaleString("en", { maximumFractionDigits: x.digits }))));
  }
  svg.append(shape("line", { class: "axis", x1: EDGE.left, x2: px(x1), y1: py(y0), y2: py(y0) }));
  svg.append(shape("text", { x: px(x1), y: HEIGHT - 3, "text-anchor": "end" }, spec.xName));
  if (spec.yName) svg.append(shape("text", { x: 0, y: HEIGHT - 3 }, spec.yName));
}

function bandOf(one, px, py) {
  const there = [...one.band.map(([x, , high]) => [x, high]), ...[...one.band].reverse().map(([x, low]) => [x, low])];
  const path = there.map(([x, y]) => `${px(x)},${py(y)}`).join(" ");
  return shape("polygon", { points: path, fill: one.color, opacity: 0.16 });
}

function lineOf(svg, one, px, py) {
  const path = one.points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ");
  svg.append(shape("polyline", { points: path, fill: "none", stroke: one.color, "stroke-width": one.faint ? 1.2 : 2.2, "stroke-linejoin": "round", ...(one.dash && { "stroke-dasharray": one.dash }), ...(one.faint && { opacity: 0.5 }) }));
  for (const [x, low, high] of one.bars ?? []) {
    svg.append(shape("line", { x1: px(x), x2: px(x), y1: py(low), y2: py(high), stroke: one.color, "stroke-width": 1.6 }));
  }
  if (one.dots) for (const [x, y] of one.points) svg.append(shape("circle", { cx: px(x), cy: py(y), r: 3.2, fill: one.color }));
}

function keysOf(spec) {
  const keys = make("ul", { class: "keys" });
  const entries = [...spec.series.filter((one) => one.name), ...(spec.levels ?? []).map((level) => ({ ...level, color: "var(--c7)", dash: "1.5 3.5" }))];
  for (const one of entries) {
    const sample = shape("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" });
    sample.append(shape("line", { x1: 0, x2: 24, y1: 6, y2: 6, stroke: one.color, "stroke-width": 2.4, ...(one.dash && { "stroke-dasharray": one.dash }) }));
    keys.append(make("li", {}, sample, one.name));
  }
  return keys;
}

/** Show values under the pointer or by arrow keys, and pick points if the chart allows it. */
function listen(svg, value, spec, { x0, x1, px, width, everyX }) {
  const places = [...new Set(everyX)].sort((a, b) => a - b);
  const cross = shape("line", { class: "cross", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  svg.append(cross);
  let last = null;
  const show = (x) => {
    last = x;
    cross.setAttribute("x1", px(x));
    cross.setAttribute("x2", px(x));
    cross.setAttribute("visibility", "visible");
    value.textContent = spec.describe(x);
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const inside = ((event.clientX - box.left) / box.width) * width;
    const x = x0 + ((inside - EDGE.left - INSET) / (width - EDGE.left - EDGE.right - INSET)) * (x1 - x0);
    return places.reduce((best, one) => (Math.abs(one - x) < Math.abs(best - x) ? one : best), places[0]);
  };
  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("pointerleave", () => {
    cross.setAttribute("visibility", "hidden");
    value.textContent = spec.rest ?? "";
  });
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      const at = last === null ? (by > 0 ? -1 : places.length) : places.indexOf(last);
      show(places[Math.min(Math.max(at + by, 0), places.length - 1)]);
      event.preventDefault();
    } else if (event.key === "Enter" && spec.pick && last !== null) spec.pick(last);
  });
  if (spec.pick) {
    svg.style.cursor = "pointer";
    svg.addEventListener("click", (event) => spec.pick(nearest(event)));
  }
}

/** Redraw a chart when its width changes. */
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.spec && Math.abs((target.drawn ?? 0) - target.clientWidth) > 1) {
      target.drawn = target.clientWidth;
      (target.redraw ?? (() => plot(target, target.spec)))();
    }
  }
});

function chartIn(id, spec) {
  const host = $(id);
  if (!host) return;
  host.drawn = host.clientWidth;
  plot(host, spec);
  widths.observe(host);
}
