"""Adding up what was answered about one expectation, batch by batch, and judging the sum."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from perennial.checks.suites import EVER, Expectation
from perennial.contracts import Check

SAMPLES = 5
"""Offending values that are kept of one expectation."""
_WIDTH = 40
_NOT_JUDGED = "could not be judged"


@dataclass(slots=True)
class Tally:
    """What has been answered about one expectation so far.

    Attributes:
        shown: Rows of its season.
        asked: How often it was put to Great Expectations.
        answers: How often an answer came back.
        evaluated: Values judged row by row; nulls are left out where the expectation ignores them.
        unexpected: Those of them that it refuses.
        holds: False once it did not hold for a column or table as a whole.
        observed: What a judgement of a whole found.
        error: Why it could not be judged.
    """

    shown: int = 0
    asked: int = 0
    answers: int = 0
    evaluated: int = 0
    unexpected: int = 0
    holds: bool = True
    observed: str = ""
    error: str = ""
    samples: list[str] = field(default_factory=list)

    def add(self, result: Any) -> None:
        """Take in one result of Great Expectations."""
        found = result.result
        self.answers += 1
        self.error = self.error or _raised(result.exception_info)
        if "element_count" in found:
            self.evaluated += found["element_count"] - found.get("missing_count", 0)
            self.unexpected += found["unexpected_count"]
            self.samples += filter(None, map(_text, found["partial_unexpected_list"]))
            del self.samples[SAMPLES:]
        else:
            self.holds = self.holds and result.success is True
            self.observed = _text(found.get("observed_value"))

    def check(self, expectation: Expectation, table: str, rows: int) -> Check:
        """Return the verdict over ``rows`` rows; what was not judged has failed."""
        if rows and not self.shown and expectation.season != EVER:
            return self._out_of_season(expectation, table)
        obstacle = self._obstacle(expectation, rows)
        by_rows = expectation.frame == "rows"
        fine = self._share_is_fine(expectation) if by_rows and not obstacle else self.holds
        observed = self._shares() if by_rows else self.observed or ("yes" if self.holds else "no")
        return Check(
            name=expectation.name,
            table=table,
            column=", ".join(expectation.columns) or None,
            origin="expectation",
            severity=expectation.severity,
            passed=not obstacle and fine,
            observed=obstacle or observed,
            expected=expectation.sentence,
            samples=tuple(self.samples),
        )

    def _out_of_season(self, expectation: Expectation, table: str) -> Check:
        """Pass, and say that there was nothing: a Tuesday tells nothing about Saturdays."""
        return Check(
            name=expectation.name,
            table=table,
            column=", ".join(expectation.columns) or None,
            origin="expectation",
            severity=expectation.severity,
            passed=True,
            observed=f"no rows {expectation.season}",
            expected=expectation.sentence,
            samples=(),
        )

    def _obstacle(self, expectation: Expectation, rows: int) -> str:
        if not rows:
            return "no rows"
        if self.error:
            return f"{_NOT_JUDGED}: {self.error[:160]}"
        if not self.asked or self.answers != self.asked:
            return f"was judged {self.answers} of {self.asked} times"
        if expectation.frame == "rows" and not self.evaluated:
            return "every value is null"
        return ""

    def _share_is_fine(self, expectation: Expectation) -> bool:
        mostly = float(expectation.kwargs.get("mostly", 1))
        return (self.evaluated - self.unexpected) / self.evaluated >= mostly

    def _shares(self) -> str:
        share = f" ({_percent(self.unexpected / self.evaluated)})" if self.unexpected else ""
        return f"{self.unexpected:,} of {self.evaluated:,} values unexpected{share}" if self.evaluated else ""


def unquoted(check: Check) -> Check:
    """Return a check without samples of values, and without what an exception said about one."""
    judged = not check.observed.startswith(_NOT_JUDGED)
    return replace(check, samples=(), observed=check.observed if judged else f"{_NOT_JUDGED} (why is withheld)")


def _percent(share: float) -> str:
    """Return a share for people: never 0 % of something, never 100 % of almost everything."""
    if share < 0.0001:
        return "< 0.01 %"
    return "> 99.99 %" if 0.9999 < share < 1 else f"{100 * share:.2f} %"


def _raised(info: Mapping[str, Any]) -> str:
    """Return the message of an exception that Great Expectations swallowed, or an empty text."""
    nested = [value for value in info.values() if isinstance(value, Mapping)]
    for one in nested or [info]:
        if one.get("raised_exception") or one.get("exception_message"):
            return str(one.get("exception_message") or "an exception without a message").splitlines()[0]
    return ""


def _text(value: Any) -> str:
    """Return a value as a person would write it, cut to 40 characters; nothing for null and NaN."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} = {_text(inner)}" for key, inner in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(_text(inner) for inner in value)
    elif value is None or value != value:
        text = ""
    elif isinstance(value, float):
        text = f"{value:.7g}"
    else:
        text = str(value).removesuffix(" 00:00:00")
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
