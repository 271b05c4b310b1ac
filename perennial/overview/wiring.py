"""What pipelines read, what they publish, and which of them read what another has published."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from perennial.config.models import FileSource, Pipeline, PredictionsSource, S3Source, SqlSource, Table
from perennial.overview.contents import Source

_PATTERN = frozenset("*?[")


def predictions(pipeline: str) -> str:
    """Return the logical name of the table of a pipeline's predictions."""
    return f"{pipeline}.predictions"


def addresses(names: Iterable[str], *, lake: str, root: Path) -> dict[str, str]:
    """Return where the predictions of each pipeline are, by name, in the spelling that sources are compared in.

    Args:
        names: All pipelines.
        lake: Folder or ``s3://`` address of the tables.
        root: Where relative paths start.
    """
    top = _address(lake, root)
    return {name: f"{top}/{predictions(name)}" for name in names}


def sources(cfg: Pipeline, known: Mapping[str, str], *, root: Path) -> tuple[Source, ...]:
    """Return every table that a pipeline reads.

    Args:
        cfg: Its settings.
        known: From :func:`addresses`: sources that are another pipeline's predictions.
        root: Where relative paths start.
    """
    tables = {cfg.pipeline: cfg.data} | {f"{cfg.pipeline}.{name}": table for name, table in cfg.known.items()}
    return tuple(_source(name, table, known, root) for name, table in tables.items())


def readers(reads: Mapping[str, tuple[Source, ...]]) -> dict[str, tuple[str, ...]]:
    """Return who reads the predictions of each pipeline, from what each of them reads."""
    pairs = sorted({(one.producer, name) for name, mine in reads.items() for one in mine if one.producer})
    return {producer: tuple(reader for made, reader in pairs if made == producer) for producer, _ in pairs}


def _source(name: str, table: Table, known: Mapping[str, str], root: Path) -> Source:
    source = table.source
    if isinstance(source, PredictionsSource):
        return Source(table=name, type=source.type, place=source.pipeline, producer=source.pipeline)
    place = source.path if isinstance(source, FileSource) else _elsewhere(source)
    address = "" if isinstance(source, SqlSource) else _address(place, root)
    made_by = (pipeline for pipeline, folder in known.items() if f"{address}/".startswith(f"{folder}/"))
    return Source(table=name, type=source.type, place=place, producer=next(made_by, "") if address else "")


def _elsewhere(source: S3Source | SqlSource) -> str:
    if isinstance(source, S3Source):
        return f"s3://{source.bucket}/{source.prefix}"
    return f"{source.connection}: {source.table}"


def _address(place: str, root: Path) -> str:
    """Return the folder that a path or address names, up to its first pattern, in one spelling."""
    if "://" in place:
        return place.rstrip("/")
    return str((root / Path(*_fixed(Path(place).parts))).resolve())


def _fixed(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if _PATTERN & set(part):
            return
        yield part
