// Charts of the metrics, as lines over the versions.

import { drawAxes, scale, ticks } from "./axes.js";
import { classMetric } from "./classes.js";
import { element, svg } from "./elements.js";
import { format, spaced } from "./text.js";

const FIRST_CHARTS = 6; // shown at once; the others on demand
const MAX_CHARTS = 24;
const MAX_LINES = 6;
const MAX_DOTS = 40;
const CHART = { width: 360, height: 170, left: 46, right: 12, top: 10, bottom: 22 };
const MACHINE = /^eval\/(samples_per_sec|seconds_.*)$/; // metrics of the machine, not of the model

// Draws the charts into the two elements, and returns how many are in the second.
// `chosen` is the number of the version to mark, and `pick(number)` is called for a click.
export function drawCharts(first, others, versions, chosen, pick) {
  const groups = [...groupMetrics(versions)];
  const charts = groups.slice(0, MAX_CHARTS).map(([title, lines]) => lineChart(title, lines, versions, chosen, pick));
  first.replaceChildren(...charts.slice(0, FIRST_CHARTS));
  others.replaceChildren(...charts.slice(FIRST_CHARTS));
  if (groups.length > MAX_CHARTS) {
    const rest = groups.slice(MAX_CHARTS).map(([title]) => title);
    others.append(element("p", { class: "muted" }, `Not drawn: ${rest.join(", ")}`));
  }
  return Math.max(0, groups.length - FIRST_CHARTS);
}

// Returns the metrics by chart: a metric of training with that of validation, and all times together.
function groupMetrics(versions) {
  const groups = new Map();
  const counts = versions.map((version) => version.count());
  const names = new Set(versions.flatMap((version) => Object.keys(version.metrics)));
  if (counts.some((count) => count.known) && !names.has("eval/accuracy")) {
    const values = counts.map((count) => (count.known ? count.right / count.known : null));
    groups.set("correct in the table", [{ name: "share", values }]);
  }
  const order = [...names].sort((a, b) => MACHINE.test(a) - MACHINE.test(b));
  for (const name of order.filter((each) => !classMetric(each))) {
    const title = name.replace(/^eval\//, "").replace(/^val_/, "").replace(/^seconds_.*/, "seconds");
    const values = versions.map((version) => version.metrics[name] ?? null);
    groups.set(title, [...(groups.get(title) ?? []), { name, values }]);
  }
  return groups;
}

function lineChart(title, lines, versions, chosen, pick) {
  const drawn = lines.slice(0, MAX_LINES);
  const positions = versions.map((version, i) => version.position ?? i);
  const values = drawn.flatMap((line) => line.values).filter((value) => value !== null);
  const x = scale(positions, CHART.left, CHART.width - CHART.right);
  const y = scale(values, CHART.height - CHART.bottom, CHART.top);
  const guide = svg("line", { class: "guide", y1: CHART.top, y2: CHART.height - CHART.bottom });
  const picture = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": title });
  const whole = positions.length > 1 ? ticks(x, 5).filter(Number.isInteger) : positions;
  picture.append(...drawAxes(CHART, x, y, whole), guide);
  drawn.forEach((line, number) => picture.append(...drawLine(line, number, positions, x, y)));

  const legend = chartLegend(drawn, lines.length - drawn.length);
  const when = element("span", { class: "muted" });
  const read = (index) => {
    guide.setAttribute("x1", x.place(positions[index]));
    guide.setAttribute("x2", x.place(positions[index]));
    when.textContent = versions[index].name;
    legend.read(index);
  };
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * CHART.width;
    const distances = positions.map((position) => Math.abs(x.place(position) - at));
    return distances.indexOf(Math.min(...distances));
  };
  picture.addEventListener("pointermove", (event) => read(nearest(event)));
  picture.addEventListener("pointerleave", () => read(chosen));
  picture.addEventListener("click", (event) => pick(nearest(event)));
  read(chosen);
  const caption = element("figcaption", {}, element("h3", {}, spaced(title)), when);
  return element("figure", { class: "card" }, caption, picture, legend.drawn);
}

// Returns the legend of a chart, and a function that shows the values of a version in it.
function chartLegend(lines, numMissing) {
  const values = lines.map(() => element("b"));
  const entries = lines.map((line, number) =>
    element("span", { class: `legend line-${number}` }, `${spaced(line.name)} `, values[number]));
  const read = (index) => lines.forEach((line, number) => {
    values[number].textContent = line.values[index] === null ? "–" : format(line.values[index]);
  });
  return { drawn: element("p", {}, ...entries, numMissing ? `and ${numMissing} more` : null), read };
}

function drawLine(line, number, positions, x, y) {
  const points = positions.map((position, i) => [x.place(position), line.values[i]]);
  let path = "";
  let isDown = false; // the line is interrupted where a value is missing
  for (const [place, value] of points) {
    if (value !== null) path += `${isDown ? "L" : "M"}${place.toFixed(1)} ${y.place(value).toFixed(1)}`;
    isDown = value !== null;
  }
  const dots = points.length > MAX_DOTS ? [] : points.filter(([, value]) => value !== null);
  return [
    svg("path", { class: `line line-${number}`, d: path }),
    ...dots.map(([place, value]) => svg("circle", { class: `dot line-${number}`, cx: place, cy: y.place(value), r: 2.5 })),
  ];
}
