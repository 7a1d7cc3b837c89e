"""What a row came to, as a page: ratios first, then the figures, then who was measured and how."""

import os
import statistics
import time

from . import plot
from .plot import number


class Table:
    """One load: its columns, and what every contestant came to in each round."""

    def __init__(self, title, columns, headline):
        self.title = title
        self.columns = columns  # (key, heading, whether more is better)
        self.headline = headline  # the key that is drawn
        self.rounds = {}  # name -> list of {key: value}
        self.failed = {}  # name -> why

    def add(self, name, values):
        self.rounds.setdefault(name, []).append(values)

    def values(self, name, key):
        return [values[key] for values in self.rounds.get(name, []) if values.get(key) is not None]

    def median(self, name, key):
        values = self.values(name, key)
        return statistics.median(values) if values else None

    def ratio(self, name, other, key):
        """Median of the ratios of each pair: what ran in the same round is compared."""
        pairs = zip(self.rounds.get(name, []), self.rounds.get(other, []))
        ratios = [a[key] / b[key] for a, b in pairs if a.get(key) is not None and b.get(key)]
        return statistics.median(ratios) if ratios else None

    def lines(self, ours):
        keys = [column for column in self.columns if any(self.values(name, column[0]) for name in self.rounds)]
        head = ["", *(heading for _, heading, _ in keys), *(f"{ours} / it: {heading}" for _, heading, _ in keys[:3])]
        out = [f"### {self.title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for name in self.rounds:
            cells = [name]
            for key, _, _ in keys:
                values = self.values(name, key)
                spread = f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""
                cells.append(number(self.median(name, key)) + spread)
            for key, _, _ in keys[:3]:
                ratio = None if name == ours else self.ratio(ours, name, key)
                cells.append("" if ratio is None else f"{number(ratio)}")
            out.append("| " + " | ".join(cells) + " |")
        out += [f"\n{name} **failed**: {why}" for name, why in self.failed.items()]
        return out + [""]


def write(folder, row, facts, tables, goals, contestants, skipped, notes):
    """Writes `row.md` and a plot for each table; `facts` are lines on the machine and the run."""
    os.makedirs(folder, exist_ok=True)
    out = [f"# {row.title}", "", row.what, ""]
    if goals:
        out += ["| goal | measured | |", "|---|---|---|"]
        out += [f"| {text} | {measured} | {'reached' if good else '**not reached**' if good is False else 'not measured'} |"
                for text, measured, good in goals]
        out.append("")
    for at, table in enumerate(tables):
        if not table.rounds and not table.failed:
            continue
        kinds = {one.name: kind_of(one) for one in contestants}
        heading = next((heading for key, heading, _ in table.columns if key == table.headline), "")
        drawn = plot.bars(f"{row.title}: {table.title}", heading, [
            (name, table.values(name, table.headline), kinds.get(name, "peer")) for name in table.rounds])
        out += table.lines(contestants[0].name)
        if drawn:
            name = f"{row.name}.svg" if at == 0 else f"{row.name}-{at + 1}.svg"
            with open(os.path.join(folder, name), "w") as file:
                file.write(drawn)
            out += [f"![{table.title}]({name})", ""]
    out += ["### Who", "", "| | promise | settings | version |", "|---|---|---|---|"]
    out += [f"| {one.name} | {one.promise} | {one.settings} | {one.version()} |" for one in contestants]
    out += [""] + [f"- skipped: {name}, for want of {what}" for name, what in skipped]
    out += [f"- {note}" for note in [*notes, *facts]]
    out.append(f"- measured on {time.strftime('%Y-%m-%d')}, by `bench/compare {row.name}`")
    path = os.path.join(folder, f"{row.name}.md")
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")
    return path


def kind_of(contestant):
    if contestant.name.startswith("Headwater"):
        return "ours"
    return "limit" if contestant.name in ("limit", "bare write + fdatasync", "bare send loop") else "peer"
