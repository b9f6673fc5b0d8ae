"""Takes all UIDs of a data set; checks that they are valid and of one length."""

import pytest
from pydicom import Dataset

pytestmark = pytest.mark.filterwarnings("error")


def test_uids_are_valid_and_of_one_length(files: dict[str, Dataset]) -> None:
    """Every UID that stands for a thing of the data set is valid and has 44 characters."""
    for dataset in files.values():
        for element in dataset.iterall():
            if element.VR == "UI" and str(element.value).startswith("2.25."):
                assert element.value.is_valid
                assert 44 == len(element.value)
                assert int(element.value[5:]) < 2**128
