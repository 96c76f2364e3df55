"""`prosect inspect` on what people really have: mixed studies, zips, folders of any depth."""

import json
import shutil
import zipfile

import pytest

from relabeled_series import PATIENT, words
from synthetic_series import Series, read_uid


@pytest.fixture
def inspect(run_prosect):
    def run(scan, expected_code=0):
        done = run_prosect("inspect", scan, "--json")
        assert done.code == expected_code, done.told()
        return done

    return run


def every_series(answer: dict) -> list[dict]:
    return [series for study in answer["studies"] for series in study["series"]]


def taken(answer: dict) -> dict:
    """The one series that would be taken."""
    (series,) = [series for series in every_series(answer) if series["series_uid"] == answer["would_take"]]
    return series


def test_the_ct_of_a_mixed_study_is_chosen_with_reasons(inspect, shared):
    folder = shared / "petct-mixed-study"
    answer = inspect(folder).json
    series = every_series(answer)
    assert len(series) == 6
    ct = taken(answer)
    assert ct["series_uid"] == read_uid(next((folder / "CT_2_CT_IMAGES").iterdir()))
    assert ct["modality"] == "CT" and ct["n_slices"] == 135 and ct["fits"]
    assert all(entry["reason"] for entry in series), series
    (scout,) = [entry for entry in series if "SCOUT" in entry["description"]]
    assert scout["scout"] and not scout["fits"]
    assert sorted(entry["modality"] for entry in series) == ["CT", "CT", "PT", "SEG", "SEG", "SEG"]


def test_size_spacing_orientation_and_syntax_are_shown(inspect, shared):
    slab = taken(inspect(shared / "ct-abdomen-siemens-j2k").json)
    assert slab["columns_rows"] == [512, 512] and slab["n_slices"] == slab["n_instances"] == 20
    assert slab["spacing_mm"] == pytest.approx([0.9765625, 0.9765625, 2.0], abs=1e-6)
    # Rows run to the left, columns to the back, and slices are sorted upwards.
    assert slab["orientation"] == "LPS"
    assert len(slab["transfer_syntaxes"]) == 1 and "2000" in slab["transfer_syntaxes"][0]


def test_a_person_gets_the_same_in_words(run_prosect, shared):
    done = run_prosect("inspect", shared / "petct-mixed-study")
    assert done.code == 0, done.told()
    for word in ("CT IMAGES", "SCOUT", "PET AC", "135", "3.27"):
        assert word in done.stdout, f"{word} missing\n{done.told()}"


def test_a_zip_is_a_folder(inspect, shared, tmp_path):
    folder = shared / "ct-abdomen-siemens-j2k"
    path = tmp_path / "slab.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for scan in folder.iterdir():
            archive.write(scan, f"deep/inside/{scan.name}")
    assert taken(inspect(path).json) == taken(inspect(folder).json)


def test_a_folder_of_any_depth_and_order(inspect, tmp_path):
    series = Series()
    flat = series.write(tmp_path / "flat")
    deep = tmp_path / "deep"
    for number, path in enumerate(sorted(flat.iterdir(), reverse=True)):
        folder = deep / str(number % 3) / "x"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{number:03}")
    (deep / "notes.txt").write_text("nothing to see")
    answer = inspect(deep).json
    assert answer["would_take"] == series.uid and taken(answer)["n_slices"] == series.n_slices
    assert "notes.txt" in json.dumps(answer["left_out"])


def test_no_patient_in_the_answer(run_prosect, slab_series):
    for arguments in (["--json"], []):
        done = run_prosect("inspect", slab_series, *arguments)
        assert done.code == 0, done.told()
        assert not [word for word in words(PATIENT) if word in done.stdout + done.stderr], done.told()


def test_an_empty_folder_is_an_error(run_prosect, tmp_path):
    done = run_prosect("inspect", tmp_path)
    assert done.code == 2 and "error" in done.stderr, done.told()
