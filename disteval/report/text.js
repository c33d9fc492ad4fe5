// Numbers and names as text.

const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

export function format(number) {
  if (!Number.isFinite(number)) return String(number);
  if (Number.isInteger(number)) return number.toLocaleString("en-US");
  const size = Math.abs(number);
  if (size < 1e-4 || size >= 1e6) return number.toExponential(2);
  return size >= 1000 ? Math.round(number).toLocaleString("en-US") : String(Number(number.toPrecision(4)));
}

// Formats a number to fit beside the axis of a chart.
export function short(number) {
  return Math.abs(number) >= 10000 ? COMPACT.format(number) : format(number);
}

// Returns the name of a column or metric with spaces for underscores.
export function spaced(name) {
  return name.replaceAll("_", " ");
}

export function percent(part, whole) {
  return whole ? `${((100 * part) / whole).toFixed(1)} %` : "–";
}
