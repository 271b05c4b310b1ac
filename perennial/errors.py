"""Everything Perennial raises on purpose, and who can act on it.

::

    PerennialError
    |-- ConfigError            the author of a YAML file: a setting is wrong
    |-- SourceError            the owner of the data source: it cannot be read (worth a retry)
    |   `-- SourceUnusable     ... nothing is there, or it is damaged (no retry)
    |       `-- SchemaError    ... its columns or types are not those promised (no retry)
    |-- IntegrityError         the operator: stored bytes are not the bytes that were recorded
    |-- DataCheckFailed        the owner of the data: it breaks a critical expectation
    |-- TrainingError          the author of the pipeline: these rows cannot be trained on
    |-- MetricMissing          the author of the pipeline: a gate names what was not evaluated
    |-- LakeError              the operator: the tables did not answer, or took no more (worth a retry)
    |-- RegistryError          the operator: MLflow or the model store did not answer (worth a retry)
    |-- LedgerError            the operator: the record cannot be written or contradicts itself
    |   |-- Fenced             ... another run took over this pipeline; this one must stop
    |   `-- Busy               ... another run holds this pipeline and did not finish in time
    `-- Refused                whoever asked: the action is not allowed in this state

A message carries the value, the allowed set and the next step. At most five samples of at most forty
characters are quoted, so that no message leaks a table.
"""

from collections.abc import Iterable


class PerennialError(Exception):
    """Root of all deliberate errors; the command line shows its text and exits with 1."""


class ConfigError(PerennialError):
    """A YAML file does not describe a valid pipeline or environment."""


class SourceError(PerennialError):
    """A data source could not be read; trying again may help."""


class SourceUnusable(SourceError):
    """A source is missing or damaged; no retry helps."""


class SchemaError(SourceUnusable):
    """A source was read, but its columns or types are not the configured ones; no retry helps."""


class IntegrityError(PerennialError):
    """Stored bytes differ from the digest that was recorded for them."""


class DataCheckFailed(PerennialError):
    """At least one critical check failed; nothing was trained."""


class TrainingError(PerennialError):
    """The rows at hand cannot be trained on or scored."""


class MetricMissing(PerennialError):
    """A gate names a metric, slice or contender that was not evaluated."""


class LakeError(PerennialError):
    """The lake's folder or bucket did not do what was asked."""


class RegistryError(PerennialError):
    """MLflow or the model store did not do what was asked."""


class LedgerError(PerennialError):
    """The ledger could not record a fact, or holds facts that contradict each other."""


class Fenced(LedgerError):
    """Another run holds a newer fencing token; every write of this one is refused."""


class Busy(LedgerError):
    """Another run holds the lock of this pipeline and did not release it in time."""


class Refused(PerennialError):
    """The action is not allowed in the present state."""


def sample(values: Iterable[object], limit: int = 5, width: int = 40) -> str:
    """Quote at most ``limit`` values, each cut to ``width`` characters.

    Example:
        >>> sample(["a", "b"], limit=1)
        "'a', ..."
    """
    shown: list[str] = []
    for value in values:
        if len(shown) == limit:
            shown.append("...")
            break
        text = repr(value)
        shown.append(text if len(text) <= width else text[: width - 3] + "...")
    return ", ".join(shown)
