// Which rows are shown, and in what order.
//
// A choice has the versions to look at, `first` and `second` (null for none), the filters `truth` and
// `predicted` (the number of a class, null for all), `show` (a key of `filters`), `slice` ([name, value],
// null for all) and `area` (of the data map, null for all), and the order: `sort` (see `sortOptions`;
// empty for the order of the rows) and `order` (1 or -1).

import { isInside } from "./map.js";
import { spaced } from "./text.js";

// Returns the filters by result, as [text, predicate]. A predicate gets whether the row is right in
// the first and in the second version, null if unknown, whether the predictions differ, and the row.
export function filters({ first, second }) {
  const results = first.count().known > 0 && {
    wrong: ["wrong", (here) => here === false],
    correct: ["correct", (here) => here === true],
    ...(second && {
      better: [`right only in ${first.name}`, (here, there) => here === true && there === false],
      worse: [`right only in ${second.name}`, (here, there) => here === false && there === true],
    }),
  };
  const differing = second && { changed: ["predicted differently", (here, there, differ) => differ] };
  return { all: ["all", () => true], ...results, ...differing, ...historyFilters(first) };
}

// Returns the filters by what earlier versions said.
function historyFilters(version) {
  const has = (name) => version.column(name) !== undefined;
  const became = (isRight) => (here, there, differ, row) => here === isRight && version.wasCorrect(row) === !isRight;
  return {
    ...(has("previous") && { fixed: ["fixed since the version before", became(true)] }),
    ...(has("previous") && { broken: ["broken since the version before", became(false)] }),
    ...(has("times_forgotten") && { forgotten: ["forgotten before", (here, there, differ, row) => version.column("times_forgotten").values[row] > 0] }),
    ...(has("suspect") && { suspect: ["suspect labels", (here, there, differ, row) => version.column("suspect").values[row] === "True"] }),
  };
}

// Returns the rows of the first version that pass the filters, in order.
export function chooseRows(choice) {
  const { first, second } = choice;
  const [truth, predicted] = [first.classes("truth"), first.classes("prediction")];
  const [, isShown] = filters(choice)[choice.show];
  const [here, other] = [first, second].map(shownPredictions);
  const chosen = [];
  for (let row = 0; row < first.rows; row += 1) {
    if (choice.truth !== null && !truth[row].includes(choice.truth)) continue;
    if (choice.predicted !== null && !predicted[row].includes(choice.predicted)) continue;
    if (choice.slice !== null && first.column(choice.slice[0]).values[row] !== choice.slice[1]) continue;
    if (!isInside(first, row, choice.area)) continue;
    const there = second?.rowOf(first.key(row));
    const differ = there !== undefined && here !== undefined && String(here[row]) !== String(other?.[there]);
    if (isShown(first.isCorrect(row), there === undefined ? null : second.isCorrect(there), differ, row)) chosen.push(row);
  }
  if (choice.sort !== "") return sortRows(chosen, choice);
  return choice.order < 0 ? chosen.reverse() : chosen;
}

// Predictions that are only drawn, as boxes and masks, differ where the pictures do.
function shownPredictions(version) {
  return (version?.role("prediction") ?? version?.role("picture"))?.values;
}

// Returns what rows can be sorted by, as [value, text]. A value is JSON of the name of a column of
// numbers, and whether the difference between the two versions is meant.
export function sortOptions({ first, second }) {
  const option = (name, isChange) => [JSON.stringify([name, isChange]), `${isChange ? "change of " : ""}${spaced(name)}`];
  const both = second ? first.numbers.filter((name) => second.numbers.includes(name)) : [];
  return [["", "row"], ...first.numbers.map((name) => option(name, false)), ...both.map((name) => option(name, true))];
}

function sortRows(rows, { first, second, sort, order }) {
  const [name, isChange] = JSON.parse(sort);
  const here = first.column(name).values;
  const there = second?.column(name)?.values;
  const value = (row) => (isChange ? (there?.[second.rowOf(first.key(row))] ?? NaN) - here[row] : here[row]);
  const keys = new Map(rows.map((row) => [row, value(row)]));
  const isMissing = (key) => key === null || Number.isNaN(key);
  return rows.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (isMissing(x) || isMissing(y)) return isMissing(x) - isMissing(y); // last in either order
    return x === y ? a - b : (x < y ? -1 : 1) * order;
  });
}
