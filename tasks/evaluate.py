"""Stage 6 of 9: score candidate, champion and naive baselines on the same rows."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Candidate, Evaluation, Incumbent, Prepared
from perennial.evaluation import catalogue
from perennial.kinds import kind

log = logging.getLogger(__name__)


@task(name="evaluate", cache_policy=NO_CACHE)
def evaluate(run: Run, data: Prepared, candidate: Candidate, current: Incumbent | None) -> Evaluation:
    """Forecast every test window with every contender and measure the errors."""
    models = {"candidate": candidate.model} | ({"champion": current.model} if current else {})
    with run.stage("evaluate"):
        scores = kind(run.cfg.kind).evaluate(
            data.data,
            data.split,
            run.cfg,
            models,
            threads=run.threads,
        )
    usual = catalogue.usual(run.cfg.kind)
    contenders = dict.fromkeys(s.contender for s in scores.scores)
    log.info(
        "%s test rows; %s %s",
        f"{len(scores.rows.y):,}",
        usual,
        ", ".join(f"{name} {scores.value(name, usual):.3f}" for name in contenders),
    )
    return scores
