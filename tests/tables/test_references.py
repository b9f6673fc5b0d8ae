"""References are resolved over the whole crawl, every candidate a row, whatever the order."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from header.windows import file_of, window_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)
from support import examples

from dcmdask.header.reader import read_headers
from dcmdask.tables.index import build_index, with_references
from dcmdask.tables.references import (
    LISTED,
    NUMBERED,
    TARGET_COLUMNS,
    Resolver,
    count_found,
    in_order,
    listed_instances,
    of_representatives,
    published,
    referred_series,
    without_lists,
)
from dcmdask.tables.schema import NAMED, REFERENCES, table_of
from dcmdask.tables.series import merge_series, with_whole_series

SERIES = pa.schema(
    [
        (name, pa.string())
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "FrameOfReferenceUID")
    ]
)
TARGETS = pa.schema([(name, pa.string()) for name in TARGET_COLUMNS])


# Tables in, tables out


def name(
    uid: str,
    *instances: str,
    level: str = "instance",
    source: tuple[str, str, str, str] = ("s.1", "S", "SEG", "study"),
    **values: Any,
) -> dict[str, Any]:
    """Give a reference as an object names it; its source is (SOP, series, modality, study)."""
    sop, series, modality, study = source
    if level == "instance":
        instances = instances or (uid,)
    return {
        "source_url": f"file:///{sop}",
        "of_series": False,
        "SourceSOPInstanceUID": sop,
        "SourceStudyInstanceUID": study,
        "SourceSeriesInstanceUID": series,
        "SourceModality": modality,
        "SourceSubSeries": 1,
        "role": "image" if level != "frame_of_reference" else level,
        "attribute_path": "Sequence[0].Attribute",
        "target_level": level,
        "target_uid": uid,
        "instances": list(instances),
        "prefer": "CT,MR,PT" if level == "frame_of_reference" else "",
        **values,
    }


def held(
    uid: str, modality: str | None = "CT", study: str = "study", frame: str | None = None
) -> dict[str, Any]:
    """Give a series of the crawl."""
    values = (study, uid, modality, frame)
    return dict(zip(SERIES.names, values, strict=True))


def found(*instances: tuple[str, str | None, str | None]) -> pa.Table:
    """Give instances of the crawl: SOP, series, modality."""
    return table_of([dict(zip(TARGETS.names, row, strict=True)) for row in instances], TARGETS)


def resolve(
    named: Listed[dict[str, Any]], targets: pa.Table, series: Listed[dict[str, Any]]
) -> pa.Table:
    """Resolve rows."""
    return resolve_tables(table_of(named, NAMED), targets, table_of(series, SERIES))


def numbered(named: pa.Table) -> pa.Table:
    """Give references without their lists."""
    return pa.Table.from_batches(without_lists(named.to_batches()), NUMBERED)


def resolve_tables(
    named: pa.Table, targets: pa.Table, series: pa.Table, urls: pa.Array | None = None
) -> pa.Table:
    """Resolve references all at once; those of representatives, where their URLs are given."""
    rows = numbered(named)
    if urls is not None:
        rows = of_representatives(rows, urls)
    listed = pa.Table.from_batches(listed_instances(named.to_batches()), LISTED)
    counted = count_found(listed, targets)
    return Resolver(series, rows, counted).resolve(rows, counted)


def brief(table: pa.Table) -> list[tuple[Any, ...]]:
    """Give what was named, what it is, and how that was found."""
    columns = ("target_uid", "TargetSeriesInstanceUID", "TargetModality", "resolution")
    return sorted((tuple(row[column] for column in columns) for row in table.to_pylist()), key=str)


def counts(table: pa.Table) -> list[tuple[int, int]]:
    """Give instances named and instances found."""
    return [(row["instance_total"], row["instance_found"]) for row in table.to_pylist()]


def test_a_named_series_that_is_held() -> None:
    """A series of the crawl is the target, with how many of its instances are there."""
    table = resolve(
        [name("A", "a.1", "a.2", "a.3", level="series")],
        found(("a.1", "A", "CT"), ("a.3", "A", "CT"), ("a.3", "A", "CT")),
        [held("A")],
    )
    assert [("A", "A", "CT", "series_uid")] == brief(table)
    assert [(3, 2)] == counts(table)


def test_a_named_series_whose_instances_are_not_held() -> None:
    """The series counts although none of the instances it lists is there."""
    table = resolve([name("A", "a.1", level="series")], found(), [held("A")])
    assert [("A", "A", "CT", "series_uid")] == brief(table)
    assert [(1, 0)] == counts(table)


def test_a_named_series_whose_instances_lie_in_another() -> None:
    """Where the series is not held, its instances lead to where they are, each a row."""
    table = resolve(
        [name("X", "a.1", "b.1", "b.2", level="series")],
        found(("a.1", "A", "CT"), ("b.1", "B", "MR"), ("b.2", "B", "MR")),
        [held("A"), held("B", "MR")],
    )
    assert [("X", "A", "CT", "sop_uid"), ("X", "B", "MR", "sop_uid")] == brief(table)
    assert [(3, 1), (3, 2)] == counts(table)


def test_an_instance_is_looked_up_over_the_whole_crawl() -> None:
    """An instance leads to its series, also one of another study."""
    table = resolve([name("a.1")], found(("a.1", "A", "MR")), [held("A", "MR", study="other")])
    assert [("a.1", "A", "MR", "sop_uid")] == brief(table)


def test_an_instance_in_two_series_is_two_rows() -> None:
    """Of two candidates none is picked."""
    table = resolve([name("a.1")], found(("a.1", "A", "CT"), ("a.1", "B", "CT")), [])
    assert [("a.1", "A", "CT", "sop_uid"), ("a.1", "B", "CT", "sop_uid")] == brief(table)


def test_an_instance_without_a_series_is_no_target() -> None:
    """An instance that belongs to no series leaves the reference unresolved."""
    table = resolve([name("a.1")], found(("a.1", None, "CT")), [])
    assert [("a.1", None, None, "unresolved")] == brief(table)


def test_a_series_uid_where_an_instance_belongs() -> None:
    """A UID is tested against instances, then against series, as some collections need."""
    dose = ("d.1", "D", "RTDOSE", "study")
    table = resolve([name("A", source=dose)], found(), [held("A")])
    assert [("A", "A", "CT", "series_uid")] == brief(table)
    assert ["series"] == table["target_level"].to_pylist()


def test_an_instance_outranks_a_series_of_the_same_uid() -> None:
    """A UID that is an instance of the crawl is not taken for a series."""
    table = resolve([name("A")], found(("A", "B", "MR")), [held("A"), held("B", "MR")])
    assert [("A", "B", "MR", "sop_uid")] == brief(table)


@pytest.mark.parametrize("level", ["series", "instance"])
def test_a_target_outside_the_crawl_stays_a_row(level: str) -> None:
    """What is not held is unresolved, with its UID."""
    table = resolve([name("X", "x.1", level=level)], found(("a.1", "A", "CT")), [held("A")])
    assert [("X", None, None, "unresolved")] == brief(table)
    assert [(1, 0)] == counts(table)


def shown_of(table: pa.Table) -> dict[Any, list[tuple[str, str]]]:
    """Give what the index shows of each series that refers to others."""
    return in_order(referred_series(table))


# Series that share a UID


def test_an_image_and_a_structure_set_of_one_series_uid() -> None:
    """The images that are listed tell which of two kinds is meant."""
    source = ("r.1", "A", "RTSTRUCT", "study")
    table = resolve(
        [name("A", "a.1", level="series", source=source)],
        found(("a.1", "A", "CT")),
        [held("A"), held("A", "RTSTRUCT")],
    )
    assert [("A", "A", "CT", "series_uid")] == brief(table)
    assert {("study", "A", "RTSTRUCT", 1): [("A", "CT")]} == shown_of(table)


def test_of_kinds_that_share_a_uid_the_source_itself_is_not_meant() -> None:
    """Without a listed instance, the kinds beside the source's own are all candidates."""
    source = ("r.1", "A", "RTSTRUCT", "study")
    series = [held("A"), held("A", "MR"), held("A", "RTSTRUCT")]
    table = resolve([name("A", level="series", source=source)], found(), series)
    assert [("A", "A", "CT", "series_uid"), ("A", "A", "MR", "series_uid")] == brief(table)


