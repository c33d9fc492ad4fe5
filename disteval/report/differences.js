// How a text differs from its reference: what is missing in it, and what it has instead.

import { element } from "./elements.js";

const MAX_CELLS = 2e6; // of the table below; longer texts are shown without marks
const FEW_WORDS = 3; // of so few words, characters are compared

// Returns the parts of a text as nodes: what only the reference has is in <del>, what only the text
// has in <ins>.
export function drawDifferences(reference, text) {
  const [from, to] = split(reference, text);
  if (from.length * to.length > MAX_CELLS) return [text];
  const parts = [];
  for (const [kind, piece] of differences(from, to)) {
    const last = parts.at(-1);
    if (last?.kind === kind) last.text += piece;
    else parts.push({ kind, text: piece });
  }
  const titles = { del: "in the reference only", ins: "not in the reference" };
  return parts.map(({ kind, text: piece }) => (kind ? element(kind, { title: titles[kind] }, piece) : piece));
}

// Splits two texts at the same kind of borders: between words, or characters if there are few words.
function split(...texts) {
  const words = texts.map((text) => text.split(/(\s+)/).filter(Boolean));
  const areFew = words.every((each) => each.length < 2 * FEW_WORDS);
  return areFew ? texts.map((text) => [...text]) : words;
}

// Returns the pieces of both lists as [kind, piece], along a longest common subsequence.
function differences(from, to) {
  const width = to.length + 1;
  // How many pieces `from` after i and `to` after j have in common.
  const common = new Uint32Array((from.length + 1) * width);
  for (let i = from.length - 1; i >= 0; i--) {
    for (let j = to.length - 1; j >= 0; j--) {
      common[i * width + j] = from[i] === to[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    if (i < from.length && j < to.length && from[i] === to[j]) {
      found.push(["", from[i++]]);
      j++;
    } else if (j === to.length || (i < from.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      found.push(["del", from[i++]]);
    } else {
      found.push(["ins", to[j++]]);
    }
  }
  return found;
}
