"""The chief's side: tables that hooks fill become artifacts in W&B, beside training.

In comes a `Version` for each evaluation, with its predictions. Out go the ground-truth table, a
prediction table for each version, which refers to it, and values of the run.

`callback` is what a hook uses, such as `add_predictions`; `publisher` runs the hooks. `version` is
what one evaluation logs, `cells` makes values that W&B can store, `artifacts` makes artifacts of
tables, with references. `sets` names all of these if a run has several sets of data. `packages`
keeps tables on disk until `uploads`, or later `left_behind`, has uploaded them; `offline` logs them
to an offline run, whose file `records` reads. `worker` is the background thread of `publisher` and
`uploads`. `history` remembers what earlier versions said of each sample, `best` which version was
the best; `run_folder` finds what a run remembers; `disk` tells failures of the disk from others.
`wandb_private` has every private name of W&B.
"""