def test_a_frame_shared_with_an_image_of_the_same_series_uid() -> None:
    """A structure set that shares series UID and frame with a CT is related to it."""
    source = ("r.1", "A", "RTSTRUCT", "study")
    rows = [name("F", level="frame_of_reference", source=source)]
    table = resolve(rows, found(), [held("A", frame="F"), held("A", "RTSTRUCT", frame="F")])
    assert [("F", "A", "CT", "frame_of_reference")] == brief(table)


# Chains


def chain(*, plan_names_set: bool = True, set_names_image: bool = True) -> list[dict[str, Any]]:
    """Give a dose that names a plan that names a structure set that names a CT."""
    dose = ("d.1", "D", "RTDOSE", "study")
    plan = ("p.1", "P", "RTPLAN", "study")
    structures = ("r.1", "R", "RTSTRUCT", "study")
    rows = [name("p.1", source=dose, role="plan", attribute_path="ToPlan")]
    if plan_names_set:
        rows.append(name("r.1", source=plan, role="structure_set", attribute_path="ToSet"))
    if set_names_image:
        rows.append(name("A", "a.1", level="series", source=structures, attribute_path="ToImage"))
    return rows


CHAIN = found(("p.1", "P", "RTPLAN"), ("r.1", "R", "RTSTRUCT"), ("a.1", "A", "CT"))
CHAIN_SERIES = [
    held("A", frame="F"),
    held("P", "RTPLAN"),
    held("R", "RTSTRUCT"),
    held("D", "RTDOSE", frame="F"),
]


