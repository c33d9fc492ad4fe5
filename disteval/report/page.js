// The page: what is chosen, and what is drawn for it. Only this file holds state.

import { drawCharts } from "./charts.js";
import { classTable, drawMatrix, hasClasses } from "./classes.js";
import { readReport } from "./data.js";
import { element, fillSelect } from "./elements.js";
import { drawMap, hasMap } from "./map.js";
import { chooseRows, filters, sortOptions } from "./rows.js";
import { drawSamples, legend, sampleDetails } from "./samples.js";
import { drawSlices, sliceMetrics } from "./slices.js";
import { format, percent, spaced } from "./text.js";

const PAGE_SIZE = 60; // samples

const part = (id) => document.getElementById(id);

const report = readReport(JSON.parse(part("data").textContent));
let { versions } = report;

const state = {
  first: versions[versions.length - 1],
  second: null, // the version to compare with
  truth: null, // the number of a class
  predicted: null,
  show: "all",
  slice: null, // [name, value]
  metric: "", // the metric of slices that is drawn
  area: null, // of the data map
  sort: "", // a column with numbers; none for the order of the rows
  order: 1,
  page: 0,
};

function versionOptions() {
  return versions.map((version, i) => [String(i), version.best ? `${version.name} (best)` : version.name]);
}

function classOptions(role) {
  const counts = new Map();
  const classes = state.first.classes(role);
  if (!classes) return [["", "all"]];
  for (const value of classes.flat()) counts.set(value, (counts.get(value) ?? 0) + 1);
  const known = report.classes.map((name, i) => [String(i), `${name} (${format(counts.get(i) ?? 0)})`]);
  return [["", "all"], ...known];
}

function sliceOptions() {
  const parts = state.first.parts.map(([name, value, count]) => [JSON.stringify([name, value]), `${name} = ${value} (${format(count)})`]);
  return [["", "all"], ...parts];
}

function showOptions() {
  return Object.entries(filters(state)).map(([value, [text]]) => [value, text]);
}

// Fills a select, and returns the choice; the first option if the version does not offer the choice.
function offer(id, options, chosen) {
  const value = options.some(([option]) => option === chosen) ? chosen : options[0][0];
  fillSelect(part(id), options, value);
  return value;
}

function tiles(version) {
  const { right, known } = version.count();
  const entries = [[isPart(version) ? "Samples shown" : "Samples", format(version.rows)]];
  if (known) entries.push(["Correct", percent(right, known)], ["Wrong", format(known - right)]);
  for (const name of version.headline) {
    const values = version.column(name).values.filter((value) => Number.isFinite(value));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    entries.push([`Mean ${spaced(name)}`, values.length ? format(mean) : "–"]);
  }
  return entries;
}

// Whether the table holds fewer samples than were evaluated.
function isPart(version) {
  return version.samples > version.rows;
}

function drawTiles() {
  const all = format(state.first.samples ?? 0);
  part("part").textContent = `The table holds ${format(state.first.rows)} of the ${all} samples that were evaluated. Metrics${
    state.first.confusion.length ? " and the confusion matrix" : ""} are of all of them.`;
  part("part").hidden = !isPart(state.first);
  const second = state.second ? new Map(tiles(state.second)) : new Map();
  part("summary").replaceChildren(
    ...tiles(state.first).map(([name, value]) =>
      element("div", { class: "card tile" },
        element("span", { class: "muted cut", title: name }, name),
        element("b", {}, value),
        second.has(name) ? element("small", { class: "muted" }, `${state.second.name}: ${second.get(name)}`) : null)),
  );
}

function drawMatrices() {
  const shown = [state.first, state.second].filter((version) => version && hasClasses(version));
  part("confusion").hidden = shown.length === 0;
  part("matrices").replaceChildren(...shown.map((version) => drawMatrix(version, report.classes, pickPair)));
}

function drawMetrics() {
  const more = drawCharts(part("charts"), part("more-charts"), versions, versions.indexOf(state.first), pickVersion);
  part("more").hidden = more === 0;
  part("more-title").textContent = `More metrics (${more})`;
  const table = classTable(state.first, state.second);
  part("classes").hidden = table === null;
  part("class-versions").textContent = state.second ? `${state.first.name}, and in gray ${state.second.name}` : state.first.name;
  part("class-table").replaceChildren(...(table ? [table] : []));
}

function drawParts() {
  const metrics = sliceMetrics(state.first);
  part("slices").hidden = metrics.length === 0;
  if (!metrics.length) return;
  state.metric = offer("metric", metrics.map((name) => [name, spaced(name)]), state.metric);
  part("slice-charts").replaceChildren(...drawSlices(state.first, state.metric, pickSlice));
}

function drawDataMap() {
  part("map").hidden = !hasMap(state.first);
  part("map-chart").replaceChildren(...(hasMap(state.first) ? [drawMap(state.first, state.area, pickArea)] : []));
}

