"""What users of several ranks get wrong at first is an error, or is said."""

from __future__ import annotations

from multiproc.running import check
from wandb_backend.fixture import WandbBackend


def test_what_goes_wrong_on_a_first_day(wandb_backend: WandbBackend) -> None:
    output = check("first_day.py", launch=("horovod", 2), env=wandb_backend.env, timeout=120)
    assert output.count("all passed") == 2
    assert [run.split("/")[-1] for run in wandb_backend.state()["runs"]] == ["together"]
