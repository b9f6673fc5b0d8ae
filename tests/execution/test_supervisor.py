"""The process that reads: ended when it hangs, replaced when it dies, gone when nobody needs it."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from execution.readers import HEADER, HOOK, LINUX, POSIX, children, counts, working
from source.making import instance, noise, tar_of, zip_of
from support import crawl

from dcmdask.config import ReadOptions, RunOptions
from dcmdask.errors import ClusterError, DcmdaskError, OutputError, ReaderLostError, SourceError
from dcmdask.execution import supervisor
from dcmdask.execution.pipeline import run
from dcmdask.execution.supervisor import ReaderProcess
from dcmdask.state.parts import Parts
from dcmdask.types import Partition, PartitionSummary, Progress


def _words(failures: dict[str, tuple[str, str]]) -> Counter[str]:
    """Count failures by what is said of them."""
    return Counter(words for _, words in failures.values())


# -- what hangs ------------------------------------------------------------------------------------


@LINUX
def test_a_file_that_hangs_is_ended_and_left_out(tmp_path: Path) -> None:
    """The file at which reading hung is a row; the rest of its task is read, and no child is left."""
    before = children()
    with working(tmp_path, "a.dcm", "b hangs.dcm", "c.dcm") as work:
        begun = time.monotonic()
        summary = work.read(timeout=1)
        assert time.monotonic() - begun < 15
        assert (3, 2, 1) == counts(summary)
        words = "the task took longer than 1 s while reading it"
        assert {"b hangs.dcm": ("timeout", words)} == work.failures(summary)
        assert 1 == len(children() - before)
    assert set() == children() - before


@LINUX
def test_a_file_that_stands_still_is_ended_before_its_task(tmp_path: Path) -> None:
    """Each file that hangs costs the time of one read, not of a task, and all others are read."""
    before = children()
    names = ("0 hangs.dcm", "1.dcm", "2 hangs.dcm", "3 hangs.dcm", "4.dcm")
    with working(tmp_path, *names) as work:
        begun = time.monotonic()
        summary = work.read(timeout=60, read_timeout=0.5)
        assert time.monotonic() - begun < 30
        assert (5, 2, 3) == counts(summary)
        words = ("timeout", "no progress for 0.5 s while reading it")
        hanging = [name for name in names if "hangs" in name]
        assert dict.fromkeys(hanging, words) == work.failures(summary)
    assert set() == children() - before


@LINUX
@pytest.mark.parametrize("beside", ["c hangs.dcm", "c dies.dcm"])
def test_a_file_that_is_read_beside_a_partition_costs_none_of_its_own(
    tmp_path: Path, beside: str
) -> None:
    """What is read for a name in it may hang or kill: the rows of the partition are not to blame."""
    with working(tmp_path, "a.dcm", "b.dcm", beside) as work:
        (whole,) = work.listing.partitions
        work.listing.partitions[0] = replace(whole, stop=2, beside=(2, 3))
        summary = work.read(read_timeout=0.5)
        assert (2, 2, 0) == counts(summary)


@LINUX
def test_a_disk_that_is_gone_comes_to_an_end(tmp_path: Path) -> None:
    """After some files that hang in a row the rest of their partition is not waited for."""
    names = [f"{number:02} hangs.dcm" for number in range(20)]
    with working(tmp_path, *names, "20.dcm", "21.dcm", partition_size=10) as work:
        summary = work.read(0, read_timeout=1)
        assert (10, 0, 10) == counts(summary)
        patient, less = (f"no progress for {time} s while reading it" for time in ("1", "0.1"))
        untried = "not waited for: too many files before it hung"
        assert {patient: 4, less: 4, untried: 2} == _words(work.failures(summary))
        # The next partition is not waited for as long; and what is there again is read.
        again = work.read(1, read_timeout=1)
        assert {less: 4, untried: 6} == _words(work.failures(again))
        assert (2, 2, 0) == counts(work.read(2))


def test_a_task_that_hangs_at_no_file_ends_the_run(tmp_path: Path) -> None:
    """Where no file is being read, it is the output that hangs, and no file is blamed."""

    class Reader(ReaderProcess):
        program = (
            "import time; from dcmdask.execution import worker\n"
            f"worker.process_partition = lambda *_: time.sleep(600)\n{ReaderProcess.program}"
        )

    with working(tmp_path, "a", "b", reader=Reader()) as work:
        begun = time.monotonic()
        with pytest.raises(OutputError, match="a task stood still there"):
            work.read(timeout=0.3)
        assert time.monotonic() - begun < 5


def test_a_time_without_end_is_a_time(tmp_path: Path) -> None:
    """Seconds beyond what the system can wait for are as good as no bound."""
    with working(tmp_path, "a") as work:
        assert (1, 1, 0) == counts(work.read(timeout=float("inf")))
        assert (1, 1, 0) == counts(work.read(timeout=1e300))


@POSIX
@pytest.mark.timeout(30)
def test_a_child_of_the_child_does_not_hold_up_the_run(tmp_path: Path) -> None:
    """A pipe that somebody else keeps open, as a process stuck in the kernel does, is not closed."""

    class Reader(ReaderProcess):
        program = (
            "import subprocess, sys; from dcmdask.execution import worker\n"
            "sleeper = [sys.executable, '-c', 'import time; time.sleep(9)']\n"
            "worker.process_partition = lambda *_: subprocess.run(sleeper)\n"
            f"{ReaderProcess.program}"
        )

    with working(tmp_path, "a", reader=Reader()) as work:
        begun = time.monotonic()
        with pytest.raises(OutputError):
            work.read(timeout=0.3)
        assert time.monotonic() - begun < 5


# Each read of an archive takes its time, as over a slow network.
_SLOWLY = """
import time
from dcmdask.source.archives import metered_file
read = metered_file.Counted.read
def slowly(self, count=-1):
    time.sleep(0.1)
    return read(self, count)
