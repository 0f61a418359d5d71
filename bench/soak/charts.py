"""
bench/soak/charts.py
    A line chart as SVG, without a library: the page has to be one file that opens
    anywhere.

Colors are classes, so that the page chooses them for light and dark.  Every value is
drawn; where a chart has thousands, each column of pixels has its least and its most.
"""

import math

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 36, 12, 26


def _steps(most):
    """A round number of which four or five reach over the most."""
    raw = max(most, 1e-9) / 4
    power = 10 ** math.floor(math.log10(raw))
    return next(power * n for n in (1, 2, 2.5, 5, 10) if power * n >= raw)


def _label(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def _thinned(points):
    """At most two points for each pixel: the least and the most."""
    columns = {}
    for x, y in points:
        columns.setdefault(round(x), []).append((x, y))
    for column in columns.values():
        ends = {min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1])}
        yield from sorted(ends)


class Axis:
    """From values to pixels, from zero on or by powers of ten."""

    def __init__(self, values, logarithmic):
        most = max(values, default=1) or 1
        self.logarithmic = logarithmic
        if logarithmic:
            self._low = math.floor(math.log10(max(min(values), 0.01)))
            self._high = max(math.ceil(math.log10(most)), self._low + 1)
            self.ticks = [10 ** n for n in range(self._low, self._high + 1)]
        else:
            step = _steps(most)
            self._high = math.ceil(most / step) * step
            self.ticks = [step * n for n in range(round(self._high / step) + 1)]

    def y(self, value):
        if self.logarithmic:
            share = (math.log10(max(value, 0.01)) - self._low) / (self._high - self._low)
        else:
            share = value / self._high
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def chart(title, series, days, end, logarithmic=False):
    """
    series: {name: [(seconds, value)]}; days: when the clock went on; end: of the run, in
    seconds.  Returns a <figure>.
    """
    values = [value for points in series.values() for _, value in points]
    if not values:
        return ""
    axis = Axis(values, logarithmic)

    def x(seconds):
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / end

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">']
    for day in days:
        parts.append(f'<line class="day" x1="{x(day):.1f}" x2="{x(day):.1f}"'
                     f' y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for tick in axis.ticks:
        y = axis.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}"'
                     f' y1="{y:.1f}" y2="{y:.1f}"/><text class="y" x="{LEFT - 6}"'
                     f' y="{y + 4:.1f}">{_label(tick)}</text>')
    for part in range(5):
        minutes = end * part / 240
        parts.append(f'<text class="x" x="{x(end * part / 4):.1f}"'
                     f' y="{HEIGHT - 8}">{minutes:.1f} min</text>')
    for number, points in enumerate(series.values()):
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in _thinned(
            (x(seconds), axis.y(value)) for seconds, value in points))
        parts.append(f'<polyline class="line{number}" points="{line}"/>')
    names = " ".join(f'<span class="key{number}">{name}</span>'
                     for number, name in enumerate(series))
    return (f"<figure><figcaption><b>{title}</b> {names}</figcaption>"
            + "".join(parts) + "</svg></figure>")