def test_each_step_of_a_chain_is_an_edge_of_its_own() -> None:
    """A dose reaches the structure set of its plan, and the images of that; so does the plan."""
    rows = [
        (
            row["SourceModality"],
            row["role"],
            row["TargetModality"],
            row["resolution"],
            row["attribute_path"],
        )
        for row in resolve(chain(), CHAIN, CHAIN_SERIES).to_pylist()
    ]
    expected = [
        ("RTDOSE", "image", "CT", "via_structure_set", "ToPlan > ToSet > ToImage"),
        ("RTDOSE", "plan", "RTPLAN", "sop_uid", "ToPlan"),
        ("RTDOSE", "structure_set", "RTSTRUCT", "via_plan", "ToPlan > ToSet"),
        ("RTPLAN", "image", "CT", "via_structure_set", "ToSet > ToImage"),
        ("RTPLAN", "structure_set", "RTSTRUCT", "sop_uid", "ToSet"),
        ("RTSTRUCT", "image", "CT", "series_uid", "ToImage"),
    ]
    assert expected == sorted(rows)


def test_the_index_shows_one_step_of_a_chain() -> None:
    """Dose to plan, plan to structure set, structure set to image."""
    expected = {
        ("study", "D", "RTDOSE", 1): [("P", "RTPLAN")],
        ("study", "P", "RTPLAN", 1): [("R", "RTSTRUCT")],
        ("study", "R", "RTSTRUCT", 1): [("A", "CT")],
    }
    assert expected == shown_of(resolve(chain(), CHAIN, CHAIN_SERIES))


def test_a_dose_that_names_plan_and_structure_set_shows_both() -> None:
    """What is named is shown; what is named is not derived once more."""
    dose = ("d.1", "D", "RTDOSE", "study")
    rows = [*chain(), name("r.1", source=dose, role="structure_set")]
    table = resolve(rows, CHAIN, CHAIN_SERIES)
    shown = shown_of(table)[("study", "D", "RTDOSE", 1)]
    assert [("R", "RTSTRUCT"), ("P", "RTPLAN")] == shown
    assert "via_plan" not in table["resolution"].to_pylist()


def test_a_dose_whose_plan_is_missing_is_inferred() -> None:
    """Without its plan a dose is related to the images that share its frame."""
    dose = ("d.1", "D", "RTDOSE", "study")
    rows = [
        name("p.1", source=dose, role="plan"),
        name("F", level="frame_of_reference", source=dose),
    ]
    table = resolve(rows, found(), [held("A", frame="F"), held("D", "RTDOSE", frame="F")])
    expected = [("F", "A", "CT", "frame_of_reference"), ("p.1", None, None, "unresolved")]
    assert expected == brief(table)
    assert {("study", "D", "RTDOSE", 1): [("A", "CT")]} == shown_of(table)


def test_a_chain_that_leads_to_an_image_needs_no_frame() -> None:
    """What is derived is not inferred as well."""
    dose = ("d.1", "D", "RTDOSE", "study")
    rows = [*chain(), name("F", level="frame_of_reference", source=dose)]
    assert "frame_of_reference" not in resolve(rows, CHAIN, CHAIN_SERIES)["resolution"].to_pylist()


def test_a_broken_chain_is_inferred_beside_what_is_named() -> None:
    """A dose whose plan leads no further keeps the plan, and hangs on the images of its frame."""
    dose = ("d.1", "D", "RTDOSE", "study")
    rows = [*chain(plan_names_set=False), name("F", level="frame_of_reference", source=dose)]
    table = resolve(rows, CHAIN, CHAIN_SERIES)
    resolutions = table["resolution"].to_pylist()
    assert ["frame_of_reference", "series_uid", "sop_uid"] == sorted(resolutions)
    assert [("P", "RTPLAN"), ("A", "CT")] == shown_of(table)[("study", "D", "RTDOSE", 1)]


# Frames of reference


