"""Takes slices with private elements; checks these and their creators."""

from pathlib import Path

import pytest
from synthetic.reading import by_modality, read_files

from dcmdask.synthetic import write_synthetic

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("elements", [1, 5, 40, 1000])
def test_vendor_elements_are_present(tmp_path: Path, elements: int) -> None:
    """CT and MR slices have as many private elements as asked for, under their creators."""
    write_synthetic(
        tmp_path, patients=1, slices=1, modalities=["CT", "PT", "MR"], vendor_elements=elements
    )
    groups = by_modality(read_files(tmp_path))
    for modality, expected in {"CT": elements, "MR": elements, "PT": 0}.items():
        private = [each for each in groups[modality][0] if each.tag.is_private]
        values = [each for each in private if not each.tag.is_private_creator]
        creators = {(each.tag.group, each.tag.elem) for each in private} - {
            (each.tag.group, each.tag.elem) for each in values
        }
        assert expected == len(values)
        assert {(each.tag.group, each.tag.elem >> 8) for each in values} == creators
        assert min(expected, 5) == len({each.tag.group for each in values})
        assert "UN" not in {each.VR for each in values}
