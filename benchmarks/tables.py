"""Tables of what `peers.py` has stored, in Markdown."""

from collections.abc import Iterator
from math import prod

TITLES = {
    "forward": "Forward",
    "forward_backward": "Forward and backward",
    "fit": "An epoch of training",
    "step": "One step",
    "kernel": "A sequence of 1000 steps, one kernel",
}


def markdown(report: dict) -> str:
    """Everything in a report."""
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    lines = [
        f"{report['date']}, {report['cpu']}; {versions}; commit {report['commit']}; load average "
        f"before the run {report['load']}.",
        "",
    ]
    if report["quick"]:
        lines = ["Made with --quick: not a measurement.", "", *lines]
    for peak in report["peaks"]:
        rate = peak["flops_per_second"] / 1e9
        lines.append(f"- Peak in {peak['dtype']} on {threads_of(peak)}: {rate:.0f} GF/s")
    for table in by("dtype", "threads", "kind", rows=report["rows"]):
        lines += ["", *one_table(table, report)]
    lines += ["", *dtype_ratios(report["rows"])]
    return "\n".join(lines).rstrip()


def one_table(rows: list[dict], report: dict) -> Iterator[str]:
    """The rows of one kind, dtype and number of threads, and their summary."""
    first = rows[0]
    peers = sorted({name for row in rows for name in row["seconds"]} - {"numlstm"}, reverse=True)
    serial = [one_thread(row, report["rows"]) for row in rows]
    scales = first["threads"] > 1 and None not in serial
    yield f"**{TITLES[first['kind']]}, {first['dtype']}, {threads_of(first)}**"
    yield ""
    head = ["T", "B", "I", "H", "numlstm", "GF/s", "of peak", *(f"{name} /" for name in peers)]
    head += ["1 thread /"] if scales else []
    yield "| " + " | ".join(head) + " |"
    yield "|" + " ---: |" * len(head)
    for row, alone in zip(rows, serial, strict=True):
        yield "| " + " | ".join(cells(row, peers, alone if scales else None, report)) + " |"
    ratios = {name: [ratio(row, name) for row in rows if name in row["seconds"]] for name in peers}
    if scales:
        ratios["1 thread"] = [ours(a) / ours(row) for row, a in zip(rows, serial, strict=True)]
    if len(rows) > 1:
        yield ""
        yield "; ".join(f"{name}: {summary(values)}" for name, values in ratios.items())


def cells(row: dict, peers: list[str], alone: dict | None, report: dict) -> Iterator[str]:
    """One line of a table: sizes, our time and rate, and the others' times over ours."""
    rate = row["flops"] / ours(row)
    yield from map(str, row["size"])
    yield duration(ours(row))
    yield f"{rate / 1e9:.3g}"
    yield f"{rate / peak_of(row, report):.0%}"
    yield from (f"{ratio(row, name):.2f}" if name in row["seconds"] else "" for name in peers)
    if alone:
        yield f"{ours(alone) / ours(row):.2f}"


def dtype_ratios(rows: list[dict]) -> Iterator[str]:
    """How fast float64 is, float32 being 1, where both were measured."""
    for table in by("kind", "threads", rows=[row for row in rows if row["dtype"] == "float64"]):
        pairs = [(row, find(rows, row, dtype="float32")) for row in table]
        values = [ours(single) / ours(double) for double, single in pairs if single]
        if values:
            title = f"{TITLES[table[0]['kind']]}, {threads_of(table[0])}"
            yield f"- Speed of float64, float32 being 1: {title}: {summary(values)}"


def by(*keys: str, rows: list[dict]) -> list[list[dict]]:
    """Rows that agree in all keys, together, in the order in which they come."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.values())


def find(rows: list[dict], like: dict, **changes) -> dict | None:
    """The row for the same work as `like`, but for the changes."""
    wanted = {key: like[key] for key in ("kind", "dtype", "threads", "size")} | changes
    return next((row for row in rows if wanted.items() <= row.items()), None)


def one_thread(row: dict, rows: list[dict]) -> dict | None:
    return find(rows, row, threads=1)


def peak_of(row: dict, report: dict) -> float:
    peaks = {(peak["dtype"], peak["threads"]): peak for peak in report["peaks"]}
    return peaks[row["dtype"], row["threads"]]["flops_per_second"]


def ours(row: dict) -> float:
    return row["seconds"]["numlstm"]


def ratio(row: dict, peer: str) -> float:
    return row["seconds"][peer] / ours(row)


def summary(values: list[float]) -> str:
    mean = prod(values) ** (1 / len(values))
    return f"geometric mean {mean:.2f}, least {min(values):.2f}"


def threads_of(row: dict) -> str:
    return "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"


def duration(seconds: float) -> str:
    """Three digits in a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
