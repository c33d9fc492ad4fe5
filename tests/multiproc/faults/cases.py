"""The fault matrix: what goes wrong, when, where, and how every rank has to end."""

from __future__ import annotations

import dataclasses

from multiproc.faults.found import lines as found_lines
from multiproc.running import Launch

ONE: Launch = ("single", 1)
MIRRORED: Launch = ("mirrored", 2)
TWO: Launch = ("horovod", 2)
THREE: Launch = ("horovod", 3)

# Seconds; the callback's argument `timeout`. With a rank that is silent, it is what ends the wait;
# elsewhere it is far away, so that on a busy machine it does not.
TIMEOUT = 60
SILENT_TIMEOUT = 5
# Seconds until an error; far fewer without other work on the machine, and than `TIMEOUT`.
SOON = 30


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault and how it has to end.

    Attributes:
        name: The function that provokes it, in `raising.py`, `sharded.py`, `differing.py`,
            `metrics.py` or `ending.py`.
        fault: What goes wrong, in words.
        phase: When it goes wrong.
        launches: Where it is tried.
        error: Type of the error where it is raised first.
        message: Pattern of the message on every rank but one that is gone.
        peers: Type of the error on every rank under Horovod. A rank that cannot tell the others
            why it leaves, `leaves`, raises `error`, and the others raise this.
        leaves: Whether that is so.
        origin: Where it goes wrong: on the `"last"` rank, on the `"chief"`, or on `"all"`.
        ending: What becomes of that rank: `"raises"`, `"killed"`, `"stopped"`, or `"finishes"`
            where nothing is wrong in its view.
        within: Seconds from the fault until each rank has raised its error.
        timeout: The callback's argument.
    """

    name: str
    fault: str
    phase: str
    launches: tuple[Launch, ...]
    error: str
    message: str
    peers: str = "ReplicaError"
    leaves: bool = False
    origin: str = "last"
    ending: str = "raises"
    within: float = SOON
    timeout: float = TIMEOUT

    def origins(self, size: int) -> list[int]:
        """Returns the ranks where it goes wrong."""
        return {"last": [size - 1], "chief": [0], "all": list(range(size))}[self.origin]


BEGIN = "`on_train_begin`"
FIRST = "first evaluation"
LATER = "a later evaluation"
GATHER = "gather"
TRAINING = "training"
END = "end of training"


def raises(
    name: str, fault: str, phase: str, launches: tuple[Launch, ...], error: str, message: str,
    **more: object,
) -> Case:  # fmt: skip
    """One rank raises, and tells the others."""
    return Case(name, fault, phase, launches, error, message, **more)  # type: ignore[arg-type]


def found(
    name: str, fault: str, phase: str, launches: tuple[Launch, ...], error: str, message: str
) -> Case:
    """All ranks find at once that something does not fit."""
    return Case(name, fault, phase, launches, error, message, peers=error, origin="all")


def out_of_step(
    name: str, fault: str, phase: str, what: str, launches: tuple[Launch, ...] = (TWO,)
) -> Case:
    """All ranks find that they are not at the same place, or not configured alike."""
    message = f"out of step: they differ in {what}:\n  rank 0: .*\n  rank 1: "
    return found(name, fault, phase, launches, "DistEvalError", message)


def gone(
    name: str, fault: str, phase: str, ending: str, message: str, peers: str = "CollectiveError",
    launches: tuple[Launch, ...] = (TWO,),
) -> Case:  # fmt: skip
    """The last rank is gone without a word."""
    silent = ending == "stopped"
    return Case(
        name, fault, phase, launches, "", message, peers=peers, ending=ending,
        within=SILENT_WITHIN if silent else LOST_WITHIN,
        timeout=SILENT_TIMEOUT if silent else TIMEOUT,
    )  # fmt: skip


LOST = "a peer is gone"
# A rank may learn it from another that does, once that one's process has ended.
LOST_WITHIN = 40
SILENT = r"no answer in .* for \d+ s \(timeout=5\)\. Rank {last} is not there"
# It is asked whether it is at work, for which it has 5 s.
SILENT_WITHIN = 40

CASES = [
    # The model and `postprocess`.
    raises("model_raises_when_traced", "`predict_step` raises when it is traced", BEGIN,
           (MIRRORED, TWO), "ValueError", "a layer is missing"),
    raises("model_raises_on_a_batch", "the model raises on a batch (`tf.debugging`)", FIRST,
           (MIRRORED, THREE), "InvalidArgumentError", "an input is too large"),
    # TensorFlow itself tries for 10 s to get the memory.
    raises("model_runs_out_of_memory", "an operation of the model runs out of memory", LATER,
           (TWO,), "ResourceExhaustedError", "OOM when allocating", within=40),
    raises("postprocess_raises_when_traced", "`postprocess` raises when it is traced", BEGIN,
           (TWO,), "KeyError", "no such output"),
    raises("postprocess_raises_on_a_batch", "`postprocess` raises on a batch", LATER,
           (TWO,), "InvalidArgumentError", "a score is missing"),
    found("outputs_differ", "another number of outputs on one rank", FIRST, (TWO,),
          "DataError", "outputs on one rank and"),
    # The input pipeline.
    raises("map_raises", "`tf.data` map raises on every rank", FIRST,
           (TWO,), "InvalidArgumentError", "a bad image", origin="all"),
    raises("generator_raises", "the generator of a dataset raises", LATER,
           (ONE, THREE), "UnknownError", "the file is gone"),
    raises("py_dataset_raises", "`PyDataset.__getitem__` raises", LATER,
           (TWO,), "FileNotFoundError", "no-such-file"),
    raises("py_dataset_runs_out_of_memory", "`PyDataset.__getitem__` runs out of memory", LATER,
           (TWO,), "MemoryError", "Unable to allocate"),
    raises("function_raises", "`fn(shard_index, num_shards)` raises", FIRST,
           (THREE,), "ConnectionError", "the store is down"),
    raises("fails_beside_a_slow_model", "a rank raises; 50 s of inference left on another", FIRST,
           (TWO,), "FileNotFoundError", "no-such-file"),
    raises("fails_beside_a_slow_pipeline", "a rank raises; 50 s of reading left on another", FIRST,
           (TWO,), "FileNotFoundError", "no-such-file"),
    # A pipeline of `disteval.sharded`.
    found("sharded_filters", "`sharded`: the pipeline filters a first sample", BEGIN,
          (ONE, TWO), "DataError", "drops samples.* 3 samples of 4 elements.*`filter`"),
    raises("sharded_filters_at_last", "`sharded`: the pipeline filters the last sample", FIRST,
           (THREE,), "DataError", "drops samples.*`filter`", peers="DataError"),
    found("sharded_repeats", "`sharded`: the pipeline repeats", BEGIN,
          (TWO,), "DataError", "adds samples.*`repeat`"),
    found("sharded_shuffles", "`sharded`: the pipeline shuffles", BEGIN,
          (TWO,), "DataOrderError", "in another order.*`shuffle`"),
    raises("sharded_raises_on_one_element", "`sharded`: the pipeline raises on an element", FIRST,
           (ONE, THREE), "DataError", "failed on element 31.*a bad image", peers="DataError"),
    found("sharded_elements_in_another_order", "`sharded`: elements in another order on one rank",
          BEGIN, (TWO,), "DataOrderError", r"between rank 0 and ranks \[1\].*sort them"),
    # The chief.
    raises("chief_cannot_hold_the_predictions", "the chief runs out of memory", GATHER, (TWO,),
           "MemoryError", "Unable to allocate", origin="chief"),
    raises("add_ground_truth_raises", "`add_ground_truth` raises", BEGIN,
           (TWO,), "RuntimeError", "no label for this image", origin="chief"),
    raises("add_model_predictions_raises", "`add_model_predictions` raises", FIRST,
           (TWO,), "RuntimeError", "no name for this class", origin="chief"),
    raises("add_model_predictions_raises_in_the_background",
           "`add_model_predictions` raises, `asynchronous=True`", LATER,
           (ONE, THREE), "RuntimeError", "no name for this class", origin="chief"),
    raises("add_model_predictions_raises_at_last",
           "`add_model_predictions` raises, `asynchronous=True`", END,
           (TWO,), "RuntimeError", "no name for this class", origin="chief"),
    raises("no_run", "there is no W&B run on the only rank", BEGIN,
           (ONE,), "Error", "wandb.init", leaves=True, origin="chief"),
    raises("no_run_on_the_chief", "there is no W&B run on rank 0", BEGIN,
           (TWO,), "DistEvalError", "There is no W&B run on rank 0", peers="DistEvalError",
           origin="chief"),
    # Ranks that are out of step.
    out_of_step("another_log_freq", "another `log_freq` on one rank", BEGIN, "log_freq"),
    out_of_step("another_num_samples", "another `num_samples` on one rank", BEGIN, "num_samples"),
    out_of_step("another_batch_size", "another `batch_size` on one rank", BEGIN, "batch_size",
                (THREE,)),
    out_of_step("another_initial_epoch", "another `initial_epoch` on one rank", TRAINING, "step"),
    out_of_step("one_epoch_more", "an epoch more on one rank", END, "step", (THREE,)),
    out_of_step("stop_training_on_one_rank", "`stop_training` set on one rank", TRAINING, "step"),
    out_of_step("early_stopping_on_one_rank", "`EarlyStopping` with the metrics of a rank",
                TRAINING, "step"),
    # Data that is not the same at each pass or on each rank.
    found("dataset_shuffles", "a dataset that shuffles anew", BEGIN, (MIRRORED, TWO),
          "DataOrderError", "at each pass.*`dataset.shuffle"),
    found("datasets_shuffled_apart", "datasets shuffled with a seed for each rank", BEGIN, (TWO,),
          "DataOrderError", r"between rank 0 and ranks \[1\].*`dataset.shuffle"),
    found("arrays_shuffled_apart", "arrays in another order on each rank", BEGIN, (THREE,),
          "DataOrderError", r"between rank 0 and ranks \[{last}\].*np.random.permutation"),
    found("dataset_grows", "a dataset that changes its length", LATER, (TWO,),
          "DataOrderError", "36 samples .* had 32 before"),
    found("dataset_grows_on_one_rank", "a dataset that changes its length on one rank", LATER,
          (TWO,), "DataOrderError", r"32 samples on rank 0 and 36 samples on ranks \[1\]"),
    # Replicas with other models.
    found("weights_diverge", "trained weights that differ", FIRST, (MIRRORED, THREE),
          "ReplicaDivergenceError", r"kernel: on ranks \[{last}\], by up to 1\n"),
    found("weights_diverge_later", "trained weights that differ", LATER, (TWO,),
          "ReplicaDivergenceError", r"kernel: on ranks \[{last}\], by up to 1\n"),
    found("another_model", "a layer more on one rank", FIRST, (TWO,),
          "ReplicaDivergenceError", "rank 1 has another model than rank 0"),
    found("another_width", "a layer of another width on one rank", FIRST, (TWO,),
          "ReplicaDivergenceError", r"rank 1 .* of shape \[4, 3\].* on rank 0 .*\[4, 2\]"),
    # Metrics.
    raises("metric_raises_on_a_batch", "a metric raises on a batch (`tf.debugging`)", FIRST,
           (THREE,), "InvalidArgumentError", "a target is negative"),
    raises("result_raises", "`result` of a metric raises", FIRST, (TWO,), "RuntimeError",
           "a metric without a value", origin="chief"),
    found("metrics_differ", "models compiled with different metrics", BEGIN, (TWO,),
          "MetricError", r"different metrics: .* on rank 0, and .*checked.* on rank 1"),
    found("metric_is_no_sum", "a metric that is not a sum, `validate=True`", BEGIN,
          (MIRRORED, TWO), "MetricError", "checked: its state after a batch"),
    Case("loss_is_not_a_number", "a loss that is not a number (is no fault)", FIRST,
         (TWO,), "", "", origin="all", ending="finishes"),
    # Ranks that leave.
    raises("training_raises", "the training of one rank raises", TRAINING, (TWO,),
           "ZeroDivisionError", f"division by zero|{LOST}", peers="CollectiveError", leaves=True),
    raises("interrupt", "Ctrl-C on one rank", FIRST, (TWO,), "KeyboardInterrupt",
           "^$|with KeyboardInterrupt", leaves=True),
    gone("killed_before_training", "SIGKILL", BEGIN, "killed", LOST),
    gone("killed_in_inference", "SIGKILL", FIRST, "killed", LOST, launches=(THREE,)),
    gone("killed_in_gather", "SIGKILL", GATHER, "killed", LOST, launches=(THREE,)),
    gone("killed_in_training", "SIGKILL", TRAINING, "killed", LOST),
    gone("stopped_in_inference", "SIGSTOP", FIRST, "stopped", SILENT, "ReplicaError"),
    gone("stopped_in_gather", "SIGSTOP", GATHER, "stopped", "did not end within 5 s"),
    gone("stopped_at_the_end", "SIGSTOP", END, "stopped", SILENT, "ReplicaError"),
    gone("no_callback", "the callback is missing on one rank", BEGIN, "finishes", LOST),
    Case("no_callback_and_averaging",
         "the callback is missing on one rank, gradients are averaged", BEGIN, (TWO,),
         "UnknownError", f"{SILENT}|Horovod has been shut down", leaves=True,
         within=SILENT_WITHIN, timeout=SILENT_TIMEOUT),
    Case("stop_training_within_an_epoch",
         "`stop_training` set on one rank within an epoch, gradients are averaged", TRAINING,
         (TWO,), "UnknownError", "Rank 0 is not there|Horovod has been shut down", leaves=True,
         origin="chief", within=SILENT_WITHIN, timeout=SILENT_TIMEOUT),
]  # fmt: skip


def expected(case: Case, rank: int, launch: Launch) -> tuple[int, str | None]:
    """Returns with which status a rank has to end, and with an error of which type."""
    backend, replicas = launch
    size = replicas if backend == "horovod" else 1
    is_origin = rank in case.origins(size)
    if is_origin and case.ending != "raises":
        return {"killed": -9, "stopped": -9, "finishes": 0}[case.ending], None
    if size == 1 or (is_origin and case.leaves):
        # Python ends by the signal itself after an interrupt that nobody handled.
        return (-2 if case.error == "KeyboardInterrupt" else 1), case.error
    return 1, case.peers


def table() -> str:
    """Returns the matrix as Markdown."""
    lines = [
        "# Fault matrix",
        "",
        f"{sum(len(case.launches) for case in CASES)} cases, generated from `cases.py`. "
        "`test_faults.py` runs each, and checks of every rank",
        "its exit status, its error and message, and the seconds from the fault to the error. "
        "`timeout`, which bounds how",
        f"long a silent rank is waited for, is {SILENT_TIMEOUT} s where a rank is silent, and "
        f"{TIMEOUT} s elsewhere (600 s by default).",
        "",
        "| Fault | Phase | Where | Fails with | Horovod: that rank | Horovod: others | Within |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        where = ", ".join(f"{name} {count}" if count > 1 else name for name, count in case.launches)
        faulty = case.origins(2)[-1]
        (_, own), (_, others) = (expected(case, rank, TWO) for rank in (faulty, 1 - faulty))
        cells = [
            case.fault,
            case.phase,
            where,
            f"`{case.error}`" if case.error else "",
            f"`{own}`" if own else case.ending,
            f"`{others}`",
            f"{case.within:g} s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *found_lines(), ""])


if __name__ == "__main__":
    print(table(), end="")
