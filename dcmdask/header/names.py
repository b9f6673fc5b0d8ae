"""Take what was read of a partition; return it without patients' names, and note where one may be left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcmdask.header.notes import Notes, Remark
from dcmdask.table_types import DescribedTable, InstancesTable, NotedTable, SeenTable
from dcmdask.tables.arrow import Array
from dcmdask.tables.factorize import Codes
from dcmdask.tables.privacy.tables import (
    GROUPS,
    NAME,
    Names,
    free_text,
    pseudonyms,
    rows_with_named_paths,
)
from dcmdask.tables.schema import SEEN
from dcmdask.types import HeaderTables, Note


def without_names(tables: HeaderTables, beside: InstancesTable | None = None) -> HeaderTables:
    """Return what was read of a partition without the names in it.

    The names of other instances of a series and its study are hidden in an instance too, as far as
    they were read in this partition; ``seen`` says which ones those were.

    Parameters
    ----------
    tables : HeaderTables
        As it was read.
    beside : pyarrow.Table or None
        Instances that were read for the names in them only.
    """
    instances, described = tables.instances, tables.described
    names = Names(instances, beside)
    whose = described_instances(described, instances)
    hidden = names.hide(instances, free_text(instances.schema), names.row)
    of_series = names.hide(described, free_text(described.schema), names.row[whose])
    rows = tables.seen["row"].to_numpy().astype(np.int64)
    notes = Notes()
    for word, left in hidden.left:
        notes.add_files(instances, rows, Remark(Note.NAME_IN_TEXT, word), left)
    # With the folder: it begins with the name of the root, which may be the patient's.
    in_paths = rows_with_named_paths(names, instances["folder"], instances["file_name"])
    notes.add_files(instances, rows, Remark(Note.NAME_IN_PATH), in_paths)
    # What stands in the instance too has been said of it.
    for word, left in of_series.left:
        if word not in instances.column_names:
            remark = Remark(Note.NAME_IN_TEXT, word)
            notes.add_files(instances, rows, remark, whose[left], of_series=True)
    spot = instances.column_names.index(NAME)
    nameless = hidden.table.set_column(spot, instances.field(spot), pseudonyms(instances[NAME]))
    return replace(
        tables,
        instances=InstancesTable(nameless),
        described=DescribedTable(of_series.table),
        seen=SeenTable(pa.table([tables.seen["row"], names.others], schema=SEEN)),
        notes=NotedTable(pa.concat_tables([tables.notes, notes.table()])),
    )


def described_instances(described: DescribedTable, instances: InstancesTable) -> Codes:
    """Return the row of the instance that each description is of."""
    found = pc.index_in(_identity(described), value_set=_identity(instances))
    rows: Codes = np.asarray(found).astype(np.int64)
    return rows


def _identity(table: InstancesTable | DescribedTable) -> Array:
    # Members of an archive may share a URL. Where they share these UIDs too, each knows the names of
    # the other.
    columns = (pc.fill_null(table[name], "") for name in ("url", *GROUPS))
    joined: Array = pc.binary_join_element_wise(*columns, "\n").combine_chunks()
    return joined
