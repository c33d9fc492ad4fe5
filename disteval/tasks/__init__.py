"""Ready-made evaluators: nothing to subclass for the usual tasks.

In: the labels, and the predictions of all samples on rank 0. Out: the rows of both tables, and
metrics.

- `base.py`: `TaskEval`, which all evaluators share; `assessment.py`: what one computes.
- `classification.py`, `regression.py`, `segmentation.py`, `detection.py`, `text.py`: one evaluator
  each.
- `rows.py`: which samples the tables show; `shown.py`: the tables of these samples; `inputs.py`:
  inputs of a model as table cells. `slices.py`: metrics of parts of the samples.
- `selection.py`, `logits.py`, `probabilities.py`: which output, whether logits, as probabilities.
- `classes.py`, `confidence.py`, `curves.py`: names, suspect labels and charts of classes.
- `boxes.py`: formats of bounding boxes; `coco.py`: COCO's metrics. `texts.py`: text, and token ids
  as text; `text_scores.py`: how near a text is to its reference.
"""