def emission(study: str = "study") -> dict[str, Any]:
    """Give a PT series that names its frame."""
    source = ("e.1", "E", "PT", study)
    own = {"attribute_path": "FrameOfReferenceUID", "prefer": "CT>MR", "of_series": True}
    return name("F", level="frame_of_reference", source=source, **own)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([held("A", frame="F"), held("M", "MR", frame="F")], ["A"]),
        ([held("M", "MR", frame="F")], ["M"]),
        ([held("A", frame="F"), held("B", frame="F")], ["A", "B"]),
        ([held("A", frame="F", study="other"), held("B", frame="F")], ["B"]),
        ([held("A", frame="F", study="other"), held("M", "MR", frame="F")], ["M"]),
        ([held("A", frame="F", study="other")], ["A"]),
        ([held("A", frame="G")], []),
        ([held("A", frame=None)], []),
        ([held("R", "RTSTRUCT", frame="F")], []),
    ],
    ids=(
        "CT before MR",
        "MR where no CT",
        "both CTs",
        "same study",
        "MR of the same study before CT of another",
        "another study",
        "another frame",
        "no frame",
        "no image",
    ),
)
def test_emission_by_frame_of_reference(series: list[dict[str, Any]], expected: list[str]) -> None:
    """PT is related to the CT, else the MR, that shares its frame; its own study comes first."""
    own = held("E", "PT", frame="F")
    table = resolve([emission()], found(), [own, *series])
    resolved = table.filter(pc.equal(table["resolution"], "frame_of_reference"))
    assert expected == sorted(resolved["TargetSeriesInstanceUID"].to_pylist())
    assert len(expected) == table.num_rows


def test_emission_that_names_a_transmission() -> None:
    """A named CT needs no frame."""
    rows = [emission(), name("B", level="series", source=("e.1", "E", "PT", "study"))]
    table = resolve(rows, found(), [held("A", frame="F"), held("B", frame="F")])
    assert [("B", "B", "CT", "series_uid")] == brief(table)


def test_emission_derived_from_emission_keeps_its_frame() -> None:
    """A reference to another PT does not hide the CT among the references."""
    rows = [emission(), name("E0", level="series", source=("e.1", "E", "PT", "study"))]
    table = resolve(rows, found(), [held("A", frame="F"), held("E0", "PT", frame="F")])
    assert ["frame_of_reference", "series_uid"] == sorted(table["resolution"].to_pylist())


def test_a_structure_set_by_frame_of_reference() -> None:
    """Where neither series nor images are held, the images that share the frame are meant."""
    source = ("r.1", "R", "RTSTRUCT", "study")
    where = "ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID"
    rows = [
        name("X", "x.1", level="series", source=source),
        name("F", level="frame_of_reference", source=source, attribute_path=where),
    ]
    table = resolve(rows, found(), [held("A", frame="F"), held("M", "MR", frame="F")])
    expected = [
        ("F", "A", "CT", "frame_of_reference"),
        ("F", "M", "MR", "frame_of_reference"),
        ("X", None, None, "unresolved"),
    ]
    assert expected == brief(table)
    shown = shown_of(table)
    expected_index = [("X", ""), ("M", "MR"), ("A", "CT")]
    assert {("study", "R", "RTSTRUCT", 1): expected_index} == shown


def test_a_named_frame_outside_the_crawl_stays_a_row() -> None:
    """A frame that a structure set names is unresolved; an object's own refers to nothing."""
    source = ("r.1", "R", "RTSTRUCT", "study")
    where = "ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID"
    named = name("F", level="frame_of_reference", source=source, attribute_path=where)
    own = name("G", level="frame_of_reference", attribute_path="FrameOfReferenceUID")
    table = resolve([named, own], found(), [held("A", frame="H")])
    assert [("F", None, None, "unresolved")] == brief(table)


# What the index shows


def test_several_targets_are_several_targets() -> None:
    """A segmentation of two series shows both, sorted, and a report all of its evidence."""
    rows = [name("B", level="series"), name("A", level="series")]
    table = resolve(rows, found(), [held("A", "MR"), held("B")])
    assert {("study", "S", "SEG", 1): [("A", "MR"), ("B", "CT")]} == shown_of(table)


def test_a_series_does_not_refer_to_itself() -> None:
    """Images that refer to others of their series show nothing for it."""
    source = ("a.1", "A", "CT", "study")
    table = resolve([name("a.2", source=source)], found(("a.2", "A", "CT")), [held("A")])
    assert {} == shown_of(table)


def test_each_object_of_a_series_shows_its_own_targets() -> None:
    """One structure set that names its images does not hide those another's frame leads to."""
    first, second = (("r.1", "R", "RTSTRUCT", "study"), ("r.2", "R", "RTSTRUCT", "study"))
    rows = [
        name("A", level="series", source=first),
        name("F", level="frame_of_reference", source=second),
    ]
    table = resolve(rows, found(), [held("A"), held("B", frame="F")])
    assert {("study", "R", "RTSTRUCT", 1): [("B", "CT"), ("A", "CT")]} == shown_of(table)


