// Metrics of slices: a bar for each value, with its interval.

import { element } from "./elements.js";
import { format, spaced } from "./text.js";

const FEW = 10; // samples of a value; a metric of fewer says little

// Returns the names of the metrics that slices of a version have, those with intervals first.
export function sliceMetrics(version) {
  const found = new Map();
  for (const { metrics } of version.slices) {
    for (const [name, [, low]] of Object.entries(metrics)) found.set(name, found.get(name) || low !== null);
  }
  return [...found.keys()].sort((a, b) => found.get(b) - found.get(a));
}

// Draws a chart for each slice of a version; `pick(slice, value)` is called for a click.
export function drawSlices(version, metric, pick) {
  const names = [...new Set(version.slices.map((part) => part.slice))];
  return names.map((name) => {
    const parts = version.slices.filter((part) => part.slice === name && Object.hasOwn(part.metrics, metric));
    return element("figure", { class: "card" },
      element("figcaption", {}, element("h3", { class: "cut", title: name }, name)),
      element("table", { class: "numbers slices" }, ...worstFirst(parts, metric).map((part) => sliceRow(part, metric, parts, pick))));
  });
}

function worstFirst(parts, metric) {
  const sign = (part) => (part.metrics[metric][3] ? 1 : -1); // whether the higher is the better
  return parts.toSorted((a, b) => sign(a) * (a.metrics[metric][0] - b.metrics[metric][0]));
}

function sliceRow(part, metric, parts, pick) {
  const [value, low, high] = part.metrics[metric];
  const ends = parts.flatMap(({ metrics }) => metrics[metric].slice(0, 3)).filter((end) => end !== null);
  const [from, to] = [Math.min(0, ...ends), Math.max(0, ...ends) || 1];
  const share = (at) => `${(100 * (at - from)) / (to - from)}%`;
  const bar = element("span", { class: "interval", title: `${spaced(metric)} ${format(value)}` });
  bar.style.setProperty("--value", share(value));
  if (low !== null) {
    bar.style.setProperty("--low", share(low));
    bar.style.setProperty("--high", share(high));
    bar.classList.add("bounded");
  }
  const few = part.samples < FEW ? element("span", { class: "few" }, "few samples") : null;
  const button = { type: "button", class: "more cut", title: part.value, onclick: () => pick(part.slice, part.value) };
  return element("tr", {},
    element("th", { scope: "row" }, element("button", button, part.value)),
    element("td", {}, bar),
    element("td", { class: "number" }, format(value), low === null ? null : element("small", {}, ` ${format(low)} – ${format(high)}`)),
    element("td", { class: "number" }, element("small", {}, `${format(part.samples)} `), few));
}
