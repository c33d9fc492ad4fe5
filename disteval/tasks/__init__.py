"""Ready-made evaluators: nothing to subclass for the four usual tasks.

`base` is what they share, `rows` chooses the samples of the tables, `inputs` shows what a model
was given, `probabilities` reads what it returned.
"""

from disteval.tasks.classification import ClassificationEval
from disteval.tasks.detection import DetectionEval
from disteval.tasks.regression import RegressionEval
from disteval.tasks.segmentation import SegmentationEval

__all__ = ["ClassificationEval", "DetectionEval", "RegressionEval", "SegmentationEval"]
