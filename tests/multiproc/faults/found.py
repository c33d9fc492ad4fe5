"""Faults that nobody thought of: found by random schedules, by fuzzing, or by a busy machine."""

from __future__ import annotations

# What goes wrong; what became of it before it was mended; a test of what becomes of it now, below
# `tests/`.
FOUND = [
    ("the disk is full, read-only or denied, or W&B's folders are removed",
     "training ended with an OSError", "multiproc/test_disk.py::test_an_online_run"),
    ("the disk is full before W&B's service has written the file of an offline run",
     "versions that were logged before were lost without a word",
     "multiproc/test_disk.py::test_training_goes_on_and_each_lost_version_is_named_once"),
    ("W&B refuses some requests and answers again", "a version stayed on disk until `upload`",
     "unit/tables/test_uploads.py::test_a_refused_version_is_tried_again_before_the_next"),
    ("W&B refuses two versions, one after the other", "an older version stayed the best one",
     "unit/tables/test_uploads.py::"
     "test_versions_that_were_refused_one_after_the_other_keep_the_newest_aliases"),
    ("the answer to a commit is lost", "a version was committed, and kept as well",
     "unit/tables/test_uploads.py::test_a_version_whose_answer_was_lost_is_not_kept"),
    ("a package that cannot be uploaded", "the others were not uploaded, and the run failed",
     "unit/tables/test_left_behind.py::"
     "test_an_upload_goes_on_after_a_failure_and_leaves_the_run_as_it_was"),
    ("a link or a pipe in a package", "what it points to was uploaded, or the upload hung",
     "unit/tables/test_packages.py::test_links_and_whatever_is_no_file_are_left_out"),
    ("a damaged run", "`report` ended with a traceback",
     "report/test_damaged.py::test_any_damage_of_the_log"),
    ("many callbacks in one process", "each left two threads",
     "unit/test_callback.py::test_a_callback_leaves_no_thread"),
    ("a rank traces for longer than `timeout`", "it was taken for a silent one",
     "multiproc/test_predict.py::test_a_rank_that_computes_is_waited_for"),
    ("a rank finds a batch more, at the turn of another rank", "its samples were left out",
     "multiproc/faults/test_faults.py::test_every_rank_ends"),
    ("SIGTERM or SIGHUP to `horovod.sh`", "horovodrun went on, without the file with the key",
     "multiproc/test_launchers.py::test_a_signal_ends_the_launcher_with_all_ranks"),
    ("a key file with a newline, or of another user", "the key was refused, or anybody's was used",
     "unit/test_wandb_key.py::test_a_key_is_read_without_its_newline"),
    ("an index in `TF_CONFIG` that is no number", "a TypeError of TensorFlow",
     "unit/backends/test_multiworker.py::test_any_config_is_understood_or_one_error"),
    ("a damaged record of another rank", "an error of zlib or pickle",
     "unit/backends/test_status.py::test_a_damaged_record_is_one_error"),
    ("a login that `wandb login` wrote", "the doctor said that there is none",
     "unit/doctor/test_report.py::test_a_healthy_machine"),
]  # fmt: skip


def lines() -> list[str]:
    """Returns the list as lines of Markdown."""
    rows = [f"| {fault} | {before} | `tests/{test}` |" for fault, before, test in FOUND]
    return [
        "",
        "## Found, not thought of",
        "",
        "By random schedules (`tests/chaos/`), by fuzzing, or on a busy machine.",
        "",
        "| Fault | Before it was mended | Tested by |",
        "|---|---|---|",
        *rows,
    ]
