"""A partition's windows become its tables, whatever their order and whatever they hold."""

from __future__ import annotations

import itertools
import logging
import warnings
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pydicom
import pytest
from header.windows import element, file_of, place_of, window_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, RTStructureSetStorage

from dcmdask.header.reader import quiet_pydicom, read_headers, series_key
from dcmdask.tables.schema import DESCRIBED, FAILURES, INSTANCES, NAMED, NOTED, ROW, SEEN
from dcmdask.types import Failure, HeaderTables, Kind, Window


def ct(number: int | None = 1, **values: Any) -> Dataset:
    """Give a CT slice."""
    dataset = Dataset()
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"1.2.3.{number or 0}",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "Modality": "CT",
        "PatientName": "Doe^Jane",
        "InstanceNumber": number,
        "KVP": f"{100 + (number or 0)}",
        "Rows": 4,
        "Columns": 4,
    }
    for word, value in {**defaults, **values}.items():
        setattr(dataset, word, value)
    return dataset


def structure_set(number: int) -> Dataset:
    """Give a structure set that names an image of its own number."""
    dataset = Dataset()
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = f"1.2.5.{number}"
    dataset.SeriesInstanceUID = "1.2.5"
    dataset.Modality = "RTSTRUCT"
    image = Dataset()
    image.ReferencedSOPInstanceUID = f"1.2.3.{number}"
    dataset.ReferencedImageSequence = Sequence([image])
    return dataset


def windows(*contents: Dataset | bytes | Failure) -> list[Window | Failure]:
    """Give a window for each of some objects, named a, b, c, ..., at rows 0, 1, 2, ..."""
    names = "abcdefghijklmnopqrstuvwxyz"
    found: list[Window | Failure] = []
    for row, (name, content) in enumerate(zip(names, contents, strict=False)):
        if isinstance(content, Failure):
            found.append(replace(content, place=replace(content.place, row=row)))
        else:
            data = content if isinstance(content, bytes) else file_of(content)
            window = window_of(data, name=name)[0]
            window.place = replace(window.place, row=row)
            found.append(window)
    return found


def rows_of(table: pa.Table) -> list[int]:
    """Give the rows of the manifest that the rows of a table come from."""
    return table["row"].to_pylist()


def notes_of(tables: HeaderTables) -> list[tuple[int, str, str | None, bool]]:
    """Give row, kind and attribute of the notes, and whether they are the series' only."""
    names = ("row", "note", "attribute", "of_series")
    return sorted(
        (tuple(row[name] for name in names) for row in tables.notes.to_pylist()),
        key=lambda one: tuple(map(str, one)),
    )


def read(*contents: Dataset | bytes | Failure, desensitize: bool = False) -> HeaderTables:
    """Read some objects as one partition."""
    return read_headers(windows(*contents), desensitize=desensitize)


def test_every_item_is_a_row() -> None:
    """An instance, a file that is none, and what a source could not open each have their row."""
    lost = Failure(place_of("z"), Kind.ACCESS_DENIED, "permission denied", "fetch")
    tables = read(ct(), b"a text", lost)
    assert ["file:///in/a"] == tables.instances["url"].to_pylist()
    expected = [("not_dicom", "read"), ("access_denied", "fetch")]
    rows = tables.failures.select(["kind", "stage"]).to_pylist()
    assert expected == [(row["kind"], row["stage"]) for row in rows]
    assert ([0], [1, 2]) == (rows_of(tables.seen), rows_of(tables.failures))


def test_tables_have_their_declared_schemas() -> None:
    """Columns and types are those of the schema, in the empty partition too."""
    for tables in (read(), read(ct(), structure_set(1), b"")):
        assert INSTANCES == tables.instances.schema
        assert SEEN == tables.seen.schema
        assert DESCRIBED.append(ROW) == tables.described.schema
        assert NAMED.append(ROW) == tables.references.schema
        assert FAILURES.append(ROW) == tables.failures.schema
        assert NOTED.append(ROW) == tables.notes.schema


def test_the_least_instance_describes_its_series() -> None:
    """In whatever order instances come, the one of least number describes the series."""
    for order in itertools.permutations((ct(3), ct(1), ct(2))):
        described = read(*order).described
        assert [(101.0, "1.2.3", [one.InstanceNumber for one in order].index(1))] == [
            (row["KVP"], row["SeriesInstanceUID"], row["row"]) for row in described.to_pylist()
        ]


def test_instances_without_a_number_come_last() -> None:
    """An instance without InstanceNumber describes a series only where none has one."""
    described = read(ct(None, KVP="80"), ct(9)).described
    assert [109.0] == described["KVP"].to_pylist()


