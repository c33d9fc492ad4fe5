"""Logs beside W&B's own callbacks: every batches or epochs, twice with a callback, and resumed."""

from __future__ import annotations

import argparse
import netrc
import os

import psutil
import wandb
from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint

import disteval
import replicas
from log_parts import Eval, Scale, data, make_model

parser = argparse.ArgumentParser()
parser.add_argument("--resume", action="store_true", help="only the last part, in the same run")
args = parser.parse_args()

ROWS = 20
replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
# `horovodrun` would put the key on the command line of each rank: the chief's is in a file.
assert "WANDB_API_KEY" not in os.environ
login = os.environ["NETRC"] if chief else os.environ.pop("NETRC")


class OwnAliases(Eval):
    def log_pred_table(self, **options):
        super().log_pred_table(aliases=["mine", *options.pop("aliases", [])], **options)


def fit(callback: disteval.DistEvalCallback, epochs: int, **options: object) -> None:
    callbacks = [Scale(), callback]
    if chief:
        folder = f"{wandb.run.dir}/model_{{epoch}}.keras"
        callbacks += [WandbMetricsLogger(), WandbModelCheckpoint(folder, save_freq="epoch")]
    compiled = {"steps_per_execution": options.pop("steps_per_execution", 1)}
    model = make_model(**compiled)
    model.fit(*data(ROWS), epochs=epochs, verbose=0, callbacks=callbacks, **options)


if chief:
    run = wandb.init(project="logging", id="beside", resume="allow")
if not args.resume:
    # With weight w, loss is the mean of ((w - 1) x)²: best in epoch 0, and worse from then on.
    callback = Eval(ROWS, monitor="loss", reference="row")
    fit(callback, 3, batch_size=10)
    # The same callback once more, with two epochs that the run has not seen.
    fit(callback, 5, batch_size=10, initial_epoch=3)
    # 10 batches in an epoch; Keras reports every 5th.
    every = Eval(ROWS, log_freq=6, batch_size=4)
    fit(every, 2, batch_size=2, steps_per_execution=5)
    if chief:
        key = netrc.netrc(login).hosts.popitem()[1][2]
        processes = psutil.process_iter(["cmdline"])
        command_lines = [" ".join(process.info["cmdline"] or []) for process in processes]
        assert any("multiproc.forking" in line for line in command_lines), "those of the ranks"
        assert not [line for line in command_lines if key in line]
fit(OwnAliases(ROWS), 6, batch_size=10, initial_epoch=5)
if chief:
    wandb.finish()
else:
    assert wandb.run is None
print("beside", replicas.BACKEND)
