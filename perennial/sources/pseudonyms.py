"""Identifiers of people to pseudonyms, at the one border where foreign columns become ours."""

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass, field

import pyarrow as pa

DIGITS = 20
"""Hexadecimal digits of a pseudonym, 80 bits: among ten million people, two share one with a chance of 4e-11."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonyms:
    """Which columns hold identifiers, and the key that replaces them.

    Attributes:
        columns: Names of ours: ``entity`` and extra columns.
        key: Secret; shown nowhere.
    """

    columns: frozenset[str]
    key: bytes = field(repr=False)

    def of(self, name: str) -> str:
        """Return the pseudonym of one identifier; the same one in every column and table, however it is spelled."""
        name = unicodedata.normalize("NFC", name)  # as keys are when they land
        return hmac.new(self.key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:DIGITS]

    def replace(self, values: pa.Array) -> pa.Array:
        """Return a text column with every identifier replaced; null stays null."""
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        names = [None if name is None else self.of(name) for name in coded.dictionary.to_pylist()]
        return pa.array(names, pa.string()).take(coded.indices)

    @property
    def settings(self) -> str:
        """What a landing records of them: the columns, and which key."""
        return f"{','.join(sorted(self.columns))}@{self.mark}"

    @property
    def mark(self) -> str:
        """Tells keys apart without telling them."""
        return self.of("\0perennial: which key")[:8]
