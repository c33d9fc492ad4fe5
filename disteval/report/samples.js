// The samples: which ones, in what order, a page of them, and one of them in detail.

const PAGE_SIZE = 60;
const MAX_FACTS = 3; // columns without a role on a card

// What can be shown: by the results in the first and the second version, which may be null for not
// known, and whether their predictions differ.
function shows({ first, second }) {
  const known = first.count().known > 0;
  const results = {
    wrong: ["wrong", (here) => here === false],
    correct: ["correct", (here) => here === true],
  };
  const comparing = second && {
    better: [`right only in ${first.name}`, (here, there) => here === true && there === false],
    worse: [`right only in ${second.name}`, (here, there) => here === false && there === true],
  };
  const differing = second && { changed: ["predicted differently", (here, there, differ) => differ] };
  return { all: ["all", () => true], ...(known && { ...results, ...comparing }), ...differing };
}

// Returns the rows of the first version that pass the filters, in order.
function chooseRows(state) {
  const { first, second } = state;
  const [truth, predicted] = [first.classes("truth"), first.classes("prediction")];
  const [, isShown] = shows(state)[state.show];
  const [here, other] = [first, second].map((version) => (version?.role("prediction") ?? version?.role("picture"))?.values);
  const chosen = [];
  for (let row = 0; row < first.rows; row += 1) {
    if (state.truth !== null && !truth[row].includes(state.truth)) continue;
    if (state.predicted !== null && !predicted[row].includes(state.predicted)) continue;
    const there = second?.rowOf(first.key(row));
    const differ = there !== undefined && here !== undefined && String(here[row]) !== String(other?.[there]);
    if (isShown(first.isCorrect(row), there === undefined ? null : second.isCorrect(there), differ)) chosen.push(row);
  }
  return state.sort === "" ? (state.order < 0 ? chosen.reverse() : chosen) : sortRows(chosen, state);
}

function sortRows(rows, { first, second, sort, order }) {
  const [, change, name] = sort.match(/^(change )?(.*)$/s);
  const here = first.column(name).values;
  const there = second?.column(name)?.values;
  const value = (row) => (change ? (there?.[second.rowOf(first.key(row))] ?? NaN) - here[row] : here[row]);
  const keys = new Map(rows.map((row) => [row, value(row)]));
  const missing = (key) => key === null || Number.isNaN(key);
  return rows.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (missing(x) || missing(y)) return missing(x) - missing(y); // last in either order
    return x === y ? a - b : (x < y ? -1 : 1) * order;
  });
}

function sortOptions({ first, second }) {
  const names = first.numbers.map((name) => [name, spaced(name)]);
  const both = second ? first.numbers.filter((name) => second.numbers.includes(name)) : [];
  return [["", "row"], ...names, ...both.map((name) => [`change ${name}`, `change of ${spaced(name)}`])];
}

function drawSamples(grid, rows, state) {
  const cards = rows.map((row) => sampleCard(row, state));
  grid.classList.toggle("wide", cards.some((card) => card.querySelectorAll(".picture").length !== 1));
  grid.replaceChildren(...cards);
}

function sampleCard(row, { first, second }) {
  const key = first.key(row);
  const shown = [[first, row], [second, second?.rowOf(key)]].filter(([version]) => version);
  const pictures = drawPictures(shown);
  const names = pictures.length ? [] : first.others.filter(isFact).slice(0, MAX_FACTS);
  const facts = names.map((name) => fact(name, first.text(name, row)));
  const truth = first.roles.truth ? [fact("Truth", first.text(first.roles.truth, row))] : [];
  const open = { type: "button", class: "pictures", "aria-label": `Details of sample ${key}`, onclick: () => showDetails(key) };
  const inside = pictures.length ? pictures : [element("span", { class: "muted" }, `Sample ${key}`)];
  return element("article", { class: "card sample" },
    element("button", open, ...inside),
    element("dl", {}, ...facts.flat(), ...truth.flat()),
    ...shown.map(([version, at]) => predictionLine(version, at, Boolean(second))));
}

