"""Makes the pictures of the READMEs from a run that launch/demo.sh has made, with Chromium.

    bash launch/demo.sh && .venv/bin/python launch/pictures.py

Needs what the tests need (bash launch/setup.sh --test) and Chromium.
"""

from __future__ import annotations

import base64
import html
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import wandb
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sklearn.datasets import load_digits

import disteval
from disteval.report.build import build_report
from disteval.report.compare import compare_runs, write_comparison
from disteval.report.transactions import StoredArtifact, read_artifacts

TOP = Path(__file__).resolve().parents[1]
FOLDER = TOP / "launch/pictures"
FOLDER_OF_RUNS = TOP / "runs/compared"
COLORS = 128
STYLE = """
body { margin: 0; font: 15px sans-serif; } table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #ddd; padding: 4px 12px; text-align: left; } th { background: #f5f5f5; }
img { width: 40px; image-rendering: pixelated; display: block; } .wrong { background: #fde8e8; }
"""


def main() -> None:
    run = TOP / "runs/wandb/latest-run"
    report = TOP / "runs/report.html"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not run.exists() or chromium is None:
        sys.exit("First: bash launch/demo.sh, and install chromium.")
    FOLDER.mkdir(exist_ok=True)
    FOLDER_OF_RUNS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 640, "height": 480})
        page.set_content(table(read_artifacts(run)))
        save(page, "table.png")
        page = browser.new_page(viewport={"width": 1280, "height": 960})
        page.goto(report.resolve().as_uri())
        page.wait_for_selector(".sample")
        # The pictures of the samples, and the filters above them.
        page.evaluate("document.querySelector('.sample').scrollIntoView({block: 'center'})")
        save(page, "page.png")
        first, second = train(4), train(16)
        page.goto(build_report(second, TOP / "runs/history.html").resolve().as_uri())
        page.wait_for_selector(".sample")
        page.set_viewport_size({"width": 860, "height": 960})
        page.evaluate("document.querySelector('#map').scrollIntoView({block: 'end'})")
        save(page, "map.png")
        page.set_viewport_size({"width": 1280, "height": 960})
        compared = write_comparison(*compare_runs(first, second), TOP / "runs/compared.html")
        page.goto(compared.resolve().as_uri())
        save(page, "compared.png")
        browser.close()


def train(units: int) -> Path:
    """Trains a model of some hidden units on digits, some labels of which are wrong."""
    digits = load_digits()
    x, y = digits.images[..., None].astype("uint8") * 16, digits.target
    random = np.random.default_rng(0)
    labels = np.where(random.random(600) < 0.04, random.integers(0, 10, 600), y[1197:])
    ink = x[1197:].mean(axis=(1, 2, 3))
    ink = np.where(ink > np.median(ink), "thick", "thin")
    tf.keras.utils.set_random_seed(0)
    layers = [tf.keras.layers.Rescaling(1 / 255), tf.keras.layers.Flatten()]
    layers += [tf.keras.layers.Dense(units, "relu"), tf.keras.layers.Dense(10, "softmax")]
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), *layers])
    model.compile(tf.keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    with wandb.init(
        mode="offline", project="digits", name=f"{units} units", dir=FOLDER_OF_RUNS
    ) as run:
        evaluate = disteval.ClassificationEval(
            (x[1197:], labels), slices={"ink": ink, "digit": list(map(str, labels))}
        )
        model.fit(x[:1197], y[:1197], epochs=8, verbose=0, callbacks=[evaluate])
        directory = Path(run.dir).parent
    wandb.teardown()  # W&B's service has written everything
    return directory


def table(artifacts: list[StoredArtifact]) -> str:
    """Returns the first rows of the newest prediction table as HTML."""
    newest = [artifact for artifact in artifacts if artifact.name.endswith("_pred")][-1]
    # The tables that it refers to are in subfolders.
    name = next(p for p in newest.files if p.endswith(".table.json") and "/" not in p)
    content = json.loads(newest.files[name].read_text())
    files = {path: file for artifact in artifacts for path, file in artifact.files.items()}
    predicted, label = (content["columns"].index(column) for column in ("predicted", "label"))
    rows = "".join(
        f'<tr class="{"wrong" if row[predicted] != row[label] else ""}">'
        + "".join(f"<td>{cell(value, files)}</td>" for value in row)
        + "</tr>"
        for row in content["data"][:9]
    )
    names = "".join(f"<th>{html.escape(column)}</th>" for column in content["columns"])
    return f"<style>{STYLE}</style><table><tr>{names}</tr>{rows}</table>"


def cell(value: Any, files: dict[str, Path]) -> str:
    """Returns a cell as HTML; a picture is the file to which the table refers."""
    if isinstance(value, dict):
        data = base64.b64encode(files[value["path"]].read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}">'
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))


def save(page: Page, name: str) -> None:
    """Writes a picture of what is on the page, small enough for a README."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.thumbnail((640, 520))
    picture.quantize(COLORS).save(FOLDER / name, optimize=True)
    print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
