"""What the demo shows: progress bars on a terminal, plain lines in a pipe, nothing with --json."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Bar:
    """One progress bar; in a pipe it says nothing until it is done."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        """Args: progress, task: rich's handles."""
        self._progress = progress
        self._task = task

    def at(self, done: float, note: str = "") -> None:
        """Show how far it is, in the bar's own unit."""
        self._progress.update(self._task, completed=done, note=note)

    def of(self, total: float) -> None:
        """Change what the whole is."""
        self._progress.update(self._task, total=total)


class View:
    """The terminal."""

    def __init__(self, console: Console) -> None:
        """Args: console: where to show it; a quiet one shows nothing."""
        self.console = console
        self._step = 0

    def title(self, text: str) -> None:
        """The head line."""
        self.console.print(Panel.fit(text, border_style="cyan"))

    def chapter(self, text: str) -> None:
        """A new part of the story."""
        self._step += 1
        self.console.print(f"\n[bold cyan]{self._step}[/] [bold]{text}[/]")

    def say(self, text: str) -> None:
        """One line of the story; it keeps its length, so that what it names can be copied."""
        self.console.print(f"  {text}", soft_wrap=True)

    def fact(self, name: str, value: str) -> None:
        """One measured figure."""
        self.console.print(f"  [green]✓[/] {name} [bold]{value}[/]")

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Bar]:
        """A progress bar while the block runs; it disappears at the end."""
        with Progress(
            SpinnerColumn(),
            TextColumn("  {task.description:<22}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal or self.console.quiet,
        ) as progress:
            yield Bar(progress, progress.add_task(label, total=total, note=""))

    def summary(self, rows: list[tuple[str, str, bool]]) -> None:
        """The final table: what, figure, whether it is as it should be."""
        table = Table(title="What was proved", title_style="bold", show_header=False, box=None)
        for what, figure, good in rows:
            table.add_row("[green]✓[/]" if good else "[red]✗[/]", what, f"[bold]{figure}[/]")
        self.console.print()
        self.console.print(table)
