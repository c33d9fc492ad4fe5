// The page's data: versions of predictions, each with columns, some of which have a role.

import { format } from "./text.js";

// Names of the masks and boxes that show the truth and the prediction.
const OVERLAYS = { truth: /^(ground|truth|label|target)/i, prediction: /^pred/i };

// Decodes the data that `page.py` wrote. A report has the `classes` by name, the `colors` of those
// that are drawn into pictures, the names of the columns of a `history`, the `pictures` as [caption, URI, numbers of classes], and `sets`: the
// versions of each set of validation data by its name, which is "" without one. `versions` are those
// of the set that is shown.
export function readReport(data) {
  const shared = { ...data, columns: data.columns.map(decodeColumn) };
  const sets = new Map();
  for (const name of new Set(data.versions.map((version) => version.set))) {
    sets.set(name, readVersions(data.versions.filter((version) => version.set === name), shared));
  }
  const versions = [...sets.values()].at(-1);
  return { classes: data.classes, colors: data.colors, pictures: data.pictures, sets, versions };
}

// Returns the versions of one set of validation data.
function readVersions(all, shared) {
  const axis = chooseAxis(all);
  const versions = all.map((encoded) => new ShownVersion(encoded, shared, axis));
  numberEqualNames(versions);
  return versions;
}

function decodeColumn({ kind, values }) {
  // JSON has no NaN and no infinities: they are words, which Number() reads.
  return { kind, values: kind === "number" ? values.map((value) => (value === null ? null : Number(value))) : values };
}

// Returns what versions are told apart by and drawn over: "epoch", unless a part of the run logged
// several in an epoch, else "step"; or null if a resumed run has counted its steps anew.
function chooseAxis(versions) {
  const evaluations = new Set(versions.map(({ part, epoch }) => `${part} ${epoch}`));
  if (evaluations.size === versions.length) return "epoch";
  return versions.every(({ step }, i) => i === 0 || step >= versions[i - 1].step) ? "step" : null;
}

// Two callbacks in one run log versions with equal names, and so does a resumed run.
function numberEqualNames(versions) {
  const times = new Map();
  for (const version of versions) {
    const { name } = version;
    times.set(name, (times.get(name) ?? 0) + 1);
    if (times.get(name) > 1) version.name = `${name} (${times.get(name)})`;
  }
}

// Whether a column describes the samples, and is therefore the same in all versions.
export function isFact(versions, name) {
  return versions.every((version) => version.columns[name] === versions[0].columns[name]);
}

class ShownVersion {
  #data; // `classes`, `pictures`, `history` and `columns` of all versions
  #axis;
  #correct; // by row
  #classes = {}; // by role and row
  #rows; // by key

  constructor(encoded, data, axis) {
    Object.assign(this, encoded);
    // A name such as "constructor" is that of a metric or column, never one that all objects have.
    for (const part of ["metrics", "columns", "roles"]) this[part] = Object.assign(Object.create(null), encoded[part]);
    this.#data = data;
    this.#axis = axis;
    this.name = axis === "epoch" ? `Epoch ${this.epoch}` : `Epoch ${this.epoch}, step ${this.step}`;
  }

  // Where the version is on the horizontal axis of a chart; null if it is not known.
  get position() {
    return this.#axis && this[this.#axis];
  }

  // Returns the column with a name, or undefined.
  column(name) {
    return Object.hasOwn(this.columns, name) ? this.#data.columns[this.columns[name]] : undefined;
  }

  // Returns the column with a role such as "truth", or undefined.
  role(role) {
    return this.roles[role] === undefined ? undefined : this.column(this.roles[role]);
  }

  // Names of the columns of numbers, those that are most often sorted by first.
  get numbers() {
    const first = this.#confidenceAndLoss;
    const others = Object.keys(this.columns).filter(
      (name) => this.column(name).kind === "number" && name !== this.roles.key && !first.includes(name),
    );
    return [...first, ...others.filter((name) => name !== "epoch" && name !== "step")];
  }

  // Names of the numbers to show first: confidence and loss, or what a table has instead.
  get headline() {
    const known = this.#confidenceAndLoss;
    return known.length ? known : this.numbers.filter((name) => !name.includes("/")).slice(0, 3);
  }

  // Names of the numbers to show beside the prediction.
  get beside() {
    return this.roles.prediction ? this.headline.slice(0, 1) : this.headline;
  }

