"""Sharded inference: each rank evaluates its shard, the chief gets the predictions of all ranks.

In: a model, a `Source`, a backend. Out: an `Evaluation`: predictions on the chief, and metrics.

- `predict.py`, `evaluate.py`: the public functions. `session.py`: repeated evaluations.
- `evaluation.py`: one evaluation, step by step. `weights.py`: compares and lends the weights.
- `loop.py`: many batches in one call; `eager.py`: in Python. `forms.py`: of which form.
- `steps.py`, `keras3.py`, `keras2.py`: what a model runs on a batch. `functions.py`, `seeds.py`:
  `autograph.py`: what users run. `metrics.py`, `metric_checks.py`: metrics, and which are sums.
- `shard.py`, `outputs.py`: what a rank evaluated.
- `gathered.py`: the rows of all ranks, in dataset order. `receipts.py`: each sample exactly once.
- `wire.py`: nests of tensors as buffers. `balance.py`: shares. `progress.py`: the bar.
- `input_wait.py`: tells the user if the evaluation waits for its input.
"""
