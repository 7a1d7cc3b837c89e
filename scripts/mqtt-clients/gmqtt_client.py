"""gmqtt (asyncio, MQTT 5.0) against a hub: `gmqtt_client.py HOST:PORT`. Exits with 1 and a word when something is not as it should be."""

import asyncio
import sys
import uuid

import gmqtt

HOST, PORT = sys.argv[1].rsplit(":", 1)


async def main():
    name = f"gmqtt-{uuid.uuid4()}"
    got, done = [], asyncio.Event()
    watcher = gmqtt.Client(f"{name}-w", clean_session=True)
    subscribed = asyncio.Event()

    async def on_message(_client, topic, payload, qos, properties):
        got.append((topic, payload.decode(), qos, dict(properties.get("user_property", []))))
        if len(got) == 300:
            done.set()
        return 0

    watcher.on_message = on_message
    watcher.on_subscribe = lambda *_args, **_kw: subscribed.set()
    await watcher.connect(HOST, int(PORT), version=5)
    watcher.subscribe(f"{name}/#", qos=2)
    await asyncio.wait_for(subscribed.wait(), 20)
    source = gmqtt.Client(f"{name}-s", clean_session=True)
    await source.connect(HOST, int(PORT), version=5)
    for number in range(300):
        source.publish(f"{name}/{number % 3}", str(number), qos=number % 3, user_property=("number", str(number)))
    await asyncio.wait_for(done.wait(), 20)
    for kind in range(3):
        mine = [(payload, qos, users) for topic, payload, qos, users in got if topic == f"{name}/{kind}"]
        want = [(str(number), kind, {"number": str(number)}) for number in range(kind, 300, 3)]
        if mine != want:
            sys.exit(f"failed: QoS {kind}: {mine[:5]} for {want[:5]}")
    await source.disconnect()
    await watcher.disconnect()
    print("gmqtt: 300 deliveries in order, each with its QoS and user property")


asyncio.run(main())
