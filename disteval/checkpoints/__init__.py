"""The evaluator as a program: the command `python -m disteval evaluate`.

In: a factory of a callback, and checkpoints. Out: a version of the callback's tables for each.

- `program.py`: the command, from top to bottom. `engine.py`: the replicas that it runs on.
- `files.py`: what is a checkpoint, and whether it is whole. `models.py`: from a file to a model.
- `watch.py`: the next checkpoint of a folder. `record.py`: which were evaluated, over restarts.
- `inputs.py`: checkpoints that are W&B artifacts. `output.py`: metrics as a table and as JSON.
"""
