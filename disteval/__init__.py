"""Sharded evaluation of Keras models, with the predictions in Weights & Biases tables."""

from disteval.backends import get_backend
from disteval.predict import predict
