"""Verbs: one stage a file, in the order of the graphs. A stage adds resilience to the library, never meaning."""

from tasks.extract import extract  # isort: skip
from tasks.check import check  # isort: skip
from tasks.recall import recall  # isort: skip
from tasks.split import split  # isort: skip
from tasks.champion import champion  # isort: skip
from tasks.train import train  # isort: skip
from tasks.evaluate import evaluate  # isort: skip
from tasks.decide import decide  # isort: skip
from tasks.report import report  # isort: skip
from tasks.register import register  # isort: skip
from tasks.resolve import resolve  # isort: skip
from tasks.predict import predict  # isort: skip
from tasks.publish import publish, published  # isort: skip
from tasks.measure import measure  # isort: skip
from tasks.roll_out import roll_out  # isort: skip
from tasks.judge import judge  # isort: skip
from tasks.alert import alert  # isort: skip
from tasks.fleet import fleet  # isort: skip
from tasks.agenda import agenda, attempt, close, failure, insist, wants_retrain  # isort: skip
from tasks.deliver import deliver  # isort: skip
from tasks.asked import actor, late, run_name  # isort: skip

__all__ = [  # noqa: RUF022 - the order of the graph
    "extract",
    "check",
    "recall",
    "split",
    "champion",
    "train",
    "evaluate",
    "decide",
    "report",
    "register",
    "published",
    "resolve",
    "predict",
    "publish",
    "measure",
    "roll_out",
    "judge",
    "alert",
    "fleet",
    "agenda",
    "attempt",
    "failure",
    "insist",
    "deliver",
    "wants_retrain",
    "close",
    "actor",
    "late",
    "run_name",
]
