"""What --desensitize hides of a name: in a text, in a table, and where it cannot be told for sure."""

from __future__ import annotations

from dcmdask.tables.privacy.hiding import gives_away, hide, pseudonym

__all__ = ["gives_away", "hide", "pseudonym"]
