"""Answers from the ledger and the configuration alone: how every pipeline is, what was in force when, and why.

No MLflow, no Prefect, no network: it answers while they are down, and while a pipeline's file is broken.
"""

from perennial.overview.contents import Fleet, History, PipelineOverview, Source, Spend
from perennial.overview.gather import fleet, overview
from perennial.overview.history import history, story
from perennial.overview.spark import spark, spark_points

__all__ = [
    "Fleet",
    "History",
    "PipelineOverview",
    "Source",
    "Spend",
    "fleet",
    "history",
    "overview",
    "spark",
    "spark_points",
    "story",
]
