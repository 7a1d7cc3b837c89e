"""The checker finds what it is there to find."""

import unittest

from verdict import compare, missed_in_a_gap, out_of_order
from watch import Watcher

A1, A2, A3, B1 = ("a", 1), ("a", 2), ("a", 3), ("b", 1)


class Verdict(unittest.TestCase):
    def found(self, wanted, heard, order=True):
        row, findings = compare("x", set(wanted), heard, order)
        return row[3:], [finding.split(", as")[0] for finding in findings]

    def test_all_in_order_is_no_finding(self):
        self.assertEqual(self.found([A1, A2, B1], [A1, B1, A2]), ((0, 0, 0, 0), []))

    def test_what_is_lost_twice_strange_or_late_is_found(self):
        self.assertEqual(self.found([A1, A2], [A1]), ((1, 0, 0, 0), ["x: 1 lost"]))
        self.assertEqual(self.found([A1], [A1, A1]), ((0, 1, 0, 0), ["x: 1 twice"]))
        self.assertEqual(self.found([A1], [A1, B1]), ((0, 0, 1, 0), ["x: 1 never sent"]))
        self.assertEqual(self.found([A1, A2, A3], [A1, A3, A2]), ((0, 0, 0, 1), ["x: 1 out of order"]))

    def test_order_may_be_told_and_let_pass_or_not_looked_for(self):
        self.assertEqual(self.found([A1, A2], [A2, A1], order=False), ((0, 0, 0, 1), []))
        self.assertEqual(self.found([A1, A2], [A2, A1], order=None), ((0, 0, 0, "-"), []))

    def test_what_comes_again_is_not_out_of_order(self):
        self.assertEqual(out_of_order([A1, A2, A1]), [])

    def test_only_what_a_gap_was_told_for_and_a_later_one_stands_for_may_be_missed(self):
        heard = [("a", 1, 10.0), ("a", 3, 20.0), ("b", 1, 10.0)]
        self.assertEqual(missed_in_a_gap(heard, [19.5], [A1, A2, A3, B1]), [A2])
        self.assertEqual(missed_in_a_gap(heard, [19.5], [("b", 2)]), [], "the last of its place")
        self.assertEqual(missed_in_a_gap(heard, [], [A2]), [], "no gap was told")
        self.assertEqual(missed_in_a_gap(heard, [30.0], [A2]), [], "it was told long after")
        self.assertEqual(missed_in_a_gap(heard, [5.0], [A2]), [], "and long before")

    def test_a_watcher_takes_opens_and_tells_of_gaps(self):
        watcher = Watcher("w", [1], True)
        data = '{"payload":"{\\"eventType\\":\\"open\\",\\"location\\":\\"a\\",\\"type\\":\\"n7\\"}"}'
        watcher.take({"id": "5:9", "data": data})
        watcher.take({"id": "5:12", "event": "gap", "data": "{}"})
        self.assertEqual(([heard[:2] for heard in watcher.heard], watcher.last_id, len(watcher.findings)), ([("a", 7)], "5:12", 1))
        watcher.may_gap = True
        watcher.take({"id": "5:13", "event": "gap", "data": "{}"})
        self.assertEqual((len(watcher.findings), len(watcher.gaps)), (1, 1))


unittest.main()
