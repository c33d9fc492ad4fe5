"""What users give as validation data, as the batches of a shard.

In: arrays, datasets, pipelines or functions. Out: a `Source`, which yields the batches of any shard
and the samples one by one, all in dataset order.

- `coercion.py`: which `Source` fits. `sources.py`, `py_dataset.py`, `sharded.py`: kinds of data.
- `pipelines.py`: what a pipeline of `sharded` consists of. `reading.py`: reads a `tf.data.Dataset`.
- `batches.py`: nests of rows. `sharding.py`: which part is a rank's, and how much to run in a call.
  `work.py`: how much there is to compute of it.
- `consistency.py`: whether the order is the same at each pass and on each rank.
"""
