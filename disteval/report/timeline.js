// The predictions of one sample over the versions, as a line.

import { drawAxes, scale } from "./axes.js";
import { element, svg } from "./elements.js";
import { spaced } from "./text.js";

const LINE = { width: 640, height: 120, left: 46, right: 12, top: 10, bottom: 22 };

// Draws the confidence of a sample in its versions, given as [version, row]; null if there is nothing
// to draw. A dot is colored by whether the prediction is right, and names it.
export function drawTimeline(at) {
  const points = at.map(([version, row], i) => {
    const { confidence, prediction } = version.roles;
    return {
      place: version.position ?? i,
      value: confidence ? version.column(confidence).values[row] : null,
      isCorrect: version.isCorrect(row),
      title: `${version.name}: ${prediction ? version.text(prediction, row) : ""}`,
    };
  }).filter((point) => Number.isFinite(point.value));
  if (points.length < 2) return null;
  const name = spaced(at.map(([version]) => version.roles.confidence).find(Boolean));
  const title = name.charAt(0).toUpperCase() + name.slice(1);
  const x = scale(points.map((point) => point.place), LINE.left, LINE.width - LINE.right);
  const y = scale([0, 1, ...points.map((point) => point.value)], LINE.height - LINE.bottom, LINE.top);
  const path = points.map((point, i) => `${i ? "L" : "M"}${x.place(point.place).toFixed(1)} ${y.place(point.value).toFixed(1)}`);
  const picture = svg("svg", { viewBox: `0 0 ${LINE.width} ${LINE.height}`, role: "img", "aria-label": `${title} over the versions` });
  picture.append(
    ...drawAxes(LINE, x, y, [points[0].place, points.at(-1).place]),
    svg("path", { class: "line line-5", d: path.join("") }),
    ...points.map((point) => drawDot(point, x, y)),
  );
  return element("figure", { class: "timeline" }, element("figcaption", {}, element("h3", {}, title)), picture);
}

function drawDot({ place, value, isCorrect, title }, x, y) {
  const kind = { true: "right", false: "wrong", null: "unknown" }[isCorrect];
  const dot = svg("circle", { class: `dot ${kind}`, cx: x.place(place), cy: y.place(value), r: 4.5 });
  dot.append(svg("title", {}, title));
  return dot;
}