def test_a_plan_shows_its_structure_set_not_its_dose() -> None:
    """What a plan led to, or a plan it is related to, is shown only where it names nothing else."""
    plan = ("p.1", "P", "RTPLAN", "study")
    aside = [
        name("d.1", source=plan, role="dose"),
        name("p.2", source=plan, role="related_plan"),
    ]
    instances = found(("d.1", "D", "RTDOSE"), ("p.2", "Q", "RTPLAN"), ("r.1", "R", "RTSTRUCT"))
    both = [*aside, name("r.1", source=plan, role="structure_set")]
    expected = {("study", "P", "RTPLAN", 1): [("R", "RTSTRUCT")]}
    assert expected == shown_of(resolve(both, instances, []))
    expected = {("study", "P", "RTPLAN", 1): [("D", "RTDOSE"), ("Q", "RTPLAN")]}
    assert expected == shown_of(resolve(aside, instances, []))


def test_a_structure_set_shows_its_images_not_its_predecessor() -> None:
    """Images that share the frame say more of a structure set than the one it replaces."""
    source = ("r.1", "R", "RTSTRUCT", "study")
    rows = [
        name("r.0", source=source, role="predecessor"),
        name("F", level="frame_of_reference", source=source),
    ]
    table = resolve(rows, found(("r.0", "R0", "RTSTRUCT")), [held("A", frame="F")])
    assert {("study", "R", "RTSTRUCT", 1): [("A", "CT")]} == shown_of(table)


def test_a_series_outside_the_crawl_keeps_its_uid() -> None:
    """What is named as a series is shown, before all that is there; an instance has no series."""
    rows = [name("X", level="series"), name("A", level="series"), name("y.1")]
    table = resolve(rows, found(), [held("A")])
    assert {("study", "S", "SEG", 1): [("X", ""), ("A", "CT")]} == shown_of(table)


def test_the_preferred_target_comes_last() -> None:
    """An image before a PT, then where more of the listed instances lie, then the least UID."""
    source = ("r.1", "R", "RTSTRUCT", "study")

    def last(*named: dict[str, Any]) -> tuple[str, str]:
        instances = found(*((uid, "B", "CT") for uid in ("b.1", "b.2")), ("a.1", "A", "CT"))
        table = resolve(list(named), instances, [held("A"), held("B"), held("P", "PT")])
        return shown_of(table)[("study", "R", "RTSTRUCT", 1)][-1]

    first, second = (
        name("A", "a.1", level="series", source=source),
        name("B", "b.1", "b.2", level="series", source=source),
    )
    assert ("A", "CT") == last(first, name("P", level="series", source=source))
    assert ("B", "CT") == last(first, second)
    assert ("A", "CT") == last(*(name(uid, level="series", source=source) for uid in "AB"))


def test_a_plan_that_names_the_dose_is_no_way_to_an_image() -> None:
    """Dose and plan that name each other: the dose hangs on the image that it names itself."""
    dose, plan = (("d.1", "D", "RTDOSE", "study"), ("p.1", "P", "RTPLAN", "study"))
    rows = [
        name("p.1", source=dose, role="plan"),
        name("A", level="series", source=dose),
        name("d.1", source=plan, role="dose"),
    ]
    instances = found(("p.1", "P", "RTPLAN"), ("d.1", "D", "RTDOSE"))
    shown = shown_of(resolve(rows, instances, [held("A")]))
    assert [("P", "RTPLAN"), ("A", "CT")] == shown[("study", "D", "RTDOSE", 1)]


def test_published_columns() -> None:
    """What only the index needs is not published."""
    table = published(resolve([name("A", level="series")], found(), [held("A")]))
    assert REFERENCES == table.schema


def test_nothing_names_nothing() -> None:
    """A crawl without references has an empty table of the declared schema."""
    table = resolve([], found(), [])
    assert (0, REFERENCES) == (table.num_rows, published(table).schema)
    assert {} == shown_of(table)


def test_an_instance_is_found_once_in_each_series() -> None:
    """Copies count once; an instance in two series counts in both; one not listed in none."""
    named = table_of([name("A", "a.1", "a.2", level="series"), name("a.1")], NAMED)
    listed = pa.Table.from_batches(listed_instances(named.to_batches()), LISTED)
    instances = found(
        ("a.1", "A", "CT"),
        ("a.1", "A", "CT"),
        ("a.2", "A", "CT"),
        ("a.1", "B", None),
        ("a.3", "A", "CT"),
    )
    names = ("row", "SeriesInstanceUID", "Modality", "count")
    rows = count_found(listed, instances).select(names).to_pylist()
    expected = {(0, "A", "CT", 2), (0, "B", None, 1), (1, "A", "CT", 1), (1, "B", None, 1)}
    assert expected == {tuple(row.values()) for row in rows}
    assert len(expected) == len(rows)