function pickSlice(name, value) {
  if (!state.first.parts.some((each) => each[0] === name && each[1] === value)) return; // none in the table
  Object.assign(state, { slice: [name, value], page: 0 });
  drawVersions();
  part("samples").scrollIntoView({ behavior: "smooth" });
}

function pickArea(area) {
  Object.assign(state, { area, page: 0 });
  drawRows();
}

function pickPair(version, truth, predicted) {
  if (version !== state.first) [state.first, state.second] = [version, state.first];
  Object.assign(state, { truth, predicted, show: "all", page: 0 });
  drawVersions();
  part("samples").scrollIntoView({ behavior: "smooth" });
}

// Shows another set of validation data, from its newest version on.
function pickSet(name) {
  versions = report.versions = report.sets.get(name);
  Object.assign(state, { first: versions[versions.length - 1], second: null, truth: null, predicted: null });
  Object.assign(state, { show: "all", sort: "", slice: null, area: null, page: 0 });
  drawVersions();
}

function pickVersion(index) {
  state.first = versions[index];
  if (state.second === state.first) state.second = null;
  drawVersions();
}

// Draws everything that depends on the chosen versions.
function drawVersions() {
  fillSelect(part("first"), versionOptions(), String(versions.indexOf(state.first)));
  const others = versionOptions().filter(([value]) => versions[Number(value)] !== state.first);
  fillSelect(part("second"), [["", "none"], ...others], String(versions.indexOf(state.second)));
  const number = (text) => (text === "" ? null : Number(text));
  const text = (choice) => (choice === null ? "" : String(choice));
  state.truth = number(offer("truth", classOptions("truth"), text(state.truth)));
  state.predicted = number(offer("predicted", classOptions("prediction"), text(state.predicted)));
  state.show = offer("show", showOptions(), state.show);
  const slice = offer("slice", sliceOptions(), state.slice ? JSON.stringify(state.slice) : "");
  state.slice = slice === "" ? null : JSON.parse(slice);
  if (!hasMap(state.first)) state.area = null;
  state.sort = offer("sort", sortOptions(state), state.sort);
  part("order").value = String(state.order);
  drawTiles();
  drawMetrics();
  drawMatrices();
  drawParts();
  drawDataMap();
  drawRows();
}

// Draws only the samples.
function drawRows() {
  const rows = chooseRows(state);
  const pages = Math.max(1, Math.ceil(rows.length / PAGE_SIZE));
  state.page = Math.min(state.page, pages - 1);
  const start = state.page * PAGE_SIZE;
  drawSamples(part("grid"), rows.slice(start, start + PAGE_SIZE), state, report, showDetails);
  part("count").textContent = `${format(rows.length)} of ${format(state.first.rows)} samples`;
  part("place").textContent = `page ${format(state.page + 1)} of ${format(pages)}`;
  part("previous").disabled = state.page === 0;
  part("next").disabled = state.page === pages - 1;
}

function showDetails(key) {
  part("details-title").textContent = `Sample ${key}`;
  part("details-body").replaceChildren(...sampleDetails(key, state, report));
  part("details").showModal();
}

function turn(pages) {
  state.page += pages;
  drawRows();
}

function onFilter(id, read) {
  part(id).addEventListener("change", (event) => {
    Object.assign(state, { ...read(event.target.value), page: 0 });
    drawRows();
  });
}

const setNames = [...report.sets.keys()];
const setOptions = setNames.map((name) => [name, name === "" ? "without a name" : name]);
fillSelect(part("set"), setOptions, setNames.at(-1));
part("set").addEventListener("change", (event) => pickSet(event.target.value));
part("first").addEventListener("change", (event) => pickVersion(Number(event.target.value)));
part("second").addEventListener("change", (event) => {
  state.second = event.target.value === "" ? null : versions[Number(event.target.value)];
  drawVersions();
});
onFilter("truth", (value) => ({ truth: value === "" ? null : Number(value) }));
onFilter("predicted", (value) => ({ predicted: value === "" ? null : Number(value) }));
onFilter("show", (value) => ({ show: value }));
onFilter("slice", (value) => ({ slice: value === "" ? null : JSON.parse(value) }));
onFilter("sort", (value) => ({ sort: value }));
onFilter("order", (value) => ({ order: Number(value) }));
part("reset").addEventListener("click", () => {
  Object.assign(state, { truth: null, predicted: null, show: "all", slice: null, area: null });
  Object.assign(state, { sort: "", order: 1, page: 0 });
  drawVersions();
});
part("metric").addEventListener("change", (event) => {
  state.metric = event.target.value;
  drawParts();
});
part("previous").addEventListener("click", () => turn(-1));
part("next").addEventListener("click", () => turn(1));

part("legend").replaceChildren(...legend([...report.classes.keys()], report));
drawVersions();
