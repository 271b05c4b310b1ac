"""Stage 7 of 9: decide whether the candidate may replace the champion.

Policy only. Which gates run comes from ``configs/``; what a gate means is :mod:`perennial.evaluation.gates`. Every gate
is judged even after one fails. A candidate older than the champion does not replace it. No effects, never retried.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Decision, Evaluation
from perennial.evaluation.gates import judge, succeeds

log = logging.getLogger(__name__)


@task(name="decide", cache_policy=NO_CACHE)
def decide(run: Run, scores: Evaluation) -> Decision:
    """Judge one evaluation against every configured gate.

    Raises:
        MetricMissing: A gate names a metric, slice or contender that was not evaluated.
    """
    with run.stage("decide"):
        decision = succeeds(judge(scores, run.cfg.gates), run.as_of, run.ledger.in_force(run.name))
    log.info("%s", decision.summary)
    return decision
