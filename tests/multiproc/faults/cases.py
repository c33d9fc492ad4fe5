"""The fault matrix: what goes wrong, when, where, and how every rank has to end."""

from __future__ import annotations

import dataclasses

from multiproc.running import Launch

SINGLE: Launch = ("single", 1)
MIRRORED: Launch = ("mirrored", 2)
TWO: Launch = ("horovod", 2)
THREE: Launch = ("horovod", 3)
EVERYWHERE = (SINGLE, MIRRORED, TWO)

RANKS_ONLY = (TWO,)


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault and how it has to end.

    Attributes:
        name: The function that provokes it, in `raising.py`, `differing.py` or `ending.py`.
        fault: What goes wrong, in words.
        phase: When it goes wrong.
        launches: Where it is tried.
        error: Type of the error at its origin. Other ranks raise the same type if it is one of
            this package, and else a `ReplicaError`.
        message: Pattern that the message has on every rank that raises.
        within: Seconds from the fault until all processes have ended.
        origin: The rank that fails: `"last"`, `"chief"`, or `"all"` for what all ranks find.
        ending: What becomes of that rank: `"raises"`, `"killed"`, `"stopped"`, or `"finishes"`
            where nothing is wrong in its view.
    """

    name: str
    fault: str
    phase: str
    launches: tuple[Launch, ...]
    error: str
    message: str
    within: float = 10
    origin: str = "last"
    ending: str = "raises"

    def origins(self, size: int) -> list[int]:
        """Returns the ranks that fail."""
        return {"last": [size - 1], "chief": [0], "all": list(range(size))}[self.origin]


BEGIN = "`on_train_begin`"
FIRST = "first evaluation"
LATER = "a later evaluation"
GATHER = "gather"
TRAINING = "training"
END = "end of training"

OUT_OF_STEP = "out of step: they differ in"
SILENT = r"no answer in .* Rank {last} is not there"

CASES = [
    # The model and `postprocess`.
    Case("model_raises_when_traced", "`predict_step` raises when it is traced", BEGIN,
         (SINGLE, MIRRORED, TWO, THREE), "ValueError", "a layer is missing"),
    Case("model_raises_on_a_batch", "the model raises on a batch (`tf.debugging`)", FIRST,
         (SINGLE, MIRRORED, TWO, THREE), "InvalidArgumentError", "an input is too large"),
    Case("model_runs_out_of_memory", "an operation of the model runs out of memory", LATER,
         EVERYWHERE, "ResourceExhaustedError", "OOM when allocating", within=25),
    Case("postprocess_raises_when_traced", "`postprocess` raises when it is traced", BEGIN,
         EVERYWHERE, "KeyError", "no such output"),
    Case("postprocess_raises_on_a_batch", "`postprocess` raises on a batch", LATER,
         EVERYWHERE, "InvalidArgumentError", "a score is missing"),
    Case("outputs_differ", "another number of outputs on one rank", FIRST,
         RANKS_ONLY, "DataError", "1 outputs on one rank and 2 on another", origin="all"),
    # The input pipeline.
    Case("map_raises", "`tf.data` map raises", FIRST,
         (*EVERYWHERE, THREE), "InvalidArgumentError", "a bad image"),
    Case("generator_raises", "the generator of a dataset raises", LATER,
         EVERYWHERE, "UnknownError", "the file is gone"),
    Case("py_dataset_raises", "`PyDataset.__getitem__` raises", LATER,
         EVERYWHERE, "FileNotFoundError", "no-such-file"),
    Case("py_dataset_runs_out_of_memory", "`PyDataset.__getitem__` runs out of memory", LATER,
         EVERYWHERE, "MemoryError", "Unable to allocate"),
    Case("function_raises", "`fn(shard_index, num_shards)` raises", FIRST,
         EVERYWHERE, "ConnectionError", "the store is down"),
    Case("fails_beside_a_slow_model", "one rank raises, the model of another is slow", FIRST,
         RANKS_ONLY, "FileNotFoundError", "no-such-file"),
    Case("fails_beside_a_slow_pipeline", "one rank raises, the input of another is slow", FIRST,
         RANKS_ONLY, "FileNotFoundError", "no-such-file"),
    # Memory of the chief.
    Case("chief_cannot_hold_the_predictions", "the chief runs out of memory", GATHER,
         RANKS_ONLY, "MemoryError", "Unable to allocate", origin="chief"),
    # Hooks.
    Case("add_ground_truth_raises", "`add_ground_truth` raises", BEGIN,
         (*EVERYWHERE, THREE), "RuntimeError", "no label for this image", origin="chief"),
    Case("add_model_predictions_raises", "`add_model_predictions` raises", FIRST,
         EVERYWHERE, "RuntimeError", "no name for this class", origin="chief"),
    Case("add_model_predictions_raises_in_the_background",
         "`add_model_predictions` raises, `asynchronous=True`", LATER,
         EVERYWHERE, "RuntimeError", "no name for this class", origin="chief"),
    Case("add_model_predictions_raises_at_last",
         "`add_model_predictions` raises, `asynchronous=True`", END,
         EVERYWHERE, "RuntimeError", "no name for this class", origin="chief"),
    Case("no_run", "there is no W&B run", BEGIN,
         EVERYWHERE, "Error", "wandb.init", origin="chief"),
    # Ranks that are out of step.
    Case("another_log_freq", "another `log_freq` on one rank", BEGIN,
         RANKS_ONLY, "DistEvalError", f"{OUT_OF_STEP} log_freq", origin="all"),
    Case("another_num_samples", "another `num_samples` on one rank", BEGIN,
         RANKS_ONLY, "DistEvalError", f"{OUT_OF_STEP} num_samples", origin="all"),
    Case("another_batch_size", "another `batch_size` on one rank", BEGIN,
         (TWO, THREE), "DistEvalError", f"{OUT_OF_STEP} batch_size", origin="all"),
    Case("another_initial_epoch", "another `initial_epoch` on one rank", TRAINING,
         RANKS_ONLY, "DistEvalError", f"{OUT_OF_STEP} step", origin="all"),
    Case("one_epoch_more", "an epoch more on one rank", END,
         (TWO, THREE), "DistEvalError", f"{OUT_OF_STEP} step", origin="all"),
    Case("stop_training_on_one_rank", "`stop_training` set on one rank", TRAINING,
         RANKS_ONLY, "DistEvalError", f"{OUT_OF_STEP} step", origin="all"),
    Case("early_stopping_on_one_rank", "`EarlyStopping` with the metrics of a rank", TRAINING,
         RANKS_ONLY, "DistEvalError", f"{OUT_OF_STEP} step", origin="all"),
    Case("stop_training_within_an_epoch", "`stop_training` set on one rank, gradients averaged",
         TRAINING, RANKS_ONLY, "ReplicaError", "no answer in .* Rank 0 is not there", within=20,
         ),
    # Data that is not the same at each pass or on each rank.
    Case("dataset_shuffles", "a dataset that shuffles anew", BEGIN,
         EVERYWHERE, "DataOrderError", "shuffle", origin="all"),
    Case("datasets_shuffled_apart", "datasets shuffled with a seed for each rank", BEGIN,
         RANKS_ONLY, "DataOrderError", r"ranks \[1\].*shuffle", origin="all"),
    Case("arrays_shuffled_apart", "arrays in another order on each rank", BEGIN,
         (TWO, THREE), "DataOrderError", "np.random.permutation", origin="all"),
    Case("dataset_grows", "a dataset that changes its length", LATER,
         EVERYWHERE, "DataOrderError", "36 samples .* 32 before", origin="all"),
    Case("dataset_grows_on_one_rank", "a dataset that changes its length on one rank", LATER,
         RANKS_ONLY, "DistEvalError", "do not cover each sample once", origin="all"),
    # Replicas with other models.
    Case("weights_diverge", "trained weights that differ", FIRST,
         (MIRRORED, TWO, THREE), "ReplicaDivergenceError", r"kernel: on ranks \[{last}\], by up",
         origin="all"),
    Case("weights_diverge_later", "trained weights that differ", LATER,
         (MIRRORED, TWO), "ReplicaDivergenceError", r"kernel: on ranks \[{last}\], by up",
         origin="all"),
    Case("another_model", "another model on one rank", FIRST,
         RANKS_ONLY, "ReplicaDivergenceError", "another model", origin="all"),
    Case("another_width", "a layer of another width on one rank", FIRST,
         RANKS_ONLY, "ReplicaDivergenceError", "another model", origin="all"),
    # Ranks that leave.
    Case("training_raises", "the training of one rank raises", TRAINING,
         RANKS_ONLY, "ZeroDivisionError", "peer is gone"),
    Case("interrupt", "Ctrl-C on one rank", FIRST,
         RANKS_ONLY, "KeyboardInterrupt", ""),
    Case("killed_before_training", "SIGKILL", BEGIN,
         RANKS_ONLY, "", "peer is gone", ending="killed"),
    Case("killed_in_inference", "SIGKILL", FIRST,
         (TWO, THREE), "", "peer is gone", ending="killed"),
    Case("killed_in_gather", "SIGKILL", GATHER,
         (TWO, THREE), "", "peer is gone", ending="killed"),
    Case("killed_in_training", "SIGKILL", LATER,
         RANKS_ONLY, "", "peer is gone", ending="killed"),
    Case("stopped_in_inference", "SIGSTOP", FIRST,
         RANKS_ONLY, "", SILENT, within=20, ending="stopped"),
    Case("stopped_in_gather", "SIGSTOP", GATHER,
         RANKS_ONLY, "", "did not end within 5 s", within=20, ending="stopped"),
    Case("stopped_at_the_end", "SIGSTOP", END,
         RANKS_ONLY, "", SILENT, within=20, ending="stopped"),
    Case("no_callback", "the callback is missing on one rank", BEGIN,
         (TWO, THREE), "", SILENT, within=20, ending="finishes"),
]  # fmt: skip
