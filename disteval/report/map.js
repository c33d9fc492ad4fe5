// The data map: mean confidence against variability, a point for each sample.

import { drawAxes, scale, ticks } from "./axes.js";
import { element, svg } from "./elements.js";

const MAP = { width: 560, height: 380, left: 46, right: 12, top: 10, bottom: 22 };
const POINT = 3; // pixels
const AXES = { x: "variability", y: "mean_confidence" };

// Whether a version has what the map shows.
export function hasMap(version) {
  return Object.values(AXES).every((name) => Object.hasOwn(version.columns, name));
}

// Whether a row of a version is in a part of the map; `null` is all of it.
export function isInside(version, row, part) {
  if (part === null) return true;
  return Object.entries(AXES).every(([axis, name]) => {
    const value = version.column(name).values[row];
    return value >= part[axis][0] && value <= part[axis][1];
  });
}

// Draws the map of a version, with the chosen part of it; `pick(part)` is called for another part.
export function drawMap(version, part, pick) {
  const [across, up] = [AXES.x, AXES.y].map((name) => version.column(name).values);
  const x = scale([0, ...across], MAP.left, MAP.width - MAP.right);
  const y = scale([0, 1], MAP.height - MAP.bottom, MAP.top);
  const points = element("canvas", { width: 2 * MAP.width, height: 2 * MAP.height, "aria-hidden": "true" });
  const picture = svg("svg", { viewBox: `0 0 ${MAP.width} ${MAP.height}`, role: "img", "aria-label": "Data map" });
  const brush = svg("rect", { class: "brush" });
  picture.append(...drawAxes(MAP, x, y, ticks(x, 5)), brush);
  const show = (chosen) => showBrush(brush, chosen, x, y);
  show(part);
  listen(picture, x, y, show, pick);
  const drawn = element("div", { class: "map" }, points, picture);
  // The colors are those of the page, which an element has once it is in it.
  requestAnimationFrame(() => drawPoints(points, version, across, up, x, y));
  return drawn;
}

function drawPoints(canvas, version, across, up, x, y) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  context.scale(2, 2);
  context.globalAlpha = across.length > 5000 ? 0.25 : 0.6;
  for (const isCorrect of [true, false, null]) {
    const name = { true: "--right", false: "--wrong", null: "--muted" }[isCorrect];
    context.fillStyle = style.getPropertyValue(name);
    for (let row = 0; row < across.length; row += 1) {
      if (version.isCorrect(row) !== isCorrect || across[row] === null) continue;
      context.fillRect(x.place(across[row]) - POINT / 2, y.place(up[row]) - POINT / 2, POINT, POINT);
    }
  }
}

function showBrush(brush, part, x, y) {
  brush.toggleAttribute("hidden", part === null);
  if (part === null) return;
  const [left, right] = part.x.map(x.place);
  const [bottom, top] = part.y.map(y.place);
  const place = { x: left, y: top, width: right - left, height: bottom - top };
  for (const [key, value] of Object.entries(place)) brush.setAttribute(key, Math.max(0, value));
}

// A drag chooses a part of the map, and a click all of it.
function listen(picture, x, y, show, pick) {
  let start = null;
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * MAP.width;
    const down = ((event.clientY - box.top) / box.height) * MAP.height;
    return [x.read(across), y.read(down)];
  };
  const chosen = (event) => {
    const [from, to] = [start, at(event)];
    const ends = (axis) => [from[axis], to[axis]].sort((a, b) => a - b);
    const [across, up] = [ends(0), ends(1)];
    return across[0] === across[1] || up[0] === up[1] ? null : { x: across, y: up };
  };
  picture.addEventListener("pointerdown", (event) => {
    start = at(event);
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (start) show(chosen(event));
  });
  picture.addEventListener("pointerup", (event) => {
    if (!start) return;
    const part = chosen(event);
    start = null;
    show(part);
    pick(part);
  });
}
