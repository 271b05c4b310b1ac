"""Diabetes 130-US hospitals (UCI 296) as a table a pipeline reads: one row a discharge, in order of time.

Usage: ``python -m benchmarks.readmissiondata --data ../shared/data/health --out FOLDER`` writes
``FOLDER/encounters.parquet``. ``encounter``, ``patient``, ``discharged`` and ``readmitted`` are named as
``configs/disease_risk.yaml`` has them; the features are the source's own columns in lower case and derived ones (its
laboratory values are classes, its diagnoses ICD-9): a pipeline of this table has to name them.

The data has no dates. ``encounter_id`` grows with time and the study spans 1999 to 2008, so encounters are dealt
evenly over these years in that order: the dates tell earlier from later and nothing else; no season can be read
from them, and what happens "30 days later" is only roughly so. Encounters that ended in death or in a hospice are
left out, as by Strack et al. 2014: there is nobody to be readmitted.
"""

import argparse
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

FIRST, DAYS = date(1999, 1, 1), 3652
"""The study's years: 1999-01-01 to 2008-12-30."""
GONE = (11, 13, 14, 19, 20, 21)
"""Discharge dispositions: died, or to a hospice."""
DRUGS = (
    "metformin",
    "repaglinide",
    "nateglinide",
    "chlorpropamide",
    "glimepiride",
    "acetohexamide",
    "glipizide",
    "glyburide",
    "tolbutamide",
    "pioglitazone",
    "rosiglitazone",
    "acarbose",
    "miglitol",
    "troglitazone",
    "tolazamide",
    "insulin",
    "glyburide-metformin",
    "glipizide-metformin",
)
NUMBERS = (
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
)
TEXT = (
    "race",
    "gender",
    "age",
    "payer_code",
    "medical_specialty",
    "diag_1",
    "diag_2",
    "diag_3",
    "max_glu_serum",
    "A1Cresult",
    "metformin",
    "insulin",
    "glipizide",
    "glyburide",
    "pioglitazone",
    "rosiglitazone",
    "change",
    "diabetesMed",
)
CODES = ("admission_type_id", "discharge_disposition_id", "admission_source_id")
LABS = ("num_lab_procedures", "max_glu_serum", "a1cresult")
"""What a laboratory says: unknown in the stress set."""
SOURCES = {1: "referral", 2: "referral", 3: "referral", 7: "emergency"} | dict.fromkeys(
    (4, 5, 6, 10, 18, 22, 25, 26), "transfer"
)


def prepare(raw: pd.DataFrame) -> pd.DataFrame:
    """Return one row per discharge with ``encounter``, ``patient``, ``discharged``, ``readmitted`` and features.

    Args:
        raw: The 50 columns of the source.

    Returns:
        Rows in order of time; text columns hold ``None`` where nothing is known, numbers are floats.
    """
    alive = raw[~raw["discharge_disposition_id"].isin(GONE)].sort_values("encounter_id", ignore_index=True)
    days = np.arange(len(alive)) * DAYS // max(len(alive), 1)
    out = pd.DataFrame(
        {
            "encounter": alive["encounter_id"].astype(str),
            "patient": alive["patient_nbr"].astype(str),
            "discharged": [FIRST + timedelta(days=int(day)) for day in days],
            "readmitted": (alive["readmitted"] == "<30").astype(float),
        }
    )
    for name in NUMBERS:
        out[name] = alive[name].astype(float)
    for name in TEXT:
        out[name.lower()] = _text(alive[name])
    out["age_years"] = alive["age"].astype(str).str.extract(r"\[(\d+)-", expand=False).astype(float) + 5
    for name in CODES:
        out[name] = alive[name].astype(str)
    out["admission_source"] = alive["admission_source_id"].map(SOURCES).fillna("other")
    out["site"] = out["medical_specialty"].fillna("not recorded")
    for k in (1, 2, 3):
        out[f"chapter_{k}"] = alive[f"diag_{k}"].astype(object).map(chapter)
    out["drugs"] = (alive[list(DRUGS)].astype(str) != "No").sum(axis=1).astype(float)
    out["drugs_changed"] = alive[list(DRUGS)].astype(str).isin(["Up", "Down"]).sum(axis=1).astype(float)
    out["earlier_encounters"] = alive.groupby("patient_nbr").cumcount().astype(float)
    visits = ["number_outpatient", "number_emergency", "number_inpatient"]
    out["visits"] = out[visits].sum(axis=1)
    out["acuity"] = (alive["admission_type_id"].isin([1, 7])).astype(float)
    out["lace"] = lace_like(out)
    return out