def test_references_of_a_series_are_those_of_its_representative() -> None:
    """What partitions noted of other instances is dropped; an object's own references stay."""
    rows = [
        name("x", of_series=True, source_url="file:///least"),
        name("y", of_series=True, source_url="file:///other"),
        name("z", of_series=False, source_url="file:///other"),
    ]
    kept = of_representatives(table_of(rows, NAMED), pa.array(["file:///least"]))
    assert ["x", "z"] == kept["target_uid"].to_pylist()


@pytest.mark.parametrize("copies", [1, 2])
def test_the_same_object_at_two_places_is_one_reference(copies: int) -> None:
    """A duplicate adds no row."""
    table = resolve(
        [name("a.1")] * copies, found(*[("a.1", "A", "CT")] * copies), [held("A")] * copies
    )
    assert [("a.1", "A", "CT", "sop_uid")] == brief(table)
    assert [(1, 1)] == counts(table)


UID = st.sampled_from("ABCD")
SOP = st.sampled_from(("a.1", "a.2", "b.1", "r.1", "p.1"))
KIND = st.sampled_from(("CT", "MR", "PT", "RTSTRUCT", None))
ROWS = st.lists(
    st.builds(
        name,
        st.one_of(UID, SOP, st.just("F")),
        SOP,
        SOP,
        level=st.sampled_from(("series", "instance", "frame_of_reference")),
        source=st.tuples(SOP, UID, KIND, st.sampled_from(("study", "other", None))),
        role=st.sampled_from(("plan", "structure_set", "image")),
        prefer=st.sampled_from(("CT>MR", "CT,MR,PT")),
        attribute_path=st.sampled_from(("Own", "Sequence[0].Attribute")),
    ),
    max_size=8,
)
HELD = st.lists(
    st.builds(
        held, UID, KIND, st.sampled_from(("study", "other")), st.sampled_from(("F", "G", None))
    ),
    max_size=6,
)
FOUND = st.lists(st.tuples(SOP, st.one_of(UID, st.none()), KIND), max_size=8)


@settings(max_examples=examples(120))
@given(ROWS, FOUND, HELD, st.data())
def test_no_result_depends_on_order(
    rows: list[dict[str, Any]],
    instances: list[tuple[Any, ...]],
    series: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    """The same references, instances and series in any order give the same table and index."""
    table = resolve(rows, found(*instances), series)
    shuffled = resolve(
        data.draw(st.permutations(rows)),
        found(*data.draw(st.permutations(instances))),
        data.draw(st.permutations(series)),
    )
    assert table.equals(shuffled)
    assert shown_of(table) == shown_of(shuffled)


@settings(max_examples=examples(120))
@given(ROWS, FOUND, HELD)
def test_every_reference_has_an_outcome(
    rows: list[dict[str, Any]], instances: list[tuple[Any, ...]], series: list[dict[str, Any]]
) -> None:
    """What names a series or instance is a row; a row is resolved or has no target."""
    table = resolve(rows, found(*instances), series).to_pylist()
    outcomes = {(row["SourceSOPInstanceUID"], row["target_uid"]) for row in table}
    for row in rows:
        if row["target_level"] != "frame_of_reference":
            assert (row["SourceSOPInstanceUID"], row["target_uid"]) in outcomes
    for row in table:
        assert ("unresolved" == row["resolution"]) == (row["TargetSeriesInstanceUID"] is None)
        assert row["instance_found"] <= row["instance_total"]


# Objects in, tables out


def item(**values: Any) -> Dataset:
    """Give a dataset of some values; a dataset or a list of them becomes a sequence."""
    dataset = Dataset()
    for word, value in values.items():
        several = [value] if isinstance(value, Dataset) else value
        nested = isinstance(several, list) and several and isinstance(several[0], Dataset)
        setattr(dataset, word, Sequence(several) if nested else value)
    return dataset


def thing(sop_class: str, modality: str, series: str, sop: str, **values: Any) -> Dataset:
    """Give an object of the study 9."""
    identity = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": sop,
        "StudyInstanceUID": "9",
        "SeriesInstanceUID": series,
        "Modality": modality,
        "PatientID": "P1",
    }
    return item(**{**identity, **values})


def image(sop_class: str, modality: str, series: str, sop: str, **values: Any) -> Dataset:
    """Give an image of the study 9 in the frame 7."""
    pixels = {"Rows": 4, "Columns": 4, "FrameOfReferenceUID": "7"}
    return thing(sop_class, modality, series, sop, **{**pixels, **values})


def sops(*uids: str) -> list[Dataset]:
    """Give items that name instances."""
    return [item(ReferencedSOPInstanceUID=uid) for uid in uids]


