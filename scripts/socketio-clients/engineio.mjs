// What the official cases for Engine.IO version 4 look at, against `socketio_echo PORT --engine-io`.
//   node engineio.mjs http://127.0.0.1:PORT [PATH]     PATH /engine.io/ by default; with another the echo isn't asked for
import { Wire, assert, pause, run, test } from "./harness.mjs";

const [origin, path = "/engine.io/"] = process.argv.slice(2);
const isEcho = path === "/engine.io/";
const [INTERVAL, TIMEOUT, PAYLOAD_MAX] = [300, 200, 1_000_000];
const http = (query, more) => fetch(`${origin}${path}?${query}`, more);
const poll = (sid, more) => http(`EIO=4&transport=polling&sid=${sid}`, more);
const post = (sid, body) => poll(sid, { method: "POST", body });
const ws = (query) => new Wire(`${origin.replace("http", "ws")}${path}?${query}`);
const wsNew = () => ws("EIO=4&transport=websocket");
const wsFor = (sid) => ws(`EIO=4&transport=websocket&sid=${sid}`);

async function session() {
  const answer = await http("EIO=4&transport=polling");
  return JSON.parse((await answer.text()).slice(1)).sid;
}

async function isGone(sid) {
  assert.equal((await poll(sid)).status, 400);
}

function isHandshake(text, upgrades) {
  assert.equal(text[0], "0");
  const { sid, ...rest } = JSON.parse(text.slice(1));
  assert.equal(typeof sid, "string");
  assert.deepEqual(rest, { upgrades, pingInterval: INTERVAL, pingTimeout: TIMEOUT, maxPayload: PAYLOAD_MAX });
}

test("a session opens over HTTP, with and without the slash", async () => {
  for (const place of [path, path.slice(0, -1)]) {
    const answer = await fetch(`${origin}${place}?EIO=4&transport=polling`);
    assert.equal(answer.status, 200);
    isHandshake(await answer.text(), ["websocket"]);
  }
});

test("another version, transport or method opens none", async () => {
  for (const query of ["transport=polling", "EIO=abc&transport=polling", "EIO=3&transport=polling", "EIO=4", "EIO=4&transport=abc"]) {
    assert.equal((await http(query)).status, 400, query);
  }
  for (const method of ["POST", "PUT", "DELETE"]) {
    assert.equal((await http("EIO=4&transport=polling", { method })).status, 400, method);
  }
  for (const query of ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]) {
    await ws(query).isClosed();
  }
});

test("an unknown session is refused on both ways", async () => {
  assert.equal((await poll("nobody")).status, 400);
  assert.equal((await post("nobody", "4x")).status, 400);
  await wsFor("nobody").isClosed();
});

test("a session opens over a WebSocket", async () => {
  const wire = wsNew();
  isHandshake(await wire.take(), []);
  wire.socket.close();
});

if (isEcho) {
  test("payloads are echoed: one packet, several, and bytes", async () => {
    for (const body of ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA=="]) {
      const sid = await session();
      const posted = await post(sid, body);
      assert.deepEqual([posted.status, await posted.text()], [200, "ok"]);
      const polled = await poll(sid);
      assert.deepEqual([polled.status, await polled.text()], [200, body]);
    }
  });

  test("the longest payload is echoed, and a longer one ends the session", async () => {
    const sid = await session();
    const longest = `4${"x".repeat(PAYLOAD_MAX - 1)}`;
    assert.equal((await post(sid, longest)).status, 200);
    assert.equal(await (await poll(sid)).text(), longest);
    const other = await session();
    assert.equal((await post(other, `${longest}x`)).status, 413);
    await isGone(other);
  });

  test("texts and bytes are echoed over a WebSocket", async () => {
    const wire = wsNew();
    await wire.take();
    wire.send("4hello");
    assert.equal(await wire.take(), "4hello");
    wire.send(Uint8Array.from([1, 2, 3, 4]));
    assert.deepEqual(new Uint8Array(await wire.take()), Uint8Array.from([1, 2, 3, 4]));
    wire.socket.close();
  });
}