def chapter(code: object) -> str | None:
    """Return the group of an ICD-9 code, those of Strack et al. 2014, table 2.

    Example:
        >>> chapter("428.1"), chapter("250.83"), chapter("V57"), chapter(None)
        ('circulatory', 'diabetes', 'other', None)
    """
    if not isinstance(code, str):
        return None
    if code[0] in "EV":
        return "other"
    whole = int(float(code))
    for name, spans in _CHAPTERS.items():
        if any(first <= whole <= last for first, last in spans):
            return name
    return "other"


_CHAPTERS = {
    "circulatory": ((390, 459), (785, 785)),
    "respiratory": ((460, 519), (786, 786)),
    "digestive": ((520, 579), (787, 787)),
    "diabetes": ((250, 250),),
    "injury": ((800, 999),),
    "musculoskeletal": ((710, 739),),
    "genitourinary": ((580, 629), (788, 788)),
    "neoplasms": ((140, 239),),
}
_COMORBIDITY = (
    (1, ((410, 410), (412, 412))),  # myocardial infarction
    (1, ((430, 438),)),  # cerebrovascular disease
    (1, ((440, 443),)),  # peripheral vascular disease
    (2, ((428, 428),)),  # congestive heart failure
    (2, ((490, 496),)),  # chronic pulmonary disease
    (2, ((571, 573), (582, 588))),  # liver or renal disease
    (2, ((140, 195), (200, 208))),  # tumour
    (3, ((290, 290), (710, 714))),  # dementia, connective tissue disease
    (4, ((42, 42),)),  # AIDS
    (6, ((196, 199),)),  # metastatic tumour
)


def lace_like(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return LACE points (van Walraven et al. 2010), 0 to 19, as far as these columns tell.

    Length of stay, acuity of the admission, comorbidity and emergency visits. The comorbidity is read from three
    diagnoses instead of the whole record, and visits are those of a year instead of half a year: hence *like*.
    """
    stay = rows["time_in_hospital"].to_numpy()
    length = np.select([stay < 1, stay < 4, stay < 7, stay < 14], [0, stay, 4, 5], 7)
    codes = [rows[f"diag_{k}"].map(_whole).to_numpy(dtype=np.float64) for k in (1, 2, 3)]
    illness = np.ones(len(rows))  # diabetes, which everybody here has
    for points, spans in _COMORBIDITY:
        found = np.zeros(len(rows), dtype=bool)
        for first, last in spans:
            for code in codes:
                found |= (code >= first) & (code <= last)
        illness += points * found
    comorbidity = np.where(illness >= 4, 5, illness)
    visits = np.minimum(rows["number_emergency"].to_numpy(), 4)
    return np.asarray(length + 3 * rows["acuity"].to_numpy() + comorbidity + visits, dtype=np.float64)


def _whole(code: object) -> float:
    return float(int(float(code))) if isinstance(code, str) and code[0].isdigit() else np.nan


def _text(column: pd.Series) -> pd.Series:
    """Return a column as text; in the laboratory's columns ``None`` is a word for `not measured`."""
    text = column.astype(object)
    return text.where(text.notna() & ~text.isin(["None", "Unknown/Invalid"]), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = prepare(pd.read_parquet(args.data / "diabetes130_encounters.parquet"))
    args.out.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(args.out / "encounters.parquet", index=False)
    print(f"{len(rows):,} encounters of {rows['patient'].nunique():,} patients: {args.out / 'encounters.parquet'}")


if __name__ == "__main__":
    main()
