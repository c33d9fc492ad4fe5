// Scales and axes of charts.

import { svg } from "./elements.js";
import { format, short } from "./text.js";

// Returns the function that places values between two coordinates, and the range of the values.
export function scale(values, from, to) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) { // there may be more values than a call has arguments
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const place = (value) => from + ((value - low) / (high - low)) * (to - from);
  const read = (at) => low + ((at - from) / (to - from)) * (high - low);
  return { place, read, low, high };
}

// Returns about `count` round numbers in a range.
export function ticks({ low, high }, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// Draws horizontal rules with their values, and the given values below, into a box of a chart.
export function drawAxes(box, x, y, below) {
  const vertical = ticks(y, 4).flatMap((tick) => {
    const place = y.place(tick);
    return [
      svg("line", { class: "rule", x1: box.left, x2: box.width - box.right, y1: place, y2: place }),
      svg("text", { class: "tick", x: box.left - 6, y: place + 4, "text-anchor": "end" }, short(tick)),
    ];
  });
  const horizontal = below.map((tick) => {
    const place = { x: x.place(tick), y: box.height - 5, "text-anchor": "middle" };
    return svg("text", { class: "tick", ...place }, format(tick));
  });
  return [...vertical, ...horizontal];
}
