"""Results of all benchmarks in one form, and the page and the plot made of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

import numpy as np

from onnxsearch._internal.cpu import available_cores

PACKAGES = (
    "onnxsearch", "onnxruntime", "numpy", "pillow", "pymilvus", "milvus-lite", "milvus",
    "fastembed", "faiss-cpu", "usearch", "sentence-transformers", "DeepImageSearch", "torch",
)  # fmt: skip


INTRODUCTION = """\
`{command}` made this page,
in the environment of `nox -s benchmarks`. All competitors of a table take turns in one run, so that
other work of the machine disturbs them alike. The figures are medians; compare their ratios, since
another machine has other figures. The modules in `benchmarks` say how each was measured.

*The floor* is the time of inference alone, in its best arrangement, plus that of decoding and
preprocessing alone, shared by all cores: what an index run takes if all else takes no time. Rivals
run the same model with the same preprocessing, unless a table says otherwise. The start of their
processes is not counted, and only the article's script stores anything.
{note}
- Machine: {machine.processor}, {machine.cores} cores, {machine.memory} GiB, {machine.system}
- Processes that wanted a core in the minute before a part was measured: {load}
- Date: {date}
- Versions: {versions}"""


@dataclass(frozen=True)
class Result:
    """One line of a table: what one competitor achieved."""

    table: str
    """Title of the table."""
    name: str
    """The competitor."""
    value: float | None = None
    """None if it did not run."""
    unit: str = "images/s"
    rows: int | None = None
    """Rows that were searched."""
    note: str = ""
    """The conditions; or why it did not run."""


@dataclass(frozen=True)
class Machine:
    processor: str
    cores: int
    memory: int
    """GiB."""
    system: str


@dataclass
class Part:
    """What one part of the benchmarks measured, and where and when it did."""

    machine: Machine
    versions: str
    date: str
    load: float
    """Processes that wanted a core in the minute before."""
    quick: bool
    results: list[Result] = field(default_factory=list[Result])


def measured_now(quick: bool) -> Part:
    """Return a part that is about to be measured here."""
    machine = Machine(_processor(), available_cores(), _memory(), platform.platform(terse=True))
    versions = [f"{name} {found}" for name in PACKAGES if (found := _version(name))]
    versions.insert(0, f"Python {platform.python_version()}")
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    return Part(machine, ", ".join(versions), date, _load(), quick)


def save(parts: Mapping[str, Part], path: Path) -> None:
    """Write parts by name to a file."""
    text = json.dumps({name: asdict(part) for name, part in parts.items()}, indent=1)
    path.write_text(text, encoding="utf-8")


def load(path: Path) -> dict[str, Part]:
    """Return the parts in a file that were measured on this machine, with these versions."""
    if not path.exists():
        return {}
    now, found = measured_now(quick=False), {}
    for name, saved in json.loads(path.read_text("utf-8")).items():
        saved["machine"] = Machine(**saved["machine"])
        saved["results"] = [Result(**result) for result in saved["results"]]
        part = Part(**saved)
        if (part.machine, part.versions) == (now.machine, now.versions):
            found[name] = part
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    except (AttributeError, ValueError, OSError):
        return 0


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def markdown(measured: Sequence[Part], plot: str | None, note: str = "") -> str:
    """Return the page."""
    results = _by_table(measured)
    loads = sorted(part.load for part in measured)
    parts = [
        "# Benchmarks",
        INTRODUCTION.format(
            machine=measured[0].machine,
            load=f"{loads[0]:.1f} to {loads[-1]:.1f}",
            date=max(part.date for part in measured),
            versions=measured[0].versions,
            note=f"\n{note}\n" if note else "",
            command=" --".join(["python -m benchmarks", *["quick"] * measured[0].quick]),
        ),
    ]
    if plot is not None:
        parts.append(
            f"![Images per second of each competitor, and milliseconds of a search by the number "
            f"of rows.]({plot})"
        )
    for title, group in groupby(results, lambda result: result.table):
        found = list(group)
        table = _growth(found) if any(r.rows for r in found) else _speeds(found)
        parts += [f"## {title}", table, *_notes(found)]
    return "\n\n".join(parts) + "\n"


def _by_table(parts: Iterable[Part]) -> list[Result]:
    """Return the results of all parts, those of one table together."""
    results = [result for part in parts for result in part.results]
    order = {title: place for place, title in enumerate(dict.fromkeys(r.table for r in results))}
    return sorted(results, key=lambda result: order[result.table])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _speeds(results: Sequence[Result]) -> str:
    """Return a table of speeds, and by how much ours is faster."""
    ours = next((r.value for r in results if r.name.startswith("onnxsearch") and r.value), None)
    lines = [f"| | {results[0].unit} | onnxsearch is faster by |", "|---|--:|--:|"]
    for result in results:
        if result.value is None:
            lines.append(f"| {result.name} | {result.note} | |")
        else:
            factor = "" if ours is None else f"{ours / result.value:.2f}"
            lines.append(f"| {result.name} | {result.value:.1f} | {factor} |")
    return "\n".join(lines)


def _growth(results: Sequence[Result]) -> str:
    """Return a table with a column for each number of rows."""
    sizes = sorted({r.rows for r in results if r.rows})
    header = " | ".join(f"{size:,} rows" for size in sizes)
    lines = [f"| {results[0].unit} | {header} |", "|---|" + "--:|" * len(sizes)]
    for name in dict.fromkeys(r.name for r in results):
        by_size = {r.rows: r for r in results if r.name == name}
        cells = []
        for size in sizes:
            found = by_size.get(size)
            value = found.value if found else None
            cells.append("" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}")
        absent = by_size[None].note if None in by_size else ""
        lines.append(f"| {name}{f' ({absent})' if absent else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _notes(results: Iterable[Result]) -> list[str]:
    """Return the conditions under which competitors ran."""
    notes = {r.name: r.note for r in results if r.note and r.value is not None}
    return ["\n".join(f"- {name}: {note}" for name, note in notes.items())] if notes else []


def draw(parts: Sequence[Part], path: Path) -> None:
    """Draw bars for the speeds, and lines for the growth; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    # Else each drawing of the same figures is another file.
    mpl.rcParams |= {"svg.hashsalt": "onnxsearch", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    tables = {t: list(g) for t, g in groupby(_by_table(parts), lambda result: result.table)}
    measured = {t: [r for r in g if r.value is not None] for t, g in tables.items()}
    measured = {title: group for title, group in measured.items() if group}
    heights = [1.2 + 0.25 * (10 if group[0].rows else len(group)) for group in measured.values()]
    figure, axes = plt.subplots(
        len(measured), figsize=(8, sum(heights)), height_ratios=heights, squeeze=False
    )
    for (title, group), axis in zip(measured.items(), axes[:, 0], strict=True):
        axis.set_title(title, loc="left")
        axis.set_xlabel("rows" if group[0].rows else group[0].unit)
        if group[0].rows:
            axis.set_ylabel(group[0].unit)
            for name in dict.fromkeys(r.name for r in group):
                points = sorted((r.rows, r.value) for r in group if r.name == name)
                wide = 2.5 if name.startswith("onnxsearch") else 1.2
                axis.plot(*np.transpose(points), marker="o", label=name, linewidth=wide)
            axis.set(xscale="log", yscale="log")
            axis.legend(fontsize=8)
        else:
            bars = list(reversed(group))
            colours = ["#1f77b4" if r.name.startswith("onnxsearch") else "#999999" for r in bars]
            drawn = axis.barh([r.name for r in bars], [r.value for r in bars], color=colours)
            axis.bar_label(drawn, fmt="%.1f", padding=3)
            axis.margins(x=0.12)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