metered_file.Counted.read = slowly
"""


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "nested"])
def test_an_archive_that_goes_on_may_take_longer_than_a_file_may_hang(
    tmp_path: Path, kind: str
) -> None:
    """It is one row, and what is read of it counts."""

    class Reader(ReaderProcess):
        program = f"{_SLOWLY}\n{ReaderProcess.program}"

    members = {f"{number}.dcm": noise(number) for number in range(16)}
    archives = {"zip": zip_of(members), "tar": tar_of(members), "nested": zip_of({"in.zip": b""})}
    archives["nested"] = tar_of({"in.zip": archives["zip"], "b.dcm": instance(99)})
    archives["tar.gz"] = tar_of(members, "w:gz")
    with working(tmp_path, "a.dcm", reader=Reader()) as work:
        (tmp_path / "in" / "a.dcm").write_bytes(archives[kind])
        begun = time.monotonic()
        summary = work.read(read_timeout=0.7)
        assert time.monotonic() - begun > 1.4
        assert (1, 16 + (kind == "nested"), 0) == counts(summary)


@LINUX
def test_an_archive_that_stands_still_costs_itself(tmp_path: Path) -> None:
    """However much of it was read before, it is one row; the files beside it are read."""

    class Reader(ReaderProcess):
        program = (
            "import time; from dcmdask.source.archives import metered_file\nreads = []\n"
            "real = metered_file.Counted.read\n"
            "def read(self, count=-1):\n"
            "    reads.append(1)\n"
            "    time.sleep(600 if len(reads) > 20 else 0)\n"
            "    return real(self, count)\n"
            f"metered_file.Counted.read = read\n{ReaderProcess.program}"
        )

    with working(tmp_path, "a.dcm", "b.dcm", "c.dcm", reader=Reader()) as work:
        members = {f"{number}.dcm": noise(number) for number in range(40)}
        (tmp_path / "in" / "b.dcm").write_bytes(tar_of(members))
        summary = work.read(read_timeout=0.7)
        assert (3, 2, 1) == counts(summary)
        words = "no progress for 0.7 s while reading it"
        assert {"b.dcm": ("timeout", words)} == work.failures(summary)


@LINUX
def test_a_task_whose_files_are_only_slow_is_read_in_pieces(tmp_path: Path) -> None:
    """Where all of them together take longer than a task may, none is at fault."""

    class Reader(ReaderProcess):
        program = f"{HOOK.replace('hangs', 'slow').replace('600', '0.2')}\n{ReaderProcess.program}"

    names = [f"{number:02} slow.dcm" for number in range(16)]
    with working(tmp_path, *names, reader=Reader()) as work:
        summary = work.read(timeout=1.5)
        assert (16, 16, 0) == counts(summary)
        parts = Parts(work.store.parts, tuple(one.part for one in summary))
        urls = [url for batch in parts.instance_batches(["url"]) for url in batch[0].to_pylist()]
        assert names == [url.rpartition("/")[2] for url in urls]


# -- what dies -------------------------------------------------------------------------------------


@POSIX
def test_a_file_that_kills_the_reader_is_left_out(tmp_path: Path) -> None:
    """The file at which the child died is a row, the rest is read, and so is the next partition."""
    with working(tmp_path, "a.dcm", "b dies.dcm", "c.dcm", "d.dcm", partition_size=3) as work:
        summary = work.read(0)
        assert (3, 2, 1) == counts(summary)
        words = "the reading process ended with signal 9 while reading it"
        assert {"b dies.dcm": ("unexpected", words)} == work.failures(summary)
        assert (1, 1, 0) == counts(work.read(1))


@POSIX
def test_many_files_that_kill_the_reader_are_left_out(tmp_path: Path) -> None:
    """However many they are, each is a row, and all between them are read."""
    names = [f"{number} {'dies' if number % 3 else ''}.dcm" for number in range(9)]
    with working(tmp_path, *names) as work:
        summary = work.read()
        assert (9, 3, 6) == counts(summary)
        assert {name for name in names if "dies" in name} == set(work.failures(summary))


@pytest.mark.parametrize("singly", [False, True])
def test_a_file_that_never_shows_is_found_by_halves(tmp_path: Path, singly: bool) -> None:
    """Where the process dies behind all files, or at none of them, its rows are cut until it is alone."""
    where = "read_headers" if singly else "write_part"

    class Reader(ReaderProcess):
        program = (
            "import os; from dcmdask.execution import worker\n"
            f"real = worker.{where}\n"
            "def odd(*args, **options):\n"
            "    manifest = reads[-1]\n"
            "    poison = 'e' in manifest['path'].to_pylist()\n"
            "    if poison and manifest['path'].to_pylist().index('e') not in watches[-1].left_out:\n"
            f"        watches[-1].begin({-1 if singly else -2})\n"
            "        os._exit(9)\n"
            "    return real(*args, **options)\n"
            f"worker.{where} = odd\n"
            "reads, watches = [], []\n"
            "process = worker.process_partition\n"
            "def watched(*of):\n"
            "    watches.append(of[-1])\n"
            "    return process(*of)\n"
            "worker.process_partition = watched\n"
            "read_manifest = worker.read_manifest\n"
            "worker.read_manifest = lambda *of: reads.append(read_manifest(*of)) or reads[-1]\n"
            f"{ReaderProcess.program}"
        )

    with working(tmp_path, *"abcdefgh", reader=Reader()) as work:
        summary = work.read()
        assert (8, 7, 1) == counts(summary)
        words = "the reading process ended with code 9 while reading it"
        assert {"e": ("unexpected", words)} == work.failures(summary)


def test_a_reader_that_cannot_start_ends_the_run(tmp_path: Path) -> None:
    """No file is to blame for a child that ends before it reads anything; its code is said."""

    class Reader(ReaderProcess):
        program = "import sys; sys.exit(7)"

    words = "it ended with code 7 before it read anything.*the same command goes on"
    with (
        working(tmp_path, "a", "b", reader=Reader()) as work,
        pytest.raises(ReaderLostError, match=words),
    ):
        work.read()


@pytest.mark.parametrize(
    "says",
    ["b'xyz'", "b'\\x04' + bytes(7) + b'ab'", "b'\\x02' + bytes(7) + b'ab'", "b'words, words'"],
    ids=["half a length", "half a message", "rubbish", "words"],
)
def test_a_reader_that_dies_whatever_it_reads_ends_the_run(tmp_path: Path, says: str) -> None:
    """An answer that is cut off or makes no sense is no answer, at once and not after the time."""

    class Reader(ReaderProcess):
        program = (
            "import os; from dcmdask.execution import worker\n"
            f"worker.process_partition = lambda *_: (os.write(answers, {says}), os._exit(1))\n"
            f"answers = os.dup(1)\n{ReaderProcess.program}"
        )

    with working(tmp_path, "a", reader=Reader()) as work:
        begun = time.monotonic()
        with pytest.raises(ReaderLostError, match="the reading process ended with code 1"):
            work.read()
        assert time.monotonic() - begun < 60


def test_a_reader_that_answers_something_else_is_an_error(tmp_path: Path) -> None:
    """What is neither a summary nor an error of ours ends the run with one line."""

    class Reader(ReaderProcess):
        program = (
            "from dcmdask.execution import worker\n"
            f"worker.process_partition = lambda *_: 1\n{ReaderProcess.program}"
        )

    with (
        working(tmp_path, "a", reader=Reader()) as work,
        pytest.raises(ClusterError, match="the reading process answered with int"),
    ):
        work.read()


@pytest.mark.parametrize("says", ["print('hello', flush=True)", "pass"], ids=["rubbish", "nothing"])
def test_a_reader_that_does_not_start_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    """A child that says nothing, or something else, before its first partition reads none."""
    monkeypatch.setattr(supervisor, "_STARTING", 1)

    class Reader(ReaderProcess):
        program = f"import time; {says}; time.sleep(600)"

    with working(tmp_path, "a", reader=Reader()) as work, pytest.raises(ReaderLostError):
        work.read()


def test_what_the_child_cannot_go_on_without_is_raised_here(tmp_path: Path) -> None:
    """An output folder that is gone under the child is the run's error, not the files'."""
    with working(tmp_path, "a") as work:
        for path in (work.store.parts, work.store.staging / "manifest"):
            path.rename(path.with_name("gone " + path.name))
            with pytest.raises(OutputError) as caught:
                work.read()
            assert isinstance(caught.value, DcmdaskError)
            path.with_name("gone " + path.name).rename(path)


def test_a_reader_that_died_between_partitions_is_replaced(tmp_path: Path) -> None:
    """A child that somebody killed while it was idle costs nothing."""
    with working(tmp_path, "a", "b", partition_size=1) as work:
        assert (1, 1, 0) == counts(work.read(0))
        child = work.reader._child
        assert child is not None
        child.kill()
        child.wait()
        assert (1, 1, 0) == counts(work.read(1))


# -- what is wrong with a header -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "outcome"),
    [
        ("time.sleep(600)", ("timeout", "the task took longer than 1.5 s while reading it")),
        ("os._exit(5)", ("unexpected", "the reading process ended with code 5 while reading it")),
        (
            "raise ReaderError('LookupError')",
            ("unexpected", "the reader failed: LookupError while reading it"),
        ),
        ("bytearray(1 << 62)", ("too_large", "there is not the memory while reading it")),
    ],
    ids=["loops", "crashes", "raises", "wants all memory"],
)
def test_a_header_that_is_at_fault_is_found_among_others(
    tmp_path: Path, does: str, outcome: tuple[str, str]
) -> None:
    """Scanned together with others, it is looked for one by one; the others are instances."""

    class Reader(ReaderProcess):
        program = (
            f"from dcmdask.errors import ReaderError\n{HEADER.format(does=does)}\n"
            f"{ReaderProcess.program}"
        )

    names = ("a", "b odd", "c", "d")
    with working(tmp_path, *names, reader=Reader()) as work:
        # A series each, so that each is described.
        for number, name in enumerate(names):
            content = instance(number, SeriesInstanceUID=f"1.2.{number}")
            (tmp_path / "in" / name).write_bytes(content)
        summary = work.read(timeout=1.5)
        assert (4, 3, 1) == counts(summary)
        assert {"b odd": outcome} == work.failures(summary)


# -- whose answer ----------------------------------------------------------------------------------


def test_an_interrupted_read_leaves_no_answer_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interrupt, the answer to the next request is not that to the one before."""
    with working(tmp_path, "a", "b", partition_size=1) as work:
        work.read(0)

        class Interrupting:
            def get(self, timeout: float) -> None:
                raise KeyboardInterrupt(timeout)

        with monkeypatch.context() as patch:
            patch.setattr(work.reader, "_answers", Interrupting())
            with pytest.raises(KeyboardInterrupt):
                work.read(0)
        assert [1] == [one.position for one in work.read(1)]


