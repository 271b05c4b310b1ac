"""Fourth stage of monitoring: tell people once, and ask for a retrain.

Policy: the alert stands in the ledger and in the outbox in one commit; what a channel does not take now is sent by
the next monitor run or by ``perennial watch``. The event is a wish: the run key makes a second answer a no-op.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from perennial.alerts import deliver
from perennial.context import Run
from perennial.contracts import Alert, Measurement
from perennial.monitoring.alerting import raise_alerts

log = logging.getLogger(__name__)


@task(name="alert", cache_policy=NO_CACHE)
def alert(run: Run, judged: Measurement) -> tuple[Alert, ...]:
    """Open and close alerts, send what is due, and emit ``perennial.retrain.wanted`` if a retrain is."""
    opened = raise_alerts(run.ledger, run.lease, run.cfg, judged)
    sent, failed = deliver(run.ledger, run.workspace.env)
    log.info("%d alerts opened, %d messages sent, %d will be tried again", len(opened), sent, failed)
    if judged.retrain and run.workspace.env.retrain == "event":
        emit_event(
            event="perennial.retrain.wanted",
            resource={
                "prefect.resource.id": f"perennial.pipeline.{run.name}",
                "prefect.resource.name": run.name,
                "perennial.environment": run.workspace.env.environment,
            },
            payload={"pipeline": run.name, "as_of": run.as_of.isoformat(), "reason": judged.retrain},
        )
    return opened
