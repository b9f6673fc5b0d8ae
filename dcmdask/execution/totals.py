"""What the partitions of a crawl came to, added up in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dcmdask.errors import InvariantError
from dcmdask.types import PartitionSummary

SUMMED = (
    "files",
    "members",
    "containers",
    "instances",
    "skips",
    "failures",
    "bytes_listed",
    "bytes_read",
    "scanned",
)
"""What of a summary is added up."""

_WORK = ("bytes_read", "scanned")
"""What is counted of the work, not of what came of it."""


def _ignore_part(_stem: str) -> None:
    """Do nothing with a part."""


@dataclass(slots=True)
class Totals:
    """What the partitions came to, added up in any order."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    parts: list[tuple[int, str]] = field(default_factory=list)
    tried: int = 0
    refused: int = 0
    took: Callable[[str], None] = _ignore_part
    searched: bool = False

    def again(self) -> Totals:
        """Begin anew, but for the work that was done: parts of it are read again for names."""
        work = Counter({name: self.counts[name] for name in _WORK})
        totals = Totals(work, self.reasons.copy(), took=self.took, searched=True)
        totals.tried, totals.refused = self.tried, self.refused
        return totals

    def add(self, summary: PartitionSummary) -> None:
        """Add one partition."""
        for name in SUMMED:
            self.counts[name] += getattr(summary, name)
        self.counts["listed"] += summary.listed
        self.tried += summary.tried
        self.refused += summary.refused
        self.reasons.update(summary.reasons)
        self.parts.append((summary.position, summary.part))
        self.took(summary.part)

    def add_all(self, summaries: Iterable[PartitionSummary]) -> None:
        """Add some partitions."""
        for summary in summaries:
            self.add(summary)

    def check(self, files: int) -> None:
        """Raise `InvariantError` unless every file and member has one outcome."""
        outcomes = self.counts["failures"] + self.counts["skips"]
        listed = self.counts["listed"] + files - self.counts["files"]
        if listed != self.counts["instances"] + outcomes or files != self.counts["files"]:
            raise InvariantError(listed, self.counts["instances"], outcomes)

    def stems(self) -> list[str]:
        """Return the parts in order of the listing."""
        return [stem for _, stem in sorted(self.parts)]
