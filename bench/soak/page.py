"""
bench/soak/page.py
    What a run leaves: a page with charts, and the same in words as Markdown, to be
    committed.
"""

import html

from . import charts
from .judge import MB

CHARTS = [
    ("Worker's memory, MB", {"RssAnon": ("memory_kb", 1024)}, False),
    ("Worker's descriptors and threads", {"descriptors": ("descriptors", 1),
                                          "threads": ("threads", 1)}, False),
    ("Deliveries that wait", {"waiting": ("waiting", 1)}, False),
    ("Commit to arrival, ms", {"p50": ("p50_ms", 1), "p99": ("p99_ms", 1)}, True),
    ("Queue, MB", {"table": ("queue_bytes", MB), "indexes": ("queue_index_bytes", MB)},
     False),
    ("Log, MB", {"tables": ("log_bytes", MB), "indexes": ("log_index_bytes", MB)}, False),
    ("Dead rows of the queue", {"dead": ("dead_tuples", 1)}, False),
    ("Worker's CPU per attempt, µs", {"CPU": ("cpu_us", 1)}, False),
    ("Attempts per second", {"attempts": ("attempts_per_second", 1)}, False),
    ("How busy the whole machine was, %", {"busy": ("machine_busy", 0.01),
                                           "taken by the host": ("stolen", 0.01)}, False),
    ("Partitions of the log", {"partitions": ("partitions", 1)}, False),
    ("Dead letters and all other tables of kgwebhook, MB",
     {"dead letters": ("dead_letter_bytes", MB), "others": ("other_bytes", MB)}, False),
]

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --grid: #d8dee4;
  --a: #0969da; --b: #bc4c00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117;
  --grid: #30363d; --a: #58a6ff; --b: #f0883e; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1rem; }
figure { margin: 0; } svg { width: 100%; height: auto; }
text { font-size: 11px; fill: var(--ink); } .y { text-anchor: end; } .x { text-anchor: middle; }
.grid { stroke: var(--grid); } .day { stroke: var(--grid); stroke-dasharray: 3 3; }
polyline { fill: none; stroke-width: 1.5; } .line0 { stroke: var(--a); } .line1 { stroke: var(--b); }
.key0 { color: var(--a); } .key1 { color: var(--b); }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: left;
  border-bottom: 1px solid var(--grid); } .bad { color: var(--b); font-weight: bold; }
"""


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _shown(value, rule):
    return f"{_number(value / rule.scale)} {rule.unit}".strip()


def _rows(found):
    """What was judged, as cells: text, both halves, bound, result."""
    for finding in found:
        yield (finding.rule.text, *(_shown(value, finding.rule) for value in
                                    (finding.first, finding.second, finding.bound)),
               "GREW" if finding.grew else "flat")


HEAD = ("", "first half", "second half", "bound", "result")


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def markdown(title, circumstances, found, counts, done, wrong):
    """The summary that is committed."""
    parts = [f"# {title}", circumstances,
             "**Nothing grew, nothing was lost, nothing came twice.**" if not wrong else
             "**" + "; ".join(wrong) + ".**",
             _table(HEAD, _rows(found)),
             _table(("events", "number"),
                    [(what, f"{number:,}") for what, number in counts.items()]),
             _table(("in the meantime", "times"), done.items())]
    return "\n\n".join(parts) + "\n"


def _html_table(head, rows):
    def line(cells, tag):
        return "<tr>" + "".join(
            f'<{tag}{" class=bad" if cell == "GREW" else ""}>{html.escape(str(cell))}</{tag}>'
            for cell in cells) + "</tr>"

    return ("<table>" + line(head, "th") + "".join(line(row, "td") for row in rows)
            + "</table>")


def _chart(samples, title, series, logarithmic):
    lines = {name: [(s["seconds"], s[column] / scale) for s in samples
                    if s[column] is not None]
             for name, (column, scale) in series.items()}
    days = [after["seconds"] for before, after in zip(samples, samples[1:])
            if after["day"] != before["day"]]
    return charts.chart(title, lines, days, samples[-1]["seconds"], logarithmic)


def page(title, circumstances, samples, found, counts, done, wrong):
    """The page, which needs nothing but itself."""
    result = "; ".join(wrong) if wrong else \
        "Nothing grew, nothing was lost, nothing came twice"
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
            f"<h1>{title}</h1><p>{html.escape(circumstances)}</p>"
            f"<p><b{' class=bad' if wrong else ''}>{html.escape(result)}.</b>"
            " Dashed lines: the clock goes on by a day.</p><main>"
            + "".join(_chart(samples, *each) for each in CHARTS) + "</main><h2>Held"
            " against one another</h2>" + _html_table(HEAD, _rows(found))
            + "<h2>Every event</h2>" + _html_table(
                ("events", "number"), [(w, f"{n:,}") for w, n in counts.items()])
            + "<h2>In the meantime</h2>" + _html_table(("what", "times"), done.items())
            + "</html>\n")
