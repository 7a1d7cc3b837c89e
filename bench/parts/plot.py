"""A bar chart as SVG, written by hand: medians as bars, the spread of the rounds as a line over each."""

import math
from html import escape

WIDTH, BAR, GAP, LEFT, RIGHT = 860, 20, 8, 250, 130
OURS, LIMIT, PEER = "#0b6e99", "#8a8f98", "#d08c3c"


def bars(title, unit, rows):
    """`rows`: (name, values of the rounds, kind), kind one of ours, limit, peer."""
    rows = [(name, [value for value in values if value], kind) for name, values, kind in rows]
    rows = [row for row in rows if row[1]]
    if not rows:
        return None
    most = max(max(values) for _, values, _ in rows)
    least = min(min(values) for _, values, _ in rows)
    logarithmic = most / max(least, 1e-12) > 50
    low = 10 ** math.floor(math.log10(least)) if logarithmic else 0

    def x(value):
        span = WIDTH - LEFT - RIGHT
        if logarithmic:
            return LEFT + span * math.log10(max(value, low) / low) / max(math.log10(most / low), 1e-12)
        return LEFT + span * value / most

    height = 70 + len(rows) * (BAR + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="16" y="44" fill="#555">{escape(unit)}{", logarithmic" if logarithmic else ""}; '
        "bar: median, line: spread of the rounds</text>",
    ]
    for at, (name, values, kind) in enumerate(rows):
        y = 58 + at * (BAR + GAP)
        middle = sorted(values)[len(values) // 2]
        color = {"ours": OURS, "limit": LIMIT}.get(kind, PEER)
        out.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{max(1, x(middle) - LEFT):.1f}" height="{BAR}" fill="{color}"/>')
        out.append(f'<line x1="{x(min(values)):.1f}" x2="{x(max(values)):.1f}" y1="{y + 10}" y2="{y + 10}" '
                   'stroke="#222" stroke-width="2"/>')
        out.append(f'<text x="{x(max(values)) + 8:.1f}" y="{y + 15}">{number(middle)}</text>')
    out.append("</svg>\n")
    return "\n".join(out)


def number(value):
    """Three digits that count."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.2f} M"
    if size >= 1e4:
        return f"{value / 1e3:.0f} k"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}" if size >= 0.001 else f"{value:.2g}"