// Each picture once: those of two versions are the same as long as nothing is drawn into them.
function drawPictures(shown, detailed = false) {
  const seen = new Map();
  for (const [version, row] of shown) {
    for (const number of version.role("picture")?.values[row] ?? []) {
      seen.set(number, [...(seen.get(number) ?? []), version]);
    }
  }
  return [...seen].map(([number, having]) => {
    const [caption, uri, classes] = data.pictures[number];
    const when = having.length < shown.length ? `, ${having[0].name}` : "";
    const image = uri
      ? element("img", { src: uri, alt: caption || "input", decoding: "async", onload: sharpen })
      : element("span", { class: "muted" }, "no picture");
    return element("span", { class: "picture" }, image, caption ? element("small", {}, caption + when) : null,
      ...(detailed ? legend(classes) : []));
  });
}

// The classes that are drawn into pictures, and in which color.
function legend(classes) {
  return classes.filter((number) => number in data.colors).map((number) => {
    const entry = element("span", { class: "legend" }, data.classes[number]);
    entry.style.setProperty("--color", data.colors[number]);
    return entry;
  });
}

// Small pictures are for looking at pixels.
function sharpen(event) {
  event.target.classList.toggle("pixels", event.target.naturalWidth <= 64);
}

function fact(name, value) {
  return [element("dt", {}, spaced(name)), element("dd", { title: value }, value)];
}

function mark(correct) {
  if (correct === null) return null;
  return element("span", { class: correct ? "mark right" : "mark wrong", role: "img", "aria-label": correct ? "correct" : "wrong" }, correct ? "✓" : "✗");
}

function predictionLine(version, row, named) {
  if (row === undefined) return element("p", { class: "prediction muted" }, `${version.name}: not in the table`);
  const { prediction, confidence } = version.roles;
  const names = prediction ? version.headline.slice(0, 1) : version.headline;
  const numbers = names.map((name) => element("span", { class: "number", title: name },
    name === confidence ? null : element("small", {}, `${spaced(name)} `), version.text(name, row)));
  const isNumber = prediction && version.column(prediction).kind === "number";
  const line = element("p", { class: prediction ? "prediction" : "prediction numbers-only" },
    mark(version.isCorrect(row)),
    element("span", { class: "what" },
      named ? element("small", {}, version.name) : null,
      isNumber && !named ? element("small", {}, "Prediction") : null,
      prediction ? element("span", { class: "cut", title: version.text(prediction, row) }, version.text(prediction, row)) : null),
    ...numbers);
  const share = confidence ? version.column(confidence).values[row] : null;
  if (share !== null && share >= 0 && share <= 1) {
    line.classList.add("bar");
    line.style.setProperty("--share", `${100 * share}%`);
  }
  return line;
}

function showDetails(key) {
  const dialog = document.getElementById("details");
  const at = versions.map((version) => [version, version.rowOf(key)]).filter(([, row]) => row !== undefined);
  const [version, row] = at.find(([candidate]) => candidate === state.first) ?? at[0];
  const pictured = [[version, row], [state.second, state.second?.rowOf(key)]].filter(([, there]) => there !== undefined);
  document.getElementById("details-title").textContent = `Sample ${key}`;
  const named = ["truth", ...version.others].map((name) => version.roles[name] ?? name);
  const facts = named.filter((name) => name in version.columns).flatMap((name) => fact(name, version.text(name, row)));
  const columns = [version.roles.prediction, ...version.headline].filter(Boolean);
  const table = element("table", {},
    element("tr", {}, ...["", "", ...columns].map((name) => element("th", { scope: "col" }, spaced(name)))),
    ...at.map(([other, there]) => element("tr", { class: other === state.first ? "chosen" : "" },
      element("th", { scope: "row" }, other.name.replaceAll(" ", "\u00a0")),
      element("td", {}, mark(other.isCorrect(there)) ?? ""),
      ...columns.map((name) => element("td", {}, name in other.columns ? other.text(name, there) : "–")))));
  document.getElementById("details-body").replaceChildren(
    element("div", { class: "pictures" }, ...drawPictures(pictured, true)),
    element("dl", {}, ...facts),
    element("div", { class: "scroll" }, table));
  dialog.showModal();
}
