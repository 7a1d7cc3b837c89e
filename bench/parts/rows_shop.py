"""The shop: orders end to end."""

import urllib.request

from .contestants_shop import BareRoute, HeadwaterShop, HeadwaterShopOnPostgres, UsualShop
from .report import Table
from .rows import SPEED, Row, at_least, no_more_than, speed

COLUMNS = [("per_second", "orders/s", True), ("ack99", "p99 ms to 201", False), ("p50", "p50 ms to decided", False),
           ("p99", "p99 ms to decided", False), ("cpu", "server CPU µs each", False)]

COUNTED = [("commits", "commits/s (pg_stat_database)", False), ("orders", "orders a commit", True), ("syncs", "WAL syncs/s (pg_stat_wal)", False),
           ("syncing", "% of the time in a sync", False)]


def values(report):
    cost, orders = report["cost"], max(report["orders"], 1)
    cpu = cost.get("server_cpu_s")
    return {"per_second": report["per_second"], "ack99": report["acknowledged_ms"]["p99"], "p50": report["decided_ms"]["p50"],
            "p99": report["decided_ms"]["p99"], "cpu": None if cpu is None else cpu * 1e6 / orders}


class Shop(Row):
    name, title = "shop", "Orders end to end"
    what = ("64 clients, each on a connection of its own, each with its next order when the one before is decided; two products "
            "an order. Decided is when the client has heard of it: by the completion notice, at the usual shop by asking every 20 ms.")

    def contestants(self):
        return [HeadwaterShop(), HeadwaterShopOnPostgres(), UsualShop()]

    def tables(self):
        return [Table("64 clients", COLUMNS, "per_second"), Table("what PostgreSQL counts meanwhile", COUNTED, "commits")]

    def measure(self, one, tables, run):
        with run.serve(one):
            report = one.offer(["--clients", "64", "--duration", run.seconds(20), "--warmup", run.seconds(3, 1)])
            tables[0].add(one.name, values(report))
            if "postgres" in report:
                counted = report["postgres"]
                tables[1].add(one.name, {**counted, "orders": report["per_second"] / counted["commits"]})

    def goals(self, tables):
        rate = tables[0].median("Headwater", "per_second")
        return [("orders/s >= 5,000 on two cores", "-" if rate is None else f"{rate:,.0f}", None if rate is None else rate >= 5_000),
                at_least(tables[0], "Python, Mosquitto, SQLite", "per_second", 50),
                at_least(tables[0], "Headwater", "per_second", 0.3, ours="Headwater, 3 processes on PostgreSQL"),
                no_more_than(tables[0], "p99", 20, "p99 to the completion notice <= 20 ms")]


class ShopNotice(Row):
    name, title = "shop-notice", "From the order to its completion notice"
    what = "One client, whose next order follows when the one before is decided: what a customer waits for on a quiet shop."

    def contestants(self):
        return [HeadwaterShop()]

    def tables(self):
        return [Table("1 client", COLUMNS, "p50")]

    def measure(self, one, tables, run):
        with run.serve(one):
            tables[0].add(one.name, values(one.offer(["--clients", "1", "--duration", run.seconds(10), "--warmup", run.seconds(2, 1)])))


class Catalogue(Row):
    name, title = "shop-catalogue", "Reads of the catalogue"
    what = ("64 clients that ask for `GET /shop/inventory` again and again, each on a connection that stays open; beside it a bare "
            "axum route that answers with the same bytes.")

    def contestants(self):
        return [HeadwaterShop(), BareRoute()]

    def tables(self):
        return [Table("64 clients", SPEED, "per_second")]

    def measure(self, one, tables, run):
        if isinstance(one, BareRoute):
            one.page = self.page
        with run.serve(one):
            if isinstance(one, HeadwaterShop):
                with urllib.request.urlopen(f"http://{one.addr}/shop/inventory", timeout=10) as answer:
                    self.page = answer.read()
            report = one.run(["get", "--path", "/shop/inventory", "--addr", one.addr, "--server-pid", str(one.pid), "--connections", "64",
                              "--in-flight", "1", "--duration", run.seconds(8), "--warmup", run.seconds(2, 1)])
            tables[0].add(one.name, speed(report))

    def goals(self, tables):
        return [at_least(tables[0], "bare axum route", "per_second", 0.8)]


def all_shop():
    return [Shop(), ShopNotice(), Catalogue()]
