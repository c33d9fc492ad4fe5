// The samples: a card for each, and all about one of them.

import { isFact } from "./data.js";
import { drawDifferences } from "./differences.js";
import { element } from "./elements.js";
import { spaced } from "./text.js";
import { drawTimeline } from "./timeline.js";

const MAX_FACTS = 5; // columns without a role on a card
const PIXEL_ART = 64; // pictures of at most this width are enlarged without smoothing

// Draws a card for each row of the first version; `open(key)` is called to show a sample's details.
export function drawSamples(grid, rows, choice, report, open) {
  const names = listedColumns(choice.first, report.versions);
  const cards = rows.map((row) => sampleCard(row, names, choice, report, open));
  grid.classList.toggle("wide", cards.some((card) => card.querySelectorAll(".picture").length !== 1));
  grid.replaceChildren(...cards);
}

// Returns the names of the columns that cards list: first what describes the samples, in all versions.
function listedColumns(version, versions) {
  const rank = (name) => (isFact(versions, name) ? 0 : 1);
  return version.remaining.sort((a, b) => rank(a) - rank(b));
}

function sampleCard(row, names, { first, second }, report, open) {
  const key = first.key(row);
  const shown = [[first, row], [second, second?.rowOf(key)]].filter(([version]) => version);
  const pictures = drawPictures(shown, report);
  const filled = names.filter((name) => shown.some(([version, at]) => version.isFilled(name, at)));
  const listed = filled.slice(0, MAX_FACTS);
  const differ = (name) => new Set(shown.filter(([, at]) => at !== undefined).map(([version, at]) => cell(version, name, at))).size > 1;
  const facts = listed.filter((name) => !differ(name)).flatMap((name) => fact(name, first.text(name, row)));
  const { truth: label, reference } = first.roles;
  const truth = label ? fact("Truth", first.text(label, row)) : [];
  if (reference) truth.push(...fact("Reference", first.text(reference, row)));
  const button = { type: "button", class: "pictures", "aria-label": `Details of sample ${key}`, onclick: () => open(key) };
  const inside = pictures.length ? pictures : [element("span", { class: "muted" }, `Sample ${key}`)];
  return element("article", { class: "card sample" },
    element("button", button, ...inside),
    element("dl", {}, ...facts, ...truth),
    ...shown.flatMap(([version, at]) => [
      predictionLine(version, at, Boolean(second)),
      at === undefined ? null : ownFacts(version, at, listed.filter(differ)),
    ]),
    filled.length > MAX_FACTS ? element("button", { type: "button", class: "more", onclick: () => open(key) }, `${filled.length - MAX_FACTS} more`) : null);
}

// Draws what only one of two versions says of a sample; nothing if they agree.
function ownFacts(version, row, names) {
  return names.length ? element("dl", {}, ...names.flatMap((name) => fact(name, cell(version, name, row)))) : null;
}

// Returns a cell as text, also of a column that only other versions have.
function cell(version, name, row) {
  return Object.hasOwn(version.columns, name) ? version.text(name, row) : "–";
}

// Draws the pictures of the rows in `shown`, given as [version, row]. Two versions share a picture
// unless masks or boxes are drawn into it, so each picture is drawn once.
function drawPictures(shown, report, isDetailed = false) {
  const seen = new Map();
  for (const [version, row] of shown) {
    for (const number of version.role("picture")?.values[row] ?? []) {
      seen.set(number, [...(seen.get(number) ?? []), version]);
    }
  }
  return [...seen].map(([number, [version, ...others]]) => {
    const [caption, uri, classes] = report.pictures[number];
    const when = others.length + 1 < shown.length ? `, ${version.name}` : "";
    const image = uri
      ? element("img", { src: uri, alt: caption || "input", decoding: "async", onload: sharpen })
      : element("span", { class: "muted" }, "no picture");
    return element("span", { class: "picture" }, image, caption ? element("small", {}, caption + when) : null,
      ...(isDetailed ? legend(classes, report) : []));
  });
}

