"""Sharded inference: each rank evaluates its shard, the chief gets the predictions of all ranks.

In: a model, a `Source` and a backend. Out: an `Evaluation`: predictions on the chief, metrics on all.

- `predict.py`, `evaluate.py`: the public functions. `session.py`: repeated evaluations, and what they keep.
- `evaluation.py`: one evaluation, step by step. `weights.py`: compares and lends the weights.
- `loop.py`: many batches in one call. `forms.py`: of which form. `steps.py`, `keras3.py`,
  `keras2.py`: what runs on a batch. `metrics.py`, `metric_checks.py`: metrics, and which are sums.
- `shard.py`, `outputs.py`: what a rank evaluated.
- `gathered.py`: the rows of all ranks, in dataset order. `receipts.py`: each sample exactly once.
- `wire.py`: nests of tensors as buffers. `balance.py`: shares. `progress.py`: the bar.
"""
