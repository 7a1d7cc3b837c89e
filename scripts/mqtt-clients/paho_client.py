"""paho-mqtt against a hub: `paho_client.py HOST:PORT`. Says what failed and exits with 1, or prints how much was checked."""

import sys
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = sys.argv[1].rsplit(":", 1)
PATIENCE = 20
checked = 0


def check(what, holds):
    global checked
    if not holds:
        raise SystemExit(f"failed: {what}")
    checked += 1


class Client:
    """A paho client that collects what it gets and can wait for it."""

    def __init__(self, name, version, clean=True, expiry=None, will=None, **options):
        self.version, self.got, self.news = version, [], threading.Condition()
        self.acked, self.subscribed, self.connected, self.gone = set(), {}, None, False
        five = version == paho.MQTTv5
        if not five:
            options["clean_session"] = clean
        self.mqtt = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=version, **options)
        self.mqtt.on_connect = self.on_connect
        self.mqtt.on_message = lambda _c, _u, message: self.tell(lambda: self.got.append(message))
        self.mqtt.on_publish = lambda _c, _u, mid, code, _p: self.tell(lambda: self.acked.add(mid))
        self.mqtt.on_subscribe = lambda _c, _u, mid, codes, _p: self.tell(lambda: self.subscribed.update({mid: codes}))
        self.mqtt.on_disconnect = lambda *_: self.tell(lambda: setattr(self, "gone", True))
        if will:
            self.mqtt.will_set(*will)
        if five:
            properties = Properties(PacketTypes.CONNECT)
            if expiry is not None:
                properties.SessionExpiryInterval = expiry
            self.mqtt.connect(HOST, int(PORT), clean_start=clean, properties=properties)
        else:
            self.mqtt.connect(HOST, int(PORT))
        self.mqtt.loop_start()
        self.wait("CONNACK", lambda: self.connected is not None)

    def on_connect(self, _client, _user, flags, code, _properties):
        self.present = flags.session_present
        self.tell(lambda: setattr(self, "connected", code))

    def tell(self, act):
        with self.news:
            act()
            self.news.notify_all()

    def wait(self, what, holds):
        with self.news:
            if not self.news.wait_for(holds, PATIENCE):
                raise SystemExit(f"never: {what}; got {[m.payload for m in self.got][:20]}")

    def subscribe(self, *args, **options):
        _, mid = self.mqtt.subscribe(*args, **options)
        self.wait("SUBACK", lambda: mid in self.subscribed)
        return self.subscribed[mid]

    def publish(self, topic, payload, qos=0, retain=False, properties=None):
        sent = self.mqtt.publish(topic, payload, qos, retain, properties)
        sent.wait_for_publish(PATIENCE)
        check(f"{topic} was acknowledged", sent.is_published())

    def payloads(self):
        return [message.payload.decode() for message in self.got]

    def expect(self, what, payloads):
        self.wait(what, lambda: len(self.got) >= len(payloads))
        check(f"{what}: {self.payloads()} for {payloads}", self.payloads() == payloads)

    def leave(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def drop(self):
        """Breaks the connection without a goodbye."""
        self.mqtt._sock_close()
        self.mqtt.loop_stop()


def flows(version, name):
    watcher, source = Client(f"{name}-w", version), Client(f"{name}-s", version)
    for qos in (0, 1, 2):
        watcher.subscribe(f"{name}/q{qos}/+", qos)
        watcher.got.clear()
        for number in range(50):
            source.publish(f"{name}/q{qos}/x", f"{qos}-{number}", qos)
        watcher.expect(f"QoS {qos} in order", [f"{qos}-{number}" for number in range(50)])
        check(f"delivered with QoS {qos}", {message.qos for message in watcher.got} == {qos})
    watcher.leave()
    source.leave()


def retained(version, name):
    source = Client(f"{name}-rs", version)
    source.publish(f"{name}/r/1", "one", 1, True)
    source.publish(f"{name}/r/2", "two", 0, True)
    source.publish(f"{name}/r/3", "three", 1, True)
    source.publish(f"{name}/r/3", "", 1, True)
    watcher = Client(f"{name}-rw", version)
    watcher.subscribe(f"{name}/r/#", 1)
    watcher.wait("retained", lambda: len(watcher.got) == 2)
    check("retained, cleared ones not", sorted(watcher.payloads()) == ["one", "two"])
    check("marked as retained", all(message.retain for message in watcher.got))
    source.publish(f"{name}/r/1", "anew", 1, True)
    watcher.wait("the change", lambda: len(watcher.got) == 3)
    check("a change is not marked as retained", not watcher.got[2].retain)
    for number in (1, 2):
        source.publish(f"{name}/r/{number}", "", 1, True)
    watcher.leave()
    source.leave()


def session(version, name):
    options = {"clean": False, "expiry": 3600} if version == paho.MQTTv5 else {"clean": False}
    first = Client(f"{name}-p", version, **options)
    check("no session yet", not first.present)
    first.subscribe([(f"{name}/p1", 1), (f"{name}/p2", 2)])
    first.leave()
    source = Client(f"{name}-ps", version)
    for number in range(300):
        source.publish(f"{name}/p1", f"one {number}", 1)
        source.publish(f"{name}/p2", f"two {number}", 2)
    second = Client(f"{name}-p", version, **options)
    check("the session is there", second.present)
    second.wait("what it missed", lambda: len(second.got) >= 600)
    for kind in ("one", "two"):
        mine = [payload for payload in second.payloads() if payload.startswith(kind)]
        check(f"{kind}: in order, once", mine == [f"{kind} {number}" for number in range(300)])
    second.leave()
    third = Client(f"{name}-p", version, **options)
    source.publish(f"{name}/p1", "last", 1)
    third.expect("nothing twice", ["last"])
    third.leave()
    fourth = Client(f"{name}-p", version, clean=True)
    check("a clean start has none", not fourth.present)
    fourth.leave()
    source.leave()


def wills(version, name):
    watcher = Client(f"{name}-ww", version)
    watcher.subscribe(f"{name}/will", 1)
    dying = Client(f"{name}-wd", version, will=(f"{name}/will", "gone", 1, False))
    dying.drop()
    watcher.expect("the will", ["gone"])
    leaving = Client(f"{name}-wl", version, will=(f"{name}/will", "not said", 1, False))
    leaving.leave()
    watcher.mqtt.publish(f"{name}/will", "after", 1)
    watcher.expect("no will after a goodbye", ["gone", "after"])
    watcher.leave()


def takeover(version, name):
    first = Client(f"{name}-t", version)
    first.mqtt.reconnect_delay_set(60, 60)
    second = Client(f"{name}-t", version)
    first.wait("the older one is ended", lambda: first.gone)
    second.subscribe(f"{name}/t", 1)
    second.publish(f"{name}/t", "here", 1)
    second.expect("the newer one works", ["here"])
    first.mqtt.loop_stop()
    second.leave()


def only_five(name):
    five = paho.MQTTv5
    watcher, source = Client(f"{name}-5w", five), Client(f"{name}-5s", five)
    properties = Properties(PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = 77
    watcher.subscribe(f"{name}/5/#", options=SubscribeOptions(qos=1), properties=properties)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("b", "1"), ("a", "2"), ("b", "3")]
    properties.ContentType, properties.ResponseTopic = "text/plain", "answer/here"
    properties.CorrelationData, properties.PayloadFormatIndicator = b"\x00\xff", 1
    properties.MessageExpiryInterval = 100
    source.publish(f"{name}/5/p", "with properties", 1, False, properties)
    watcher.expect("with properties", ["with properties"])
    got = watcher.got[0].properties
    check("user properties in order", got.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")])
    check("content type, response topic", (got.ContentType, got.ResponseTopic) == ("text/plain", "answer/here"))
    check("correlation data, format", (got.CorrelationData, got.PayloadFormatIndicator) == (b"\x00\xff", 1))
    check("what is left of the expiry", 95 <= got.MessageExpiryInterval <= 100)
    check("the subscription's number", got.SubscriptionIdentifier == [77])
    watcher.subscribe(f"{name}/own", options=SubscribeOptions(qos=1, noLocal=True))
    watcher.got.clear()
    watcher.publish(f"{name}/own", "mine", 1)
    source.publish(f"{name}/own", "yours", 1)
    watcher.expect("not one's own", ["yours"])
    # Shared: each event to one of the two, all of them together.
    one, two = Client(f"{name}-g1", five), Client(f"{name}-g2", five)
    for member in (one, two):
        member.subscribe(f"$share/{name}/{name}/work", 1)
    for number in range(200):
        source.publish(f"{name}/work", str(number), 1)
    deadline = time.monotonic() + PATIENCE
    while len(one.got) + len(two.got) < 200 and time.monotonic() < deadline:
        with one.news:
            one.news.wait(0.1)
    both = sorted(map(int, one.payloads() + two.payloads()))
    check("a shared subscription: each once", both == list(range(200)))
    source.publish(f"{name}/work", "live", 0)
    deadline = time.monotonic() + PATIENCE
    while "live" not in one.payloads() + two.payloads() and time.monotonic() < deadline:
        with one.news:
            one.news.wait(0.1)
    check("QoS 0 reaches a shared subscription", (one.payloads() + two.payloads()).count("live") == 1)
    for client in (watcher, source, one, two):
        client.leave()


for version, name in ((paho.MQTTv311, "v311"), (paho.MQTTv5, "v5")):
    for part in (flows, retained, session, wills, takeover):
        part(version, name)
        print(f"{name}: {part.__name__}", file=sys.stderr)
only_five("five")
print(f"paho-mqtt: {checked} checks passed")