test("what is no packet ends the session", async () => {
  for (const body of ["abc", "", "4a\x1e", "b!", "2", "0{}", "6:4hello"]) {
    const sid = await session();
    assert.equal((await post(sid, body)).status, 400, body);
    await isGone(sid);
  }
  for (const text of ["abc", "", "2", "0{}"]) {
    const wire = wsNew();
    await wire.take();
    wire.send(text);
    await wire.isClosed();
  }
});

test("two polls at once end the session", async () => {
  const sid = await session();
  const [first, second] = await Promise.all([poll(sid), pause(5).then(() => http(`EIO=4&transport=polling&sid=${sid}&t=burst`))]);
  assert.deepEqual([first.status, await first.text(), second.status], [200, "1", 400]);
  await isGone(sid);
});

test("a poll that is cancelled ends the session", async () => {
  const sid = await session();
  const controller = new AbortController();
  const cancelled = poll(sid, { signal: controller.signal }).catch(() => {});
  await pause(5);
  controller.abort();
  await cancelled;
  await pause(20);
  // Not by this very post, which isn't a second poll.
  assert.equal((await post(sid, "3")).status, 400);
});

test("pings are answered over HTTP", async () => {
  const sid = await session();
  for (let turn = 0; turn < 3; turn += 1) {
    const begun = performance.now();
    const polled = await poll(sid);
    assert.deepEqual([polled.status, await polled.text()], [200, "2"]);
    assert.ok(performance.now() - begun > INTERVAL * 0.8, "the first ping comes only after the interval");
    assert.equal((await post(sid, "3")).status, 200);
  }
});

test("pings are answered over a WebSocket", async () => {
  const wire = wsNew();
  await wire.take();
  for (let turn = 0; turn < 3; turn += 1) {
    assert.equal(await wire.take(), "2");
    wire.send("3");
  }
  wire.socket.close();
});

test("whoever doesn't answer pings is gone", async () => {
  const sid = await session();
  const wire = wsNew();
  await pause(INTERVAL + TIMEOUT);
  await isGone(sid);
  await wire.isClosed();
});

test("a client's close ends the poll and the session", async () => {
  const sid = await session();
  const [polled] = await Promise.all([poll(sid), post(sid, "1")]);
  assert.deepEqual([polled.status, await polled.text()], [200, "6"]);
  await isGone(sid);
  const wire = wsNew();
  await wire.take();
  wire.send("1");
  await wire.isClosed();
});

test("a session goes over to a WebSocket", async () => {
  const sid = await session();
  const wire = wsFor(sid);
  await wire.opened;
  wire.send("2probe");
  assert.equal(await wire.take(), "3probe");
  const polled = await poll(sid);
  assert.deepEqual([polled.status, await polled.text()], [200, "6"]);
  wire.send("5");
  if (isEcho) {
    wire.send("4hello");
    assert.equal(await wire.packet(), "4hello");
  }
  wire.socket.close();
});

test("what no poll has fetched comes over the WebSocket", async () => {
  if (!isEcho) return;
  const sid = await session();
  const wire = wsFor(sid);
  await wire.opened;
  wire.send("2probe");
  assert.equal(await wire.take(), "3probe");
  assert.equal((await post(sid, "4before\x1ebAQI=")).status, 200);
  wire.send("5");
  assert.equal(await wire.packet(), "4before");
  assert.deepEqual(new Uint8Array(await wire.packet()), Uint8Array.from([1, 2]));
  wire.socket.close();
});

test("after it there's neither a poll nor a second WebSocket", async () => {
  const sid = await session();
  const wire = wsFor(sid);
  await wire.opened;
  wire.send("2probe");
  wire.send("5");
  assert.equal(await wire.take(), "3probe");
  await isGone(sid);
  const second = wsFor(sid);
  await second.isClosed();
  if (isEcho) {
    wire.send("4hello");
    assert.equal(await wire.packet(), "4hello");
  }
  wire.socket.close();
});

test("a probe that breaks off leaves the session on HTTP", async () => {
  const sid = await session();
  const wire = wsFor(sid);
  await wire.opened;
  wire.send("4not a probe");
  await wire.isClosed();
  assert.equal((await post(sid, "3")).status, 200);
  assert.equal(await (await poll(sid)).text(), "2");
});

await run("Engine.IO");
