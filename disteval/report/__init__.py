"""Pages to look at the predictions of a run, and of two, without an account or a network.

In: the directory of a run. Out: one HTML file with everything in it. README.md shows both pages.

- `build.py`, `compare.py`: the functions behind `report` and `compare`.
- `read.py`: what a run left on this machine: its `parts.py`, from `transactions.py` (W&B's own
  log) and `kept.py` (packages), and their `stored_tables.py` and `stored_metadata.py`.
- `matching.py`, `comparison.py`: which rows are of one sample, and the statistics of two runs.
- `columns.py`: which column is what. `pictures.py`: thumbnails with masks and boxes. `slices.py`.
- `page.py`: the data of the page. `html.py`: the HTML around it.
- `page.js`: what is chosen; the other scripts are its parts. `template.html`, `page.css`: how it
  looks. `compare.html`: the other page, which needs no script.
"""
