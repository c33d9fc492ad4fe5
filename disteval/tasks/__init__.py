"""Ready-made evaluators: nothing to subclass for the four usual tasks.

In: the labels, and the predictions of all samples on rank 0. Out: the rows of both tables, and
metrics.

- `base.py`: `TaskEval`, which all evaluators share.
- `classification.py`, `regression.py`, `segmentation.py`, `detection.py`: one evaluator each.
- `rows.py`: which samples the tables show; `inputs.py`: inputs of a model as table cells.
- `probabilities.py`: reads outputs and labels; tells logits from probabilities.
- `curves.py`: charts of a classification.
- `boxes.py`: formats of bounding boxes; `coco.py`: COCO's metrics.
"""