def test_no_two_threads_share_a_reader() -> None:
    """A reader that is in use is not given to another; one that waits is used again."""
    with supervisor._borrowed("a") as mine:
        with supervisor._borrowed("a") as other:
            assert mine is not other
        with supervisor._borrowed("b") as again:
            assert other is again
    supervisor.stop_readers()


def test_stopping_the_readers_of_one_crawl_leaves_those_of_another() -> None:
    """Each crawl ends its own; one that waits for anyone's work stays for the next."""
    with supervisor._borrowed("one") as mine, supervisor._borrowed("other") as other:
        supervisor.stop_readers("one")
        assert (True, False) == (mine._closed, other._closed)
    assert [other] == list(supervisor._idle)
    supervisor.stop_readers("one")
    assert [other] == list(supervisor._idle)
    supervisor.stop_readers()
    assert (True, 0) == (other._closed, len(supervisor._idle))


def test_crawls_one_after_the_other_are_read_by_one_process(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless what it was started with has changed since."""
    supervisor.stop_readers()
    write("a/1.dcm")
    write("b/1.dcm")
    crawl(tmp_path / "a", tmp_path / "out a")
    (first,) = supervisor._idle
    child = first._child
    crawl(tmp_path / "b", tmp_path / "out b")
    assert ([first], child) == (list(supervisor._idle), first._child)
    monkeypatch.setenv("DCMDASK_TEST", "1")
    crawl(tmp_path / "b", tmp_path / "out c")
    (other,) = supervisor._idle
    assert (True, False) == (first._closed, first is other)


def test_two_crawls_of_one_process_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends leaves the reading processes of the other alone."""
    program = f"{HEADER.format(does='time.sleep(3)')}\n{ReaderProcess.program}"
    monkeypatch.setattr(ReaderProcess, "program", program)
    for name in ("quick/a", "slow/b odd", "slow/c odd", "slow/d odd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(instance(ord(name[-5])))
    found = []
    slow = threading.Thread(
        target=lambda: found.append(crawl(tmp_path / "slow", tmp_path / "out", partition_size=1))
    )
    slow.start()
    assert 1 == crawl(tmp_path / "quick", tmp_path / "quick out").instances.count_rows()
    assert slow.is_alive()
    slow.join()
    assert 3 == found[0].instances.count_rows()


def test_a_closed_reader_starts_no_child() -> None:
    """Whoever comes late, in another thread, is told that the run was ended."""
    reader = ReaderProcess()
    reader.close()
    with pytest.raises(ClusterError):
        reader.start()
    assert reader._child is None


def test_whoever_waits_for_a_closed_reader_is_told_at_once(tmp_path: Path) -> None:
    """Also where the child cannot be ended, and its pipe stays open."""

    class Stuck(ReaderProcess):
        # What holds the pipe open when the child itself is gone.
        program = (
            f"import subprocess; subprocess.Popen(['sleep', '8'])\n{HOOK}\n{ReaderProcess.program}"
        )

    with working(tmp_path, "hangs.dcm", reader=Stuck()) as work:
        timer = threading.Timer(2, work.reader.close)
        timer.start()
        begun = time.monotonic()
        with pytest.raises(ClusterError):
            work.read(timeout=60)
        assert time.monotonic() - begun < 7


@LINUX
def test_a_run_that_cannot_start_leaves_no_process(tmp_path: Path) -> None:
    """Whatever is wrong with it, the reading process that was started ahead is ended."""
    supervisor.stop_readers()
    before = children()
    supervisor.start_reader()
    assert children() - before
    with pytest.raises(SourceError):
        run([str(tmp_path / "gone")], RunOptions(str(tmp_path / "out")))
    assert set() == children() - before


@LINUX
def test_a_task_that_begins_as_the_run_ends_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that has a partition and no reader yet starts none that stays."""
    for number in range(40):
        path = tmp_path / "in" / "P1" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance(number))

    def slowly(partition: Partition, options: ReadOptions) -> list[PartitionSummary]:
        time.sleep(0.3)
        return supervisor.read_partition(partition, options)

    def end(progress: Progress) -> None:
        if progress.stage == "read":
            raise KeyboardInterrupt

    monkeypatch.setattr("dcmdask.execution.reading.read_partition", slowly)
    supervisor.stop_readers()
    before = children()
    with pytest.raises(KeyboardInterrupt):
        run([str(tmp_path / "in")], RunOptions(str(tmp_path / "out"), partition_size=10), end)
    assert set() == children() - before
    assert not supervisor._busy
    assert not supervisor._idle


# -- in a crawl ------------------------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize("below", [4000, 0], ids=["in process", "local cluster"])
def test_a_crawl_goes_on_past_files_that_hang_and_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: int
) -> None:
    """In this process and on Dask workers, each such file is a row and all others are instances."""
    # Every Python that is started from here runs this file first: workers and their readers.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    names = [f"{number}.dcm" for number in range(8)] + ["3 hangs.dcm", "5 dies.dcm"]
    for number, name in enumerate(names):
        path = tmp_path / "in" / "P1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(instance(number))
    supervisor.stop_readers()
    before = children()
    catalog = crawl(
        tmp_path / "in",
        tmp_path / "out",
        timeout=1,
        workers=2,
        partition_size=4,
        in_process_below=below,
    )
    supervisor.stop_readers()
    kinds = {row["path"]: row["kind"] for row in catalog.failures.to_pylist()}
    assert {"P1/3 hangs.dcm": "timeout", "P1/5 dies.dcm": "unexpected"} == kinds
    assert 8 == catalog.instances.count_rows()
    deadline = time.monotonic() + 5
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set() == {pid for pid in children() - before if not _is_tracker(pid)}


def _is_tracker(pid: int) -> bool:
    """Tell whether a process is multiprocessing's own, which stays as long as this one."""
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
