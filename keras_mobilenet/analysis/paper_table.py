"""A table of the MobileNet paper: what is printed, beside what is recomputed."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        row: The layer or network that the figure describes.
        column: The quantity: `"mult-adds"` and `"parameters"` in millions, a share in percent,
            `"accuracy"`, or, in table 1, `"stride"` and `"filter"`.
        printed: The figure that the paper prints.
        unit: The unit of the last printed digit; 0 for text.
        computed: The figure that the model gives; None for what is quoted.
        reason: The reason why the two differ, where they do.
    """

    row: str
    column: str
    printed: float | str
    unit: float
    computed: float | str | None
    reason: str = ""

    @property
    def is_quoted(self) -> bool:
        """Whether the figure is the paper's alone: an accuracy."""
        return self.computed is None

    @property
    def difference(self) -> float | None:
        """The computed figure less the printed one; None for text and for what is quoted."""
        if isinstance(self.computed, str) or isinstance(self.printed, str) or self.is_quoted:
            return None
        return self.computed - self.printed

    @property
    def is_reproduced(self) -> bool:
        """Whether the computed figure rounds to the printed one."""
        if self.difference is None:
            return self.computed == self.printed
        return abs(self.difference) <= self.unit / 2 + 1e-9


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        number: The number of the table, 1 to 9.
        title: The title that the paper gives it.
        cells: The figures, row by row.
    """

    number: int
    title: str
    cells: tuple[Cell, ...]

    def rows(self) -> list[dict[str, object]]:
        """Makes one dictionary per cell, as `pandas.DataFrame` takes them.

        Returns:
            The cells' fields by name, with the difference.
        """
        return [
            dataclasses.asdict(cell) | {"difference": cell.difference, "is_quoted": cell.is_quoted}
            for cell in self.cells
        ]

    def __str__(self) -> str:
        width = max(len(cell.row) for cell in self.cells)
        lines = [f"Table {self.number}. {self.title}"]
        for cell in self.cells:
            if cell.is_quoted:
                state = "quoted"
            else:
                shown = cell.computed
                if isinstance(shown, float):
                    shown = f"{shown:,.3f} ({cell.difference:+.3f})"
                state = f"{shown} {'' if cell.is_reproduced else '- ' + cell.reason}".strip()
            lines.append(f"{cell.row:{width}}  {cell.column:11} {cell.printed!s:>14}  {state}")
        return "\n".join(lines)