def crawl(*objects: Dataset, undefined: bool = False) -> tuple[pa.Table, dict[str, list[str]]]:
    """Give the references of some objects, and of each series what the index shows."""
    windows = [
        window_of(file_of(dataset, undefined=undefined), name=f"{number}.dcm")[0]
        for number, dataset in enumerate(objects)
    ]
    tables = read_headers(windows, desensitize=False)
    merged = merge_series(tables.instances, tables.described)
    merged = with_whole_series(merged, lambda: iter([tables.instances]))
    urls = merged["representative_url"].combine_chunks()
    targets = tables.instances.select(TARGET_COLUMNS)
    references = resolve_tables(tables.references, targets, merged, urls)
    index = build_index(with_references(merged, shown_of(references)), {"case": 1})
    shown = {
        row["SeriesInstanceUID"]: row["ReferencedSeriesUID"]
        for row in index.to_pylist()
        if row["ReferencedSeriesUID"]
    }
    for row in index.to_pylist():
        lists = (row["ReferencedSeriesUID"], row["ReferencedModality"])
        assert len(lists[0] or []) == len(lists[1] or [])
    return references, shown


CT = image(CTImageStorage, "CT", "1.1", "1.1.1")
MR = image(MRImageStorage, "MR", "1.2", "1.2.1")


@pytest.mark.parametrize("undefined", [False, True])
def test_radiotherapy_chain_of_objects(undefined: bool) -> None:
    """Dose, plan, structure set and image, read from files, show the chain."""
    listed = item(SeriesInstanceUID="1.1", ContourImageSequence=sops("1.1.1", "1.1.2"))
    frame = item(
        FrameOfReferenceUID="7", RTReferencedStudySequence=item(RTReferencedSeriesSequence=listed)
    )
    structures = thing(
        RTStructureSetStorage,
        "RTSTRUCT",
        "1.3",
        "1.3.1",
        ReferencedFrameOfReferenceSequence=frame,
    )
    plan = thing(
        RTPlanStorage,
        "RTPLAN",
        "1.4",
        "1.4.1",
        BeamSequence=[item(BeamNumber=1), item(BeamNumber=2)],
        ReferencedStructureSetSequence=sops("1.3.1"),
        ReferencedDoseSequence=sops("1.5.1"),
    )
    dose = image(RTDoseStorage, "RTDOSE", "1.5", "1.5.1", ReferencedRTPlanSequence=sops("1.4.1"))
    references, shown = crawl(CT, structures, plan, dose, undefined=undefined)
    assert {"1.3": ["1.1"], "1.4": ["1.3"], "1.5": ["1.4"]} == shown
    found_ = {
        (row["SourceModality"], row["role"]): row["resolution"] for row in references.to_pylist()
    }
    expected = {
        ("RTSTRUCT", "image"): "series_uid",
        ("RTPLAN", "structure_set"): "sop_uid",
        ("RTPLAN", "image"): "via_structure_set",
        ("RTPLAN", "dose"): "sop_uid",
        ("RTDOSE", "plan"): "sop_uid",
        ("RTDOSE", "structure_set"): "via_plan",
        ("RTDOSE", "image"): "via_structure_set",
    }
    assert expected == found_


def test_structure_set_by_contours_of_an_object() -> None:
    """Only the contours name images: these are found, and those that are not stay rows."""
    contours = [item(ContourImageSequence=sops(uid)) for uid in ("1.1.1", "1.1.2")]
    structures = thing(
        RTStructureSetStorage,
        "RTSTRUCT",
        "1.3",
        "1.3.1",
        ROIContourSequence=item(ContourSequence=contours),
    )
    references, shown = crawl(CT, structures)
    assert {"1.3": ["1.1"]} == shown
    assert ["sop_uid", "unresolved"] == references["resolution"].to_pylist()


def test_dose_that_names_a_series_as_an_instance() -> None:
    """A series UID in ReferencedSOPInstanceUID is found as a series."""
    dose = image(RTDoseStorage, "RTDOSE", "1.5", "1.5.1", ReferencedImageSequence=sops("1.1"))
    references, shown = crawl(CT, dose)
    assert {"1.5": ["1.1"]} == shown
    assert [("series", "series_uid")] == [
        (row["target_level"], row["resolution"]) for row in references.to_pylist()
    ]


def test_segmentation_of_two_series_of_objects() -> None:
    """Both series stand in the index, their modalities beside them."""
    listed = [
        item(SeriesInstanceUID="1.2", ReferencedInstanceSequence=sops("1.2.1")),
        item(SeriesInstanceUID="1.1", ReferencedInstanceSequence=sops("1.1.1")),
    ]
    segmentation = image(
        SegmentationStorage, "SEG", "1.6", "1.6.1", ReferencedSeriesSequence=listed
    )
    _, shown = crawl(MR, CT, segmentation)
    assert {"1.6": ["1.2", "1.1"]} == shown


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("per_frame", [False, True])
def test_segmentation_by_derivation_of_an_object(undefined: bool, per_frame: bool) -> None:
    """Where the derivation alone names images, shared or by frame, it serves."""
    groups = [
        item(DerivationImageSequence=item(SourceImageSequence=sops(uid)))
        for uid in ("1.1.1", "1.2.1")
    ]
    values = {"PerFrameFunctionalGroupsSequence": groups}
    if not per_frame:
        both = item(DerivationImageSequence=item(SourceImageSequence=sops("1.1.1", "1.2.1")))
        values = {"SharedFunctionalGroupsSequence": [both]}
    segmentation = image(SegmentationStorage, "SEG", "1.6", "1.6.1", **values)
    _, shown = crawl(MR, CT, segmentation, undefined=undefined)
    assert {"1.6": ["1.2", "1.1"]} == shown


