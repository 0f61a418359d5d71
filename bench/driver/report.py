"""
bench/driver/report.py
    From the samples of many rounds to a table that can be pasted into
    bench/README.md.
"""

from statistics import median


def _number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}"


def _of(values):
    return median(values) if values else None


def noise(samples):
    """
    How far a round's yardstick (our own figure, where there is none) was from
    the median of all rounds, at most, in percent.
    """
    values = [s.ours if s.theirs is None else s.theirs for s in samples]
    middle = median(values)
    if len(values) < 2 or middle == 0:
        return ""
    return f"±{100 * max(abs(v - middle) for v in values) / middle:.0f} %"


def _line(measure, samples):
    figures = [sample.figure for sample in samples]
    unit = "" if measure.unit in ("x", "") else f" {measure.unit}"
    middle = median(figures)
    theirs = [s.theirs for s in samples if s.theirs is not None]
    return [
        f"`{measure.row}`", measure.text,
        _number(_of([s.ours for s in samples])), _number(_of(theirs)),
        f"**{_number(middle)}{unit}**",
        f"{_number(min(figures))} … {_number(max(figures))}",
        f"{_number(measure.floor)}{unit}", f"{_number(measure.aim)}{unit}",
        measure.result(middle), noise(samples),
    ]


HEAD = ["row", "measure", "ours", "yardstick", "figure", "spread", "floor",
        "aim", "result", "noise"]


def table(measures, samples):
    """The results as Markdown; samples is {measure.key: [Sample, ...]}."""
    lines = [HEAD, ["---"] * len(HEAD)]
    lines += [_line(m, samples[m.key]) for m in measures if m.key in samples]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def below(measures, samples):
    """The measures that are below their floor."""
    return [m for m in measures if m.key in samples and
            m.result(median(s.figure for s in samples[m.key])) == "BELOW"]


def progress(measure, sample):
    """One figure of one round, for who watches."""
    unit = "" if measure.unit == "x" else f" {measure.unit}"
    against = "" if sample.theirs is None else \
        f"  ({_number(sample.ours)} against {_number(sample.theirs)})"
    part = f" {measure.part}" if measure.part else ""
    return f"{measure.row}{part}: {_number(sample.figure)}{unit}{against}"
