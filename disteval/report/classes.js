// What is shown by class: metrics and confusion matrices.

import { element, header } from "./elements.js";
import { format, spaced } from "./text.js";

const MAX_CLASSES = 20; // in a confusion matrix
const MAX_MISTAKES = 6; // in the list of the most frequent ones

// Returns ["f1", "cat"] for "eval/f1/cat"; null if the metric does not belong to a class.
export function classMetric(name) {
  return name.match(/^eval\/([^/]+)\/(.+)$/s)?.slice(1) ?? null;
}

// Draws the metrics of each class in the first version, and beside them in the second, which may be
// null. Returns null if there are none.
export function classTable(first, second) {
  const found = Object.keys(first.metrics).map(classMetric).filter(Boolean);
  if (!found.length) return null;
  const [metrics, names] = [0, 1].map((part) => [...new Set(found.map((pair) => pair[part]))]);
  const cell = (metric, name) => {
    const key = `eval/${metric}/${name}`;
    return metricCell(first.metrics[key], second?.metrics[key]);
  };
  return element("table", { class: "numbers" },
    element("tr", {}, element("td"), ...metrics.map((metric) => header("col", spaced(metric)))),
    ...names.map((name) =>
      element("tr", {}, header("row", name), ...metrics.map((metric) => cell(metric, name)))));
}

function metricCell(value, other) {
  const made = element("td", {}, value === undefined ? "–" : format(value),
    other === undefined ? null : element("small", {}, ` ${format(other)}`));
  if (value >= 0 && value <= 1) {
    made.classList.add("bar");
    made.style.setProperty("--share", `${100 * value}%`);
  }
  return made;
}

// Whether a version has what a confusion matrix shows.
export function hasClasses(version) {
  return version.role("truth")?.kind === "class" && version.role("prediction")?.kind === "class";
}

// Draws the confusion matrix of a version; `pick(version, truth, prediction)` is called for a click.
export function drawMatrix(version, classes, pick) {
  const pairs = countPairs(version, classes.length);
  const wrong = pairs.filter(([truth, prediction]) => truth !== prediction);
  const open = (truth, prediction) => () => pick(version, truth, prediction);
  const most = wrong.toSorted((a, b) => b[2] - a[2]).slice(0, MAX_MISTAKES);
  const left = classes.length > MAX_CLASSES
    ? element("p", { class: "muted" }, `The ${MAX_CLASSES} of ${classes.length} classes with the most mistakes.`)
    : null;
  return element("figure", { class: "card" },
    element("figcaption", {}, element("h3", {}, version.name)), left,
    element("div", { class: "beside" },
      element("div", { class: "scroll" }, matrixTable(pairs, chooseClasses(wrong, classes.length), classes, open)),
      most.length ? mistakeList(most, classes, open) : null));
}

// Counts the pairs that occur, as [truth, prediction, count]: of all samples if the run logged
// that, else of those in the table.
function countPairs(version, numClasses) {
  if (version.confusion.length) return version.confusion;
  const counts = new Map();
  const [truth, prediction] = [version.role("truth").values, version.role("prediction").values];
  truth.forEach((value, row) => {
    if (value === null || prediction[row] === null) return;
    const pair = value * numClasses + prediction[row];
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  });
  return [...counts].map(([pair, count]) => [Math.floor(pair / numClasses), pair % numClasses, count]);
}

// Returns the classes to show: all, or those with the most mistakes.
function chooseClasses(wrong, numClasses) {
  const mistakes = new Array(numClasses).fill(0);
  for (const [truth, prediction, count] of wrong) {
    mistakes[truth] += count;
    mistakes[prediction] += count;
  }
  const all = [...mistakes.keys()];
  if (numClasses <= MAX_CLASSES) return all;
  return all.sort((a, b) => mistakes[b] - mistakes[a]).slice(0, MAX_CLASSES).sort((a, b) => a - b);
}

function matrixTable(pairs, shown, classes, open) {
  const counts = new Map();
  const totals = new Array(classes.length).fill(0);
  for (const [truth, prediction, count] of pairs) {
    counts.set(truth * classes.length + prediction, count);
    totals[truth] += count;
  }
  const cell = (truth, prediction) => {
    const made = element("td", { class: truth === prediction ? "right" : "wrong" });
    const count = counts.get(truth * classes.length + prediction);
    if (count) {
      const title = `${classes[truth]}, predicted as ${classes[prediction]}: ${count} of ${totals[truth]}`;
      made.style.setProperty("--share", `${Math.round(8 + (60 * count) / totals[truth])}%`);
      made.append(element("button", { type: "button", title, onclick: open(truth, prediction) }, format(count)));
    }
    return made;
  };
  return element("table", { class: "matrix" },
    element("tr", {}, element("td"), ...shown.map((i) => header("col", classes[i]))),
    ...shown.map((truth) =>
      element("tr", {}, header("row", classes[truth]), ...shown.map((prediction) => cell(truth, prediction)))));
}

function mistakeList(pairs, classes, open) {
  const buttons = pairs.map(([truth, prediction, count]) =>
    element("button", { type: "button", onclick: open(truth, prediction) },
      element("span", { class: "cut" }, `${classes[truth]} → ${classes[prediction]}`),
      element("span", { class: "number" }, `(${format(count)})`)));
  return element("div", { class: "mistakes" }, element("h3", {}, "Most frequent mistakes"), ...buttons);
}
