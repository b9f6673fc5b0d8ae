"""A deflated dataset is inflated as far as it is read, and no further than it may be."""

from __future__ import annotations

import zlib

import pytest
from header.windows import element, file_of, window_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from support import examples

from dcmdask.errors import HeaderError
from dcmdask.header.deflate import LARGEST, plain_window
from dcmdask.header.light import scan_header
from dcmdask.types import Kind

CT = "1.2.840.10008.5.1.4.1.1.2"


def deflate(data: bytes) -> bytes:
    """Give a raw deflate stream (PS3.5 A.5)."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeezer.compress(data) + squeezer.flush()


def meta(*, prefixed: bool = True, counted: bool = True, more: bytes = b"") -> bytes:
    """Give a meta group that says that what follows is deflated."""
    syntax = DeflatedExplicitVRLittleEndian.encode()
    group = element(0x00020002, "UI", CT.encode() + b"\0") + more
    group += element(0x00020010, "UI", syntax)
    if counted:
        group = element(0x00020000, "UL", len(group).to_bytes(4, "little")) + group
    return (b"\0" * 128 + b"DICM" if prefixed else b"") + group


BODY = element(0x00080016, "UI", CT.encode() + b"\0") + element(0x00080018, "UI", b"1.2.3\0")


@settings(max_examples=examples(50))
@given(
    st.one_of(
        st.binary(max_size=3000),
        st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 60_000)).map(
            lambda pair: pair[0] * pair[1]
        ),
    ),
    st.integers(600, 4000),
)
def test_all_that_was_deflated_can_be_read(body: bytes, head: int) -> None:
    """A window of the inflated dataset holds every byte of it, behind the same meta group."""
    window, _ = window_of(meta() + deflate(body), head=head)
    plain, syntax = plain_window(window)
    assert DeflatedExplicitVRLittleEndian == syntax
    plain.seek(len(meta()))
    assert body == plain.read(len(body))
    assert b"" == plain.read(1)


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("counted", [True, False])
def test_meta_group_without_prefix_or_length(prefixed: bool, counted: bool) -> None:
    """The dataset begins where the meta group ends, whatever its group length says."""
    window, _ = window_of(meta(prefixed=prefixed, counted=counted) + deflate(BODY))
    header = scan_header(window)
    assert "1.2.3" == header.values["SOPInstanceUID"]
    assert DeflatedExplicitVRLittleEndian == header.values["TransferSyntaxUID"]
    assert not header.cut


def test_meta_group_longer_than_the_first_window() -> None:
    """Private information in the meta group may outgrow the head."""
    private = element(0x00020001, "OB", b"\0" * 20_000)
    dataset = meta()[:132] + element(0x00020010, "UI", DeflatedExplicitVRLittleEndian.encode())
    window, _ = window_of(dataset + private + deflate(BODY))
    assert "1.2.3" == scan_header(window).values["SOPInstanceUID"]


def test_a_bomb_is_too_large() -> None:
    """An element of a gigabyte that deflates to nothing is given up at the bound."""
    claimed = element(0x00091010, "UN", b"", length=2**31 - 2)
    bomb = deflate(BODY + claimed + b"\0" * (LARGEST + 2**20))
    window, store = window_of(meta() + bomb)
    with pytest.raises(HeaderError) as caught:
        scan_header(window)
    assert Kind.TOO_LARGE == caught.value.kind
    assert store.fetched <= len(bomb)


def test_a_stream_that_inflates_to_nothing_ends_with_the_budget() -> None:
    """Empty blocks without end cost the bytes of a header, not of the file."""
    empty = b"\x00\x00\x00\xff\xff"
    window, store = window_of(meta() + empty * 400_000, budget=2**20)
    with pytest.raises(HeaderError) as caught:
        scan_header(window)
    assert Kind.TOO_LARGE == caught.value.kind
    assert store.fetched <= 2**20


def test_only_what_is_read_is_inflated() -> None:
    """Pixels behind the last light attribute stay deflated."""
    body = BODY + element(0x00280012, "US", b"\1\0") + element(0x7FE00010, "OW", b"", 2**25)
    noise = b"".join(number.to_bytes(4, "little") for number in range(2**18))
    window, store = window_of(meta() + deflate(body + noise))
    scan_header(window)
    assert store.fetched < 2 * 64 * 1024


def test_damage_in_the_stream_is_corrupt() -> None:
    """What zlib cannot inflate is a damaged file."""
    window, _ = window_of(meta() + b"\xff" * 100)
    with pytest.raises(HeaderError) as caught:
        scan_header(window)
    assert Kind.CORRUPT == caught.value.kind


def test_a_stream_cut_short_gives_what_it_holds() -> None:
    """The light attributes before the cut are read."""
    body = BODY + element(0x00090010, "LO", bytes(range(65, 91)) * 40)
    whole = meta() + deflate(body)
    window, _ = window_of(whole[:-8])
    header = scan_header(window)
    assert ("1.2.3", True) == (header.values["SOPInstanceUID"], header.cut)


def test_the_end_of_a_deflated_dataset_is_no_cut() -> None:
    """A dataset that inflates to more than its file's size does not look cut for that."""
    window, _ = window_of(meta() + deflate(BODY + element(0x00204000, "LT", b"x" * 5000)))
    assert not scan_header(window).cut


def test_other_files_stay_as_they_are() -> None:
    """A file of any other transfer syntax is read through its own window."""
    window, _ = window_of(file_of(Dataset(), ExplicitVRLittleEndian))
    assert (window, None) == plain_window(window)
