"""Numbers, dates and foreign text, made safe and readable for HTML and Markdown."""

import math
import re
from datetime import date, datetime

from perennial.contracts import LateEstimate
from perennial.reports.metricwords import metric_words

NONE = "–"
"""What a table shows where there is no figure."""
_NBSP = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_FORMULA = re.compile(r"[=+\-@\uff0b\uff0d\uff1d\uff20]")
_QUANTITY = re.compile(r"[-+]?[\d.,]+(\s?[%\w]+)*")
_SPACE = re.compile(r"\s+")
_MARKDOWN = re.compile(r"[\\`*\[\]|~#!$]|(?<!\w)_|_(?!\w)")


def plain(value: object, width: int = 80) -> str:
    r"""Make text that came from data harmless and short.

    Control and direction-changing characters become spaces (they can disguise a name), and what a spreadsheet
    would run as a formula after copy and paste gets a leading apostrophe. HTML is escaped by the templates.

    Example:
        >>> plain("=HYPERLINK(1)"), plain("-3.5 %"), plain("a\u202eb")
        ("'=HYPERLINK(1)", '-3.5 %', 'a b')
    """
    text = " ".join(_INVISIBLE.sub(" ", str(value)).split())
    if _FORMULA.match(text) and not _QUANTITY.fullmatch(text):
        text = "'" + text
    return text if len(text) <= width else text[: width - 1] + "…"


def markdown(value: object) -> str:
    r"""Escape text for one cell or line of Markdown: no markup, no HTML, no links, no line breaks.

    Example:
        >>> markdown("a|b <i> seasonal_naive *x*")
        'a\\|b &lt;i&gt; seasonal_naive \\*x\\*'
    """
    text = _SPACE.sub(" ", str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(lambda m: "\\" + m.group(), text).replace("://", "&#58;//")  # no bare link either


def count(value: float) -> str:
    """Format a whole number, for example ``12,345``."""
    return f"{value:,.0f}".replace("-", _MINUS) if math.isfinite(value) else NONE


def amount(value: float) -> str:
    """Format a quantity with about three significant digits, never with an exponent."""
    if not math.isfinite(value):
        return NONE
    size = abs(value)
    if size == 0:
        return "0"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}".replace("-", _MINUS)


def share(value: float, digits: int = 1, *, sign: bool = False) -> str:
    """Format a fraction in percent, for example ``52.1 %``; ``sign`` writes the plus too."""
    if not math.isfinite(value):
        return NONE
    rounded = round(value * 100, digits) or 0.0
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}{_NBSP}%".replace("-", _MINUS)


def figure(value: float, metric: str) -> str:
    """Format one value of ``metric`` in its own unit; ``–`` where it is undefined."""
    if not math.isfinite(value):
        return NONE
    unit = metric_words(metric).unit
    if unit == "share":
        return share(value)
    return amount(value) if unit == "amount" else f"{value:.3f}".replace("-", _MINUS)


def seconds(value: float) -> str:
    r"""Format a duration.

    Example:
        >>> seconds(0.042), seconds(12.34), seconds(754)
        ('42\xa0ms', '12.3\xa0s', '12\xa0min\xa034\xa0s')
    """
    if value < 1:
        return f"{value * 1000:.0f}{_NBSP}ms"
    if value < 120:
        return f"{value:.1f}{_NBSP}s"
    return f"{value // 60:.0f}{_NBSP}min{_NBSP}{value % 60:.0f}{_NBSP}s"


def brief(value: float) -> str:
    """Format a duration for a column: three significant digits at most, ``–`` where it is unknown."""
    if not math.isfinite(value):
        return NONE
    if value < 60:
        return f"{value:.{1 if value >= 1 else 2}f} s"
    return f"{value / 60:.1f} min" if value < 3600 else f"{value / 3600:.1f} h"


def mebibytes(value: float) -> str:
    """Format memory given in MiB, for example ``1.4 GiB``."""
    return f"{value / 1024:.1f}{_NBSP}GiB" if value >= 1024 else f"{value:.0f}{_NBSP}MiB"


def estimated(one: LateEstimate) -> str:
    """Return what is thought of days without labels, with the record of such estimates."""
    if one.muted or math.isnan(one.estimate):
        said = f"{one.metric} not estimated, {one.muted or 'since no score is above zero'}"
    else:
        said = f"{one.metric} about {one.estimate:.3f} up to {one.day}, estimated from the scores"
    if one.checked is None:
        return said
    return f"{said}; up to {one.checked} it was estimated as {one.expected:.3f} and came out as {one.realised:.3f}"


def day(value: date) -> str:
    """Format a date for reading, for example ``20 November 2011``."""
    return f"{value.day}{_NBSP}{value:%B} {value.year}"


def days(value: int) -> str:
    """Format a number of days."""
    return f"{value:,}{_NBSP}day{'s' if value != 1 else ''}"


def short_day(value: date) -> str:
    """Format a date for an axis, for example ``20 Nov``."""
    return f"{value.day}{_NBSP}{value:%b}"


def moment(value: datetime) -> str:
    """Format a moment to the minute with its zone."""
    return f"{day(value.date())}, {value:%H:%M} {value.tzname() or ''}".rstrip()
