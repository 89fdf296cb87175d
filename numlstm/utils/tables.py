"""Small tables for people: as aligned text, and as HTML for notebooks."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import NamedTuple


class Table(NamedTuple):
    """Cells of text under a title each; `align` has an "l" or an "r" per column."""

    titles: tuple[str, ...]  # all empty: no line of titles
    rows: Sequence[tuple[str, ...]]
    align: str

    def __str__(self) -> str:
        """The table in columns, two spaces apart."""
        lines = [self.titles] * any(self.titles) + list(self.rows)
        widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
        return "\n".join(self._line(line, widths) for line in lines)

    def _line(self, line: tuple[str, ...], widths: list[int]) -> str:
        adjust = {"l": str.ljust, "r": str.rjust}
        cells = zip(line, widths, self.align, strict=True)
        return "  ".join(adjust[align](text, width) for text, width, align in cells).rstrip()

    def html(self) -> str:
        """The table in HTML; it takes its colours from the page."""
        head = f"<thead>{self._html_row(self.titles, 'th')}</thead>" if any(self.titles) else ""
        body = "".join(self._html_row(row, "td") for row in self.rows)
        return f"<table>{head}<tbody>{body}</tbody></table>"

    def _html_row(self, row: tuple[str, ...], tag: str) -> str:
        sides = {"l": "left", "r": "right"}
        cells = (
            f'<{tag} style="text-align: {sides[align]}">{escape(text)}</{tag}>'
            for text, align in zip(row, self.align, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"


def facts(entries: Mapping[str, str]) -> Table:
    """What is known of something, by name."""
    return Table(("", ""), list(entries.items()), "ll")


def block(title: str, *parts: str) -> str:
    """Parts in HTML under a title."""
    return f"<div><p><strong>{escape(title)}</strong></p>{''.join(parts)}</div>"


def short(text: str, width: int = 24) -> str:
    """A name on one line, cut where it is longer than `width`."""
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= width else text[: width - 3] + "..."


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names with commas between them, and how many more there are."""
    names = list(names)
    shown = [short(name) for name in names[:most]]
    more = len(names) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
