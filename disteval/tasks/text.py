"""`TextEval`: models that return text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb

from disteval.arguments import check_callable
from disteval.errors import DataError
from disteval.inference.eager import as_tensors
from disteval.optional import require
from disteval.tables.history import Outcome
from disteval.tasks import text_scores
from disteval.tasks.assessment import Assessment
from disteval.tasks.base import TaskEval
from disteval.tasks.options import TaskOptions
from disteval.tasks.rows import deciles
from disteval.tasks.selection import check_key, leaves, only_leaf, required
from disteval.tasks.texts import (
    check_outputs,
    decode_missing,
    decoded,
    packed,
    to_ids,
    to_text,
    unpacked,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on


class TextEval(TaskEval):
    """Evaluates a model that returns text: a translator, a summarizer, a captioner, a chat model.

    The ground-truth table has the columns `prompt` and `reference`, the prediction table `output`,
    `score` (chrF, 0 to 100), `exact_match` and `f1`. The run gets `eval/exact_match` (the share of
    outputs that are the reference, but for white space at both ends), `eval/f1` (mean F1 of the
    words, as in SQuAD: lower case, without punctuation and English articles) and `eval/chrf` (of
    all samples together, by sacrebleu; no mean of `score`).

    With `history`, the table also has `previous` (what the version before said; of long texts the
    beginning), `changed`, `times_forgotten` (how often an exact match became none in the next
    version), `mean_confidence` and `variability` (mean and standard deviation over the versions of
    `score` / 100) and `loss_change` (the loss is 1 - `score` / 100). The run gets `eval/fixed` and
    `eval/broken`: how many samples became an exact match, and ceased to be one. A history takes 289
    bytes for each sample.

    Texts are made in `infer`: traced into the graph, or with `eager=True` in plain Python, such as
    `return model.generate(prompts)`. Each token sends at most 4 bytes to the chief, and each
    sample 8.

    Args:
        validation_data: See `DistEvalCallback`; prompts and references, each strings or token ids:
            integer arrays of shape `(samples, tokens)`, padded or ragged, or object arrays of such
            rows. The outputs of the model are strings or token ids as well.
        decode: A function from the token ids of one sample, a NumPy array of shape `(tokens,)`, to
            a `str`. It leaves out padding itself, and runs on the chief. Required if references or
            outputs are token ids.
        prompt_key: The key of the prompt, if x has several parts, such as `"token_ids"`. Images in
            x are shown beside it. Without a prompt that is text or can be decoded, the inputs of
            the model are shown as in the other evaluators.
        options: Arguments of `TaskEval`, such as `rows` and `num_rows`, and of
            `DistEvalCallback`. The stratum of a sample is the decile of its reference's length.

    Raises:
        DistEvalError: An argument is invalid, or sacrebleu is missing.

    Example:
        ```python
        class Translations(disteval.TextEval):
            def infer(self, model, batch):
                return tf.argmax(model(batch[0], training=False), axis=-1)


        evaluation = Translations((x_val, y_val), tokenizer.decode, rows="worst", num_rows=100)
        model.fit(x, y, callbacks=[evaluation])
        ```
    """

    def __init__(
        self,
        validation_data: Any,
        decode: Callable[[np.ndarray], str] | None = None,
        *,
        prompt_key: Any = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        require("sacrebleu")
        if decode is not None:
            check_callable("decode", decode, "ids")
        check_key("prompt_key", prompt_key)
        super().__init__(validation_data, **options)
        self.decode = decode
        self.prompt_key = prompt_key
        # chrF by output and reference, of the newest version: slices, and outputs that are still
        # the same in the next one, are not computed again.
        self._scores: dict[tuple[str, str], float] = {}

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the texts: strings of shape `(batch,)`, or token ids of `(batch, None)`."""
        self._labels_of(batch)
        # Lists of strings, which plain Python may return, are one output.
        outputs = only_leaf(self._output_of(as_tensors(outputs)), "outputs")
        return check_outputs(outputs, self.decode)

    def read_label(self, y: Any) -> str:
        """Returns the reference."""
        y = only_leaf(y, "targets") if isinstance(y, dict | list | tuple) else y
        text, ids = to_text(y), to_ids(y)
        if text is not None:
            return text
        if ids is None:
            array = np.asarray(y)
            raise DataError(
                "A reference is no text. Received: a target of shape "
                f"{array.shape} and type {array.dtype}. Expected: one string, or token ids of "
                "shape (tokens,)."
            )
        return decoded(ids, self.decode, "references")

    def strata(self, labels: Sequence[str]) -> np.ndarray:
        """Returns the decile of the reference's length."""
        return deciles(np.array([len(label) for label in labels]))

    def truth_cells(self, x: Any, label: str) -> dict[str, Any]:
        """Returns the prompt, or else the input of the model, and the reference."""
        cells = self._inputs.cells(x)
        prompt = None if self.image_key is False else self._prompt(x)
        if prompt is not None:
            cells = {name: cell for name, cell in cells.items() if isinstance(cell, wandb.Image)}
            cells["prompt"] = prompt
        return {**cells, "reference": label}

    def assess(self, predictions: Any, labels: Sequence[str]) -> Assessment:
        """Returns metrics and columns."""
        outputs = [self._output(each) for each in predictions]
        pairs = list(zip(outputs, labels, strict=True))
        known = self._scores
        by_pair = {
            pair: known[pair] if pair in known else text_scores.sentence_chrf(*pair)
            for pair in dict.fromkeys(pairs)
        }
        if len(labels) == len(self._labels):
            self._scores = by_pair
        scores = np.array([by_pair[pair] for pair in pairs])
        correct = np.array([text_scores.exact_match(*pair) for pair in pairs])
        f1 = np.array([text_scores.f1(*pair) for pair in pairs])
        means = {"exact_match": correct, "f1": f1}
        metrics = {name: float(values.mean()) for name, values in means.items()}
        metrics["chrf"] = text_scores.corpus_chrf(outputs, labels)
        columns = {"output": np.array(outputs, object), "score": scores, **means}
        outcome = Outcome(packed(outputs), correct, scores / 100)
        return Assessment(metrics, 1 - scores / 100, columns, means, outcome)

    def class_cells(self, predicted: np.ndarray) -> list[Any]:
        """Returns the texts that a history has kept."""
        return unpacked(predicted)

    def _output(self, prediction: Any) -> str:
        """Returns the output of a sample as text."""
        text, ids = to_text(prediction), to_ids(prediction)
        if text is None and ids is not None:
            text = decoded(ids, self.decode, "outputs")
        assert text is not None, "postprocess returns strings or token ids"
        return text

    def _prompt(self, x: Any) -> str | None:
        """Returns the prompt of a sample; `None` if its input is no text."""
        if self.prompt_key is not None:
            missing = "validation_data has no input"
            x = required(x, "prompt_key", self.prompt_key, None, missing)
        parts = list(leaves(x).values())
        if len(parts) != 1:
            return None
        text, ids = to_text(parts[0]), to_ids(parts[0])
        if text is not None or ids is None:
            return text
        if self.decode is None:
            if self.prompt_key is not None:
                raise decode_missing("prompts")
            return None  # numbers of any other kind, perhaps
        return decoded(ids, self.decode, "prompts")