def test_every_object_of_a_referring_kind_names_others() -> None:
    """References of a structure set are its own; those of an image are its series'."""
    slice_ = ct()
    slice_.ReferencedImageSequence = structure_set(7).ReferencedImageSequence
    rows = read(structure_set(2), structure_set(1), slice_).references.to_pylist()
    names = ("SourceModality", "target_uid", "of_series", "row")
    found = sorted(tuple(row[name] for name in names) for row in rows)
    expected = [
        ("CT", "1.2.3.7", True, 2),
        ("RTSTRUCT", "1.2.3.1", False, 1),
        ("RTSTRUCT", "1.2.3.2", False, 0),
    ]
    assert expected == found


def test_references_of_a_series_are_those_of_its_least_instance() -> None:
    """An image that is not the representative names nothing for its series."""
    least, other = ct(1), ct(2)
    other.ReferencedImageSequence = structure_set(7).ReferencedImageSequence
    assert 0 == read(other, least).references.num_rows
    assert 0 == read(least, other).references.num_rows


def test_what_cannot_be_read_deeply_stays_an_instance() -> None:
    """Damage behind the light attributes costs the deep ones, and is counted."""
    content = file_of(structure_set(1)).replace(b"\x55\x11UI", b"\x55\x11ZZ")
    tables = read(content)
    assert ["1.2.5.1"] == tables.instances["SOPInstanceUID"].to_pylist()
    unidentified = (0, "unidentified", "StudyInstanceUID", False)
    assert [(0, "not_described", None, False), unidentified] == notes_of(tables)
    assert ["1.2.5"] == tables.described["SeriesInstanceUID"].to_pylist()


def test_an_instance_without_identity_has_no_series() -> None:
    """Without SeriesInstanceUID an object is an instance and nothing more."""
    dataset = ct()
    del dataset.SeriesInstanceUID
    tables = read(dataset)
    assert (1, 0) == (tables.instances.num_rows, tables.described.num_rows)
    assert [(0, "unidentified", "SeriesInstanceUID", False)] == notes_of(tables)


@pytest.mark.parametrize(("number", "sub"), [("7", 7), ("", 1), ("x", 1)])
def test_subseries_is_the_acquisition_or_one(number: str, sub: int) -> None:
    """SubSeries is AcquisitionNumber, or 1 where it is absent, empty or malformed."""
    content = file_of(ct()) if not number else file_of(ct(AcquisitionNumber="7"))
    content = content.replace(b"IS\x02\x007 ", f"IS\x02\0{number} ".encode())
    assert [sub] == read(content).described["SubSeries"].to_pylist()
    assert None is series_key({"SeriesInstanceUID": None})


def test_a_name_that_no_column_holds_costs_its_value_only() -> None:
    """Text that Arrow cannot encode is malformed: it must not end the partition."""
    content = file_of(ct(PatientName="+2AA-"))
    at = content.index(b"\x08\x00\x16\x00UI")
    content = content[:at] + element(0x00080005, "CS", b"utf-7 ") + content[at:]
    tables = read(content, ct(2))
    assert [None, "Doe^Jane"] == tables.instances["PatientName"].to_pylist()
    assert [(0, "not_understood", "PatientName", False)] == notes_of(tables)


def test_names_leave_as_pseudonyms() -> None:
    """With the switch no table holds the name; paths that do are told."""
    tables = read(ct(), ct(2, PatientName="A^B"), desensitize=True)
    assert "hash:ff37cfdaa95116a3" == tables.instances["PatientName"][0].as_py()
    assert [] == tables.notes["note"].to_pylist()
    other = ct(2, PatientName="Other^One", StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1")
    tables = read(other, ct(PatientName="Case^In"), desensitize=True)
    assert [("name_in_path", 1)] == [(one["note"], one["row"]) for one in tables.notes.to_pylist()]


def test_pydicom_warns_and_logs_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An odd value costs no instance where warnings are errors, and leaves no line in a log."""
    odd = file_of(ct(PatientName="Doe^Jane")).replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"
    )
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables = read(odd)
    assert ["Doe^Jane"] == tables.instances["PatientName"].to_pylist()
    assert [] == caplog.records


def test_the_settings_of_pydicom_are_given_back() -> None:
    """Whoever crawls from a program of their own finds pydicom as it was."""
    before = pydicom.config.settings.reading_validation_mode
    log = logging.getLogger("pydicom")
    with quiet_pydicom():
        assert pydicom.config.IGNORE == pydicom.config.settings.reading_validation_mode
        assert log.disabled
    assert before == pydicom.config.settings.reading_validation_mode
    assert not log.disabled


def test_pydicom_stays_quiet_while_anyone_reads() -> None:
    """A thread that ends first does not make pydicom talk of what another one reads."""
    log = logging.getLogger("pydicom")
    first, second = quiet_pydicom(), quiet_pydicom()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (True, pydicom.config.IGNORE) == (
        log.disabled,
        pydicom.config.settings.reading_validation_mode,
    )
    second.__exit__(None, None, None)
    assert (False, pydicom.config.WARN) == (
        log.disabled,
        pydicom.config.settings.reading_validation_mode,
    )