def test_segmentation_by_frame_of_reference_of_an_object() -> None:
    """A segmentation that names nothing is related to all images of its frame."""
    _, shown = crawl(MR, CT, image(SegmentationStorage, "SEG", "1.6", "1.6.1"))
    assert {"1.6": ["1.2", "1.1"]} == shown


def evidence(series: str, sop: str) -> list[Dataset]:
    """Give a list of evidence of one instance."""
    entry = item(SeriesInstanceUID=series, ReferencedSOPSequence=sops(sop))
    return [item(StudyInstanceUID="9", ReferencedSeriesSequence=entry)]


def test_report_of_objects() -> None:
    """A report shows its evidence and other evidence, not its predecessor, nor its content."""
    content = item(ContentSequence=item(ReferencedSOPSequence=sops("1.7.1")))
    report = thing(
        ComprehensiveSRStorage,
        "SR",
        "1.8",
        "1.8.1",
        CurrentRequestedProcedureEvidenceSequence=evidence("1.1", "1.1.1"),
        PertinentOtherEvidenceSequence=evidence("1.2", "1.2.1"),
        PredecessorDocumentsSequence=evidence("1.7", "1.7.1"),
        ContentSequence=content,
    )
    before = thing(ComprehensiveSRStorage, "SR", "1.7", "1.7.1", ContentSequence=Dataset())
    references, shown = crawl(CT, MR, before, report)
    assert {"1.8": ["1.2", "1.1"]} == shown
    assert {"evidence", "other_evidence", "predecessor"} == set(references["role"].to_pylist())


def test_report_by_content_of_an_object() -> None:
    """A report without evidence shows the images of its content."""
    content = item(ContentSequence=item(ReferencedSOPSequence=sops("1.2.1")))
    report = thing(ComprehensiveSRStorage, "SR", "1.8", "1.8.1", ContentSequence=content)
    _, shown = crawl(CT, MR, report)
    assert {"1.8": ["1.2"]} == shown


def test_emission_of_objects() -> None:
    """PT shows the CT of its frame; without one the MR."""
    emission_ = image(PositronEmissionTomographyImageStorage, "PT", "1.9", "1.9.1")
    assert {"1.9": ["1.1"]} == crawl(MR, CT, emission_)[1]
    assert {"1.9": ["1.2"]} == crawl(MR, emission_)[1]


def test_related_series_of_an_object() -> None:
    """A related series is shown."""
    related = image(
        MRImageStorage, "MR", "1.10", "1.10.1", RelatedSeriesSequence=item(SeriesInstanceUID="1.1")
    )
    assert {"1.10": ["1.1"]} == crawl(CT, related)[1]


def test_an_image_of_a_named_instance_in_another_study() -> None:
    """Targets lie in other studies, too."""
    elsewhere = image(CTImageStorage, "CT", "1.11", "1.11.1", StudyInstanceUID="8")
    other = item(
        StudyInstanceUID="8",
        ReferencedSeriesSequence=item(
            SeriesInstanceUID="1.11", ReferencedInstanceSequence=sops("1.11.1")
        ),
    )
    segmentation = image(
        SegmentationStorage,
        "SEG",
        "1.6",
        "1.6.1",
        StudiesContainingOtherReferencedInstancesSequence=other,
    )
    assert {"1.6": ["1.11"]} == crawl(CT, elsewhere, segmentation)[1]


def test_image_and_structure_set_of_one_series_uid_of_objects() -> None:
    """Two kinds of one series UID are two series; the one refers to the other."""
    listed = item(SeriesInstanceUID="1.1", ContourImageSequence=sops("1.1.1"))
    frame = item(RTReferencedStudySequence=item(RTReferencedSeriesSequence=listed))
    structures = thing(
        RTStructureSetStorage, "RTSTRUCT", "1.1", "1.3.1", ReferencedFrameOfReferenceSequence=frame
    )
    references, shown = crawl(CT, structures)
    assert {"1.1": ["1.1"]} == shown
    assert [("RTSTRUCT", "CT")] == [
        (row["SourceModality"], row["TargetModality"]) for row in references.to_pylist()
    ]