// Draws the classes, given by number, that are drawn into pictures, each in its color.
export function legend(classes, report) {
  return classes.filter((number) => number in report.colors).map((number) => {
    const entry = element("span", { class: "legend" }, report.classes[number]);
    entry.style.setProperty("--color", report.colors[number]);
    return entry;
  });
}

function sharpen(event) {
  event.target.classList.toggle("pixels", event.target.naturalWidth <= PIXEL_ART);
}

function fact(name, value) {
  return [element("dt", { title: name }, spaced(name)), element("dd", { title: value }, value)];
}

function mark(isCorrect) {
  if (isCorrect === null) return null;
  const [name, label, sign] = isCorrect ? ["right", "correct", "✓"] : ["wrong", "wrong", "✗"];
  return element("span", { class: `mark ${name}`, role: "img", "aria-label": label }, sign);
}

// Draws the prediction of a version, with its differences to a reference.
function drawPrediction(version, row) {
  const { prediction, reference } = version.roles;
  const text = version.text(prediction, row);
  return reference ? drawDifferences(version.text(reference, row), text) : [text];
}

// Draws what a version predicts; `isNamed` tells which version that is.
function predictionLine(version, row, isNamed) {
  if (row === undefined) return element("p", { class: "prediction muted" }, `${version.name}: not in the table`);
  const { prediction, confidence, reference } = version.roles;
  const numbers = version.beside.map((name) => element("span", { class: "number", title: name },
    name === confidence ? null : element("small", {}, `${spaced(name)} `), version.text(name, row)));
  const isNumber = prediction && version.column(prediction).kind === "number";
  const line = element("p", { class: prediction ? "prediction" : "prediction numbers-only" },
    mark(version.isCorrect(row)),
    element("span", { class: "what" },
      isNamed ? element("small", {}, version.name) : null,
      isNumber && !isNamed ? element("small", {}, "Prediction") : null,
      prediction ? element("span", { class: reference ? "cut compared" : "cut", title: version.text(prediction, row) }, ...drawPrediction(version, row)) : null),
    ...numbers);
  // The score of a text is no share of one.
  const share = confidence && !reference ? version.column(confidence).values[row] : null;
  if (share !== null && share >= 0 && share <= 1) {
    line.classList.add("bar");
    line.style.setProperty("--share", `${100 * share}%`);
  }
  return line;
}

// Draws everything about one sample: its pictures, its facts, and a table of all versions.
export function sampleDetails(key, { first, second }, report) {
  const at = report.versions.map((version) => [version, version.rowOf(key)]).filter(([, row]) => row !== undefined);
  const [version, row] = at.find(([candidate]) => candidate === first) ?? at[0];
  const pictured = [[version, row], [second, second?.rowOf(key)]].filter(([, there]) => there !== undefined);
  const named = [version.roles.truth, version.roles.reference, ...version.others].filter((name) => name !== undefined);
  const facts = named.flatMap((name) => fact(name, version.text(name, row)));
  return [
    element("div", { class: "pictures" }, ...drawPictures(pictured, report, true)),
    element("dl", {}, ...facts),
    drawTimeline(at) ?? "",
    element("div", { class: "scroll" }, historyTable(at, version, first)),
  ];
}

// Draws the predictions of a sample in all versions, given as [version, row].
function historyTable(at, shown, chosen) {
  const columns = [shown.roles.prediction, ...shown.headline].filter(Boolean);
  return element("table", {},
    element("tr", {}, ...["", "", ...columns].map((name) => element("th", { scope: "col" }, spaced(name)))),
    ...at.map(([version, row]) => element("tr", { class: version === chosen ? "chosen" : "" },
      element("th", { scope: "row" }, version.name.replaceAll(" ", "\u00a0")),
      element("td", {}, mark(version.isCorrect(row)) ?? ""),
      ...columns.map((name) => element("td", {}, ...(name === version.roles.prediction ? drawPrediction(version, row) : [cell(version, name, row)]))))));
}
