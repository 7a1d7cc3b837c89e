"""What was acknowledged against what is in the log, in the store, and with each watcher. Knows nothing of how Headwater works."""

import http.client
import json
from collections import Counter


def history(port, filter_text):
    """Every event of some topics, read from an instance: (place, serial), in the order of the log."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", f"/v1/events?filter={filter_text}&from=start&limit=1000000")
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"history: {answer.status} {body[:200]!r}")
    found = []
    for line in body.splitlines():
        said = json.loads(json.loads(line)["payload"])
        if said.get("eventType", "open") == "open":
            found.append((said["location"], int(said["type"][1:])))
    return found


def compare(what, wanted, found, order=True):
    """A row of the table, and what is wrong in it. Without order (`None`) none is looked for; `False` tells it and lets it pass."""
    counts = Counter(found)
    lost = [key for key in wanted if key not in counts]
    twice = [key for key, count in counts.items() if count > 1]
    strange = [key for key in counts if key not in wanted]
    late = [] if order is None else out_of_order(found)
    row = (what, len(wanted), len(found), len(lost), len(twice), len(strange), "-" if order is None else len(late))
    findings = []
    for name, keys in (("lost", lost), ("twice", twice), ("never sent", strange), ("out of order", late if order else [])):
        if keys:
            findings.append(f"{what}: {len(keys)} {name}, as {', '.join(f'{place} n{serial}' for place, serial in sorted(keys)[:3])}")
    return row, findings


def missed_in_a_gap(heard, gaps, wanted):
    """What a watcher didn't hear around a gap that it was told of: what came before is older, and a later one of its place is there, as states are read anew.

    `heard` has (place, serial, moment), `gaps` moments."""
    times = {}
    for place, serial, moment in heard:
        times.setdefault(place, {})[serial] = moment

    def is_within(key):
        place, serial = key
        there = times.get(place, {})
        earlier = [moment for other, moment in there.items() if other < serial]
        later = [moment for other, moment in there.items() if other > serial]
        return later and any(max(earlier, default=gap) <= gap + 1 and min(later) >= gap - 1 for gap in gaps)

    return [key for key in wanted if key[1] not in times.get(key[0], {}) and is_within(key)]


def out_of_order(found):
    """Those that came after a later one of their place (what comes again counts as twice, not here)."""
    latest, late, seen = {}, [], set()
    for place, serial in found:
        if (place, serial) in seen:
            continue
        seen.add((place, serial))
        if serial < latest.get(place, 0):
            late.append((place, serial))
        latest[place] = max(latest.get(place, 0), serial)
    return late
