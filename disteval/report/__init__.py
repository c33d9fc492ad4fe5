"""A page to look at a run's predictions, without an account and without a network.

In: the directory of a run. Out: one HTML file with everything in it.

- `build.py`: the public function. `read.py`: what a run left on this machine: its `parts.py`, from
  `transactions.py` (W&B's own log) and `kept.py` (packages).
- `columns.py`: which column is what. `pictures.py`: thumbnails with masks and boxes.
- `page.py`: the data of the page, and the HTML around it.
- `page.js`: what is chosen, and its parts: `data.js`, `rows.js`, `charts.js`, `classes.js`,
  `samples.js`, `elements.js`, `text.js`. `template.html`, `page.css`: how it looks.
"""
