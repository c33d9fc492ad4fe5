"""Logs a run as `DistEvalCallback` does, without training a model: pictures of shapes."""

from __future__ import annotations

import argparse
import json

import numpy as np
import wandb
from PIL import Image, ImageDraw

from disteval.tables.artifacts import TableLog
from disteval.tables.cells import build_pred_table
from disteval.tables.worker import Worker


def draw(label: int, noise: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Returns a polygon with `label + 3` corners on a noisy, slanted background."""
    size = len(noise)
    slope = random.uniform(20, 120, (2, 1, 3))
    ramp = np.linspace(0, 1, size)
    background = slope[0] * ramp[:, None, None] + slope[1] * ramp[None, :, None]
    image = Image.fromarray(np.clip(background + noise, 0, 255).astype(np.uint8))
    middle, radius = random.uniform(0.4, 0.6, 2) * size, random.uniform(0.2, 0.38) * size
    color = tuple(random.integers(120, 256, 3).tolist())
    circle = (*middle.tolist(), float(radius))
    turn = float(random.uniform(0, 360))
    ImageDraw.Draw(image).regular_polygon(circle, label + 3, rotation=turn, fill=color)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--first-epoch", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the predictions")
    parser.add_argument("--notes", type=json.loads, default=[], help="for a column of text")
    parser.add_argument("--id", help="of a run that may be there already")
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--reference", choices=["media", "row"], default="media")
    parser.add_argument(
        "--names", type=json.loads, default=["triangle", "square", "pentagon", "hexagon"]
    )
    parser.add_argument("--mode", default="offline")
    parser.add_argument("--keep-local", action="store_true")
    args = parser.parse_args()

    random = np.random.default_rng(0)
    names = np.array(args.names, object)
    labels = random.integers(0, len(names), args.rows)
    resume = None if args.id is None else "allow"
    run = wandb.init(project="shapes", mode=args.mode, id=args.id, resume=resume)
    log = TableLog(run, Worker("writer", asynchronous=False), keep_local=args.keep_local)
    noise = random.normal(0, 8, (args.size, args.size, 3))
    data = wandb.Table(["index", "image", "label"] + ["note"] * bool(args.notes))
    for index, label in enumerate(labels.tolist()):
        note = args.notes[index % len(args.notes) :][:1] if args.notes else []
        data.add_data(index, wandb.Image(draw(label, noise, random)), names[label], *note)
    log.log_data(data, "val", "dataset", "val_data")
    for epoch in range(args.first_epoch, args.epochs):
        random = np.random.default_rng([args.seed, epoch])
        share = 1 - 0.6 / (epoch + 1)  # of samples that are right, growing
        wrong = random.uniform(size=args.rows) > share
        predicted = np.where(wrong, (labels + 1) % len(names), labels)
        confidence = random.uniform(0.3, 1, args.rows)
        loss = -np.log(np.where(wrong, 1 - confidence * 0.99, confidence))
        columns = {"prediction": names[predicted], "confidence": confidence, "loss": loss}
        by_row = args.reference == "row"
        table = build_pred_table(
            list(columns) if by_row else ["epoch", "index", "image", "label", *columns],
            data,
            columns,
            number={"epoch": epoch, "step": 10 * epoch},
            by_row=by_row,
        )
        logs = {"loss": 1 / (epoch + 1), "accuracy": share - 0.05}
        logs |= {"val_loss": 1.2 / (epoch + 1), "val_accuracy": share}
        of_classes = {f"eval/recall/{name}": share for name in names}
        speed = 1000.0 + epoch + 100 * args.seed
        run.log({"eval/epoch": epoch, "eval/samples_per_sec": speed, **of_classes})
        metadata = {"epoch": epoch, "step": 10 * epoch, "logs": logs, "samples": args.rows}
        # Each epoch is better than those before.
        aliases = ["latest", f"epoch_{epoch}", "best"]
        log.log_predictions(table, "evaluation", "eval_data", aliases, metadata)
    run.finish()


if __name__ == "__main__":
    main()
