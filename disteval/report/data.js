// The page's data: versions of predictions, each with columns, some of which have a role.

const data = JSON.parse(document.getElementById("data").textContent);

for (const column of data.columns) {
  if (column.kind === "number") {
    // NaN and the infinities come as words, which Number() reads.
    column.values = column.values.map((value) => (value === null ? null : Number(value)));
  }
}

// What the masks and boxes of a picture are called.
const OVERLAYS = { truth: /^(ground|truth|label|target)/i, prediction: /^pred/i };

const byEpoch = new Set(data.versions.map((version) => version.epoch)).size === data.versions.length;

class Version {
  constructor(encoded) {
    Object.assign(this, encoded);
    this.position = byEpoch ? this.epoch : this.step;
    this.name = byEpoch ? `Epoch ${this.epoch}` : `Epoch ${this.epoch}, step ${this.step}`;
  }

  // The column of a name, or of a role such as "truth"; undefined if there is none.
  column(name) {
    return data.columns[this.columns[name]];
  }

  role(role) {
    return this.roles[role] === undefined ? undefined : this.column(this.roles[role]);
  }

  // Names of columns with numbers, what people sort by most first.
  get numbers() {
    const first = [this.roles.confidence, this.roles.loss].filter(Boolean);
    const others = Object.keys(this.columns).filter(
      (name) => this.column(name).kind === "number" && name !== this.roles.key && !first.includes(name),
    );
    return [...first, ...others.filter((name) => name !== "epoch" && name !== "step")];
  }

  // The numbers to show first: confidence and loss, or what a table has instead.
  get headline() {
    const known = [this.roles.confidence, this.roles.loss].filter(Boolean);
    return known.length ? known : this.numbers.filter((name) => !name.includes("/")).slice(0, 3);
  }

  // Names of columns that have no role.
  get others() {
    const taken = new Set([...Object.values(this.roles), "epoch", "step", ...this.headline]);
    return Object.keys(this.columns).filter((name) => !taken.has(name));
  }

  // The classes of each row by its truth or its prediction: a column, or what is drawn into its
  // pictures. Undefined if there are none.
  classes(role) {
    this.classesByRole ??= {};
    return (this.classesByRole[role] ??= this.findClasses(role));
  }

  findClasses(role) {
    const column = this.role(role);
    if (column?.kind === "class") return column.values.map((value) => (value === null ? [] : [value]));
    if (column?.kind === "classes") return column.values.map((value) => value ?? []);
    if (column || !this.role("picture")) return undefined;
    const drawn = (number) => (OVERLAYS[role].test(data.pictures[number][0]) ? data.pictures[number][2] : []);
    const found = this.role("picture").values.map((numbers) => [...new Set(numbers.flatMap(drawn))]);
    return found.some((classes) => classes.length) ? found : undefined;
  }

  // What identifies the sample of a row in all versions.
  key(row) {
    const keys = this.role("key");
    return keys ? keys.values[row] : row;
  }

  // The row of a sample, or undefined.
  rowOf(key) {
    this.rowsByKey ??= new Map(Array.from({ length: this.rows }, (_, row) => [this.key(row), row]));
    return this.rowsByKey.get(key);
  }

  // Whether a row is right: true, false, or null where there is nothing to tell it by.
  isCorrect(row) {
    this.correct ??= this.compare();
    return this.correct[row];
  }

  compare() {
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

  // How many rows are right, and how many are right or wrong.
  count() {
    this.isCorrect(0);
    const known = this.correct.filter((value) => value !== null);
    return { right: known.filter(Boolean).length, known: known.length };
  }

  // A cell as text.
  text(name, row) {
    const { kind, values } = this.column(name);
    const value = values[row];
    if (value === null || value === undefined) return "–";
    if (kind === "class") return data.classes[value];
    if (kind === "classes") return value.map((number) => data.classes[number]).join(", ") || "none";
    return kind === "number" ? format(value) : String(value);
  }
}

const versions = data.versions.map((encoded) => new Version(encoded));

// Two callbacks of one run have equal names.
const named = new Map();
for (const version of versions) {
  const times = (named.get(version.name) ?? 0) + 1;
  named.set(version.name, times);
  if (times > 1) version.name += ` (${times})`;
}

// Whether a column is a fact of the sample, the same in all versions.
function isFact(name) {
  return versions.every((version) => version.columns[name] === versions[0].columns[name]);
}

function format(number) {
  if (!Number.isFinite(number)) return String(number);
  if (Number.isInteger(number)) return number.toLocaleString("en-US");
  const size = Math.abs(number);
  if (size < 1e-4 || size >= 1e6) return number.toExponential(2);
  return size >= 1000 ? Math.round(number).toLocaleString("en-US") : String(Number(number.toPrecision(4)));
}

const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

// A number as short as the axis of a chart has room for.
function short(number) {
  return Math.abs(number) >= 10000 ? compact.format(number) : format(number);
}

// A name of a column or metric as people read it.
function spaced(name) {
  return name.replaceAll("_", " ");
}

function percent(part, whole) {
  return whole ? `${((100 * part) / whole).toFixed(1)} %` : "–";
}

// Makes an element; what is appended as text stays text, whatever it holds.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function fillSelect(select, options, chosen) {
  select.replaceChildren(
    ...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)),
  );
  select.closest("label").hidden = options.length < 2;
}
