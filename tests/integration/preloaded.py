"""Imports of a driver, done once in the process that the drivers of the tests are forked from."""

# ruff: noqa: F401, I001
import analysis.report.page
import matplotlib.figure
import mlxtend
import optuna
import pandas
import PIL.Image
import plotly.graph_objects
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import ray.tune
import rich.live
import scipy.stats
import torch
import torchvision

import orchestrator.cluster.gpu_packing
import orchestrator.cluster.tuning
import orchestrator.commands.data
import orchestrator.commands.report
import orchestrator.commands.run
import orchestrator.commands.state
import orchestrator.commands.train
import orchestrator.sweep
import trainable.trial.trainer
