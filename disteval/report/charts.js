// Charts: lines over the versions, metrics of classes, and confusion matrices.

const FIRST_CHARTS = 6; // the others are there on demand
const MAX_CHARTS = 24;
const MAX_LINES = 6;
const CHART = { width: 360, height: 170, left: 46, right: 12, top: 10, bottom: 22 };
const MAX_CLASSES = 20; // of a confusion matrix

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const MACHINE = /^eval\/(samples_per_sec|seconds_.*)$/;

// ["f1", "cat"] of "eval/f1/cat"; null for a metric of all classes.
function classMetric(name) {
  return name.match(/^eval\/([^/]+)\/(.+)$/s)?.slice(1) ?? null;
}

// Metrics by chart: those of training and of validation belong together, and so do times.
function groupMetrics() {
  const groups = new Map();
  const counts = versions.map((version) => version.count());
  const names = new Set(versions.flatMap((version) => Object.keys(version.metrics)));
  if (counts.some((count) => count.known) && !names.has("eval/accuracy")) {
    const values = counts.map((count) => (count.known ? count.right / count.known : null));
    groups.set("correct in the table", [{ name: "share", values }]);
  }
  // What the machine did comes last.
  const order = [...names].sort((a, b) => MACHINE.test(a) - MACHINE.test(b));
  for (const name of order.filter((each) => !classMetric(each))) {
    const title = name.replace(/^eval\//, "").replace(/^val_/, "").replace(/^seconds_.*/, "seconds");
    const values = versions.map((version) => version.metrics[name] ?? null);
    groups.set(title, [...(groups.get(title) ?? []), { name, values }]);
  }
  return groups;
}

function drawCharts(first, others, chosen, pick) {
  const groups = [...groupMetrics()];
  const charts = groups.slice(0, MAX_CHARTS).map(([title, lines]) => lineChart(title, lines, chosen, pick));
  first.replaceChildren(...charts.slice(0, FIRST_CHARTS));
  others.replaceChildren(...charts.slice(FIRST_CHARTS));
  if (groups.length > MAX_CHARTS) {
    const rest = groups.slice(MAX_CHARTS).map(([title]) => title);
    others.append(element("p", { class: "muted" }, `Not drawn: ${rest.join(", ")}`));
  }
  return Math.max(0, groups.length - FIRST_CHARTS);
}

// The metrics of each class in the first version, and beside them in the second; null if there are none.
function classTable(first, second) {
  const found = Object.keys(first.metrics).map(classMetric).filter(Boolean);
  const [metrics, names] = [0, 1].map((part) => [...new Set(found.map((pair) => pair[part]))]);
  if (!found.length) return null;
  const cell = (metric, name) => {
    const key = `eval/${metric}/${name}`;
    const [value, before] = [first.metrics[key], second?.metrics[key]];
    const made = element("td", {}, value === undefined ? "–" : format(value),
      before === undefined ? null : element("small", {}, ` ${format(before)}`));
    if (value >= 0 && value <= 1) {
      made.classList.add("bar");
      made.style.setProperty("--share", `${100 * value}%`);
    }
    return made;
  };
  return element("table", { class: "numbers" },
    element("tr", {}, element("td"), ...metrics.map((metric) => head("col", spaced(metric)))),
    ...names.map((name) => element("tr", {}, head("row", name), ...metrics.map((metric) => cell(metric, name)))));
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function scale(values, from, to) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const place = (value) => from + ((value - low) / (high - low)) * (to - from);
  return { place, low, high };
}

function lineChart(title, lines, chosen, pick) {
  const drawn = lines.slice(0, MAX_LINES);
  const positions = versions.map((version, i) => version.position ?? i);
  const finite = drawn.flatMap((line) => line.values).filter((value) => value !== null);
  const x = scale(positions, CHART.left, CHART.width - CHART.right);
  const y = scale(finite, CHART.height - CHART.bottom, CHART.top);
  const picture = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": title });

  for (const tick of ticks(y.low, y.high, 4)) {
    const place = y.place(tick);
    picture.append(
      svg("line", { class: "rule", x1: CHART.left, x2: CHART.width - CHART.right, y1: place, y2: place }),
      svg("text", { class: "tick", x: CHART.left - 6, y: place + 4, "text-anchor": "end" }, short(tick)),
    );
  }
  const whole = versions.length > 1 ? ticks(x.low, x.high, 5).filter(Number.isInteger) : positions;
  for (const tick of whole) {
    const place = { x: x.place(tick), y: CHART.height - 5, "text-anchor": "middle" };
    picture.append(svg("text", { class: "tick", ...place }, format(tick)));
  }
  const guide = svg("line", { class: "guide", y1: CHART.top, y2: CHART.height - CHART.bottom });
  picture.append(guide);
  drawn.forEach((line, number) => picture.append(...drawLine(line, number, positions, x, y)));

  const values = drawn.map((line, number) => {
    const value = element("b");
    const entry = element("span", { class: `legend line-${number}` }, `${spaced(line.name)} `, value);
    return { line, value, entry };
  });
  const when = element("span", { class: "muted" });
  const read = (index) => {
    guide.setAttribute("x1", x.place(positions[index]));
    guide.setAttribute("x2", x.place(positions[index]));
    when.textContent = versions[index].name;
    for (const { line, value } of values) {
      value.textContent = line.values[index] === null ? "–" : format(line.values[index]);
    }
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

  const more = lines.length > MAX_LINES ? `and ${lines.length - MAX_LINES} more` : null;
  const legend = element("p", {}, ...values.map(({ entry }) => entry), more);
  return element("figure", { class: "card" }, element("figcaption", {}, element("h3", {}, spaced(title)), when), picture, legend);
}

function drawLine(line, number, positions, x, y) {
  const points = positions.map((position, i) => [x.place(position), line.values[i]]);
  let path = "";
  let down = false; // a gap where there is no value
  for (const [place, value] of points) {
    if (value !== null) path += `${down ? "L" : "M"}${place.toFixed(1)} ${y.place(value).toFixed(1)}`;
    down = value !== null;
  }
  const dots = points.length > 40 ? [] : points.filter(([, value]) => value !== null);
  return [
    svg("path", { class: `line line-${number}`, d: path }),
    ...dots.map(([place, value]) => svg("circle", { class: `dot line-${number}`, cx: place, cy: y.place(value), r: 2.5 })),
  ];
}

// Counts of [truth, prediction], by truth * number of classes + prediction: of all samples if the
// run logged that, else of those in the table.
function countPairs(version) {
  if (version.confusion.length) {
    return new Map(version.confusion.map(([truth, prediction, count]) => [truth * data.classes.length + prediction, count]));
  }
  const counts = new Map();
  const [truth, prediction] = [version.role("truth").values, version.role("prediction").values];
  truth.forEach((value, row) => {
    if (value === null || prediction[row] === null) return;
    const pair = value * data.classes.length + prediction[row];
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  });
  return counts;
}

function hasClasses(version) {
  return version.role("truth")?.kind === "class" && version.role("prediction")?.kind === "class";
}

function drawMatrix(version, pick) {
  const counts = countPairs(version);
  const number = data.classes.length;
  const mistakes = new Array(number).fill(0);
  const wrong = [...counts].filter(([pair]) => Math.floor(pair / number) !== pair % number);
  for (const [pair, count] of wrong) {
    mistakes[Math.floor(pair / number)] += count;
    mistakes[pair % number] += count;
  }
  let shown = [...mistakes.keys()];
  if (number > MAX_CLASSES) {
    shown.sort((a, b) => mistakes[b] - mistakes[a]);
    shown = shown.slice(0, MAX_CLASSES).sort((a, b) => a - b);
  }
  const table = element("table", { class: "matrix" },
    element("tr", {}, element("td"), ...shown.map((i) => head("col", data.classes[i]))),
    ...shown.map((truth) => element("tr", {}, head("row", data.classes[truth]), ...cells(truth))),
  );
  function cells(truth) {
    const row = shown.map((prediction) => counts.get(truth * number + prediction) ?? 0);
    const total = [...Array(number).keys()].reduce((sum, i) => sum + (counts.get(truth * number + i) ?? 0), 0);
    return row.map((count, i) => matrixCell(version, truth, shown[i], count, total, pick));
  }
  const left = number > MAX_CLASSES
    ? element("p", { class: "muted" }, `The ${MAX_CLASSES} of ${number} classes with the most mistakes.`)
    : null;
  const most = wrong.sort((a, b) => b[1] - a[1]).slice(0, 6).map(([pair, count]) => {
    const [truth, prediction] = [Math.floor(pair / number), pair % number];
    const text = `${data.classes[truth]} → ${data.classes[prediction]}`;
    return element("button", { type: "button", onclick: () => pick(version, truth, prediction) },
      element("span", { class: "cut" }, text), element("span", { class: "number" }, `(${format(count)})`));
  });
  return element("figure", { class: "card" },
    element("figcaption", {}, element("h3", {}, version.name)), left,
    element("div", { class: "beside" },
      element("div", { class: "scroll" }, table),
      most.length ? element("div", { class: "mistakes" }, element("h3", {}, "Most frequent mistakes"), ...most) : null));
}

function head(scope, name) {
  return element("th", { scope, title: name }, element("span", { class: "cut" }, name));
}

function matrixCell(version, truth, prediction, count, total, pick) {
  const cell = element("td", { class: truth === prediction ? "right" : "wrong" });
  if (count) {
    const title = `${data.classes[truth]}, predicted as ${data.classes[prediction]}: ${count} of ${total}`;
    cell.style.setProperty("--share", `${Math.round(8 + (60 * count) / total)}%`);
    cell.append(element("button", { type: "button", title, onclick: () => pick(version, truth, prediction) }, format(count)));
  }
  return cell;
}