  // Names of the columns of text, bools and numbers that are not shown otherwise; numbers come after
  // text, and those of classes, such as "iou/cat", last. The history is for details.
  get remaining() {
    const taken = new Set([...Object.values(this.roles), "epoch", "step", ...this.beside, ...this.#data.history]);
    const rank = (name) => (this.column(name).kind === "text" ? 0 : 1 + name.includes("/"));
    return Object.keys(this.columns)
      .filter((name) => !taken.has(name) && ["text", "number"].includes(this.column(name).kind))
      .sort((a, b) => rank(a) - rank(b));
  }

  get #confidenceAndLoss() {
    return [this.roles.confidence, this.roles.loss].filter(Boolean);
  }

  // Names of the columns without a role.
  get others() {
    const taken = new Set([...Object.values(this.roles), "epoch", "step", ...this.headline]);
    return Object.keys(this.columns).filter((name) => !taken.has(name));
  }

  // Returns the classes of each row's truth or prediction, from the column with that role or else
  // from the masks and boxes of its pictures; undefined if there are none.
  classes(role) {
    return (this.#classes[role] ??= this.#findClasses(role));
  }

  #findClasses(role) {
    const column = this.role(role);
    if (column?.kind === "class") return column.values.map((value) => (value === null ? [] : [value]));
    if (column?.kind === "classes") return column.values.map((value) => value ?? []);
    if (column || !this.role("picture")) return undefined;
    const drawn = (number) => {
      const [caption, , classes] = this.#data.pictures[number];
      return OVERLAYS[role].test(caption) ? classes : [];
    };
    const found = this.role("picture").values.map((numbers) => [...new Set(numbers.flatMap(drawn))]);
    return found.some((classes) => classes.length) ? found : undefined;
  }

  // Returns what identifies the sample of a row in all versions.
  key(row) {
    const keys = this.role("key");
    return keys ? keys.values[row] : row;
  }

  // Returns the row of a sample, or undefined.
  rowOf(key) {
    this.#rows ??= new Map(Array.from({ length: this.rows }, (_, row) => [this.key(row), row]));
    return this.#rows.get(key);
  }

  // Whether the prediction in a row is right; null if unknown.
  isCorrect(row) {
    return this.#correctRows[row];
  }

  // Counts the rows that are right, and the rows that are known to be right or wrong.
  count() {
    const known = this.#correctRows.filter((value) => value !== null);
    return { right: known.filter(Boolean).length, known: known.length };
  }

  get #correctRows() {
    return (this.#correct ??= this.#compare());
  }

  #compare() {
    const correct = this.role("correct");
    if (correct) {
      return correct.values.map((value) => (value === null ? null : value === "True"));
    }
    const [truth, prediction] = [this.role("truth"), this.role("prediction")];
    if (!truth || !prediction || truth.kind !== prediction.kind || truth.kind === "number") {
      return new Array(this.rows).fill(null);
    }
    return truth.values.map((value, row) => {
      const other = prediction.values[row];
      return value === null || other === null ? null : String(value) === String(other);
    });
  }

  // Whether the prediction of the version before was right; null if unknown.
  wasCorrect(row) {
    const [truth, previous] = [this.role("truth") ?? this.role("reference"), this.column("previous")];
    if (!truth || !previous || previous.values[row] === null || truth.values[row] === null) return null;
    if (this.column("changed")?.values[row] === "False") return this.isCorrect(row);
    const [before, right] = [previous, truth].map(({ values }) => String(values[row]).trim());
    if (before === right) return true;
    // Of a long text, the history keeps the beginning.
    return !this.isCorrect(row) && before.endsWith("…") && right.startsWith(before.slice(0, -1));
  }

  // Returns the parts of the samples that slices tell apart, as [name, value, number of rows].
  get parts() {
    const names = [...new Set(this.slices.map((part) => part.slice))].filter((name) => Object.hasOwn(this.columns, name));
    return names.flatMap((name) => {
      const counts = new Map();
      for (const value of this.column(name).values) counts.set(value, (counts.get(value) ?? 0) + 1);
      const known = this.slices.filter((part) => part.slice === name && counts.has(part.value));
      return known.map(({ value }) => [name, value, counts.get(value)]);
    });
  }

  // Whether there is a column with a name, and a value in it.
  isFilled(name, row) {
    return Object.hasOwn(this.columns, name) && ![null, undefined, ""].includes(this.column(name).values[row]);
  }

  // Returns a cell as text.
  text(name, row) {
    const { kind, values } = this.column(name);
    const { classes } = this.#data;
    const value = values[row];
    if (value === null || value === undefined) return "–";
    if (kind === "class") return classes[value];
    if (kind === "classes") return value.map((number) => classes[number]).join(", ") || "none";
    return kind === "number" ? format(value) : String(value);
  }
}
