"""Copies of series with another patient's name, so that a name which leaks can be recognized."""

from pathlib import Path

import pydicom

# Words that stand in no file by chance.
PATIENT = {
    "PatientName": "Quagmire^Xanthippe",
    "PatientID": "QX-7781-ZB",
    "PatientBirthDate": "19031217",
    "AccessionNumber": "ACC55019XQ",
    "InstitutionName": "Hospital of Nowhereville",
    "ReferringPhysicianName": "Wimbledorf^Ottokar",
}


def words(patient: dict) -> list[str]:
    """The single words by which the patient could be recognized."""
    return [word for value in patient.values() for word in value.replace("^", "\n").split("\n")]


def copy_with_patient(source: Path, target: Path, patient: dict) -> None:
    for path in sorted(source.iterdir()):
        dataset = pydicom.dcmread(path)
        for key, value in patient.items():
            setattr(dataset, key, value)
        dataset.save_as(target / path.name)
