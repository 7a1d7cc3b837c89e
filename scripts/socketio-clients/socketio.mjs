// What the official cases for Socket.IO version 5 look at, against `socketio_echo PORT`.
//   node socketio.mjs http://127.0.0.1:PORT
import { Wire, assert, run, test } from "./harness.mjs";

const [origin] = process.argv.slice(2);

async function engine() {
  const wire = new Wire(`${origin.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  assert.equal((await wire.take())[0], "0");
  return wire;
}

async function connected(namespace = "") {
  const wire = await engine();
  wire.send(`40${namespace}`);
  assert.ok((await wire.packet()).startsWith("40"));
  assert.ok((await wire.packet()).startsWith("42"));
  return wire;
}

test("a client comes into a namespace, with what it shows", async () => {
  for (const [said, prefix, auth] of [
    ["40", "40", '42["auth",{}]'],
    ['40{"token":"123"}', "40", null],
    ["40/custom,", "40/custom,", '42/custom,["auth",{}]'],
    ['40/custom,{"any":["abc"]}', "40/custom,", '42/custom,["auth",{"any":["abc"]}]'],
  ]) {
    const wire = await engine();
    wire.send(said);
    const answer = await wire.packet();
    assert.ok(answer.startsWith(prefix), answer);
    const shown = JSON.parse(answer.slice(prefix.length));
    assert.deepEqual(Object.keys(shown), ["sid"]);
    assert.equal(await wire.packet(), auth ?? '42["auth",{"token":"123"}]');
    wire.socket.close();
  }
});

test("an unknown namespace is refused, and the connection stays", async () => {
  const wire = await engine();
  wire.send("40/random");
  assert.equal(await wire.packet(), '44/random,{"message":"Invalid namespace"}');
  wire.send("40");
  assert.ok((await wire.packet()).startsWith("40{"));
  wire.socket.close();
});

test("what is no packet ends the connection, before and after", async () => {
  for (const bad of ["4abc", "42[\"message\"]", "41/custom", "40[]", "49"]) {
    const wire = await engine();
    wire.send(bad);
    await wire.isClosed();
  }
  for (const bad of ["4abc", "42{}", '42abc["message-with-ack",1]', "42[]", '42["connect"]', "43[1]", "44{}", "40",
    '511-["message"]', '451-["message",{"_placeholder":true,"num":1}]', '4511-["message"]']) {
    const wire = await connected();
    wire.send(bad);
    await wire.isClosed();
  }
  const alone = await connected();
  alone.send(Uint8Array.from([1]));
  await alone.isClosed();
  const between = await connected();
  between.send('451-["message",{"_placeholder":true,"num":0}]');
  between.send('42["message"]');
  await between.isClosed();
});

test("whoever comes into no namespace is sent away", async () => {
  const wire = await engine();
  for (;;) {
    const data = await Promise.race([wire.take().catch(() => null), wire.isClosed().then(() => null)]);
    if (data === null) break;
    wire.send("3");
  }
});

test("whoever leaves a namespace is still connected", async () => {
  const wire = await connected();
  wire.send("41");
  assert.equal(await wire.take(), "2");
  const two = await connected();
  two.send("40/custom");
  assert.ok((await two.packet()).startsWith("40/custom,"));
  assert.ok((await two.packet()).startsWith("42/custom,"));
  two.send("41/custom");
  two.send('42["message","message to main namespace"]');
  assert.equal(await two.packet(), '42["message-back","message to main namespace"]');
  two.socket.close();
});

test("events are echoed and acknowledged, with their attachments", async () => {
  const wire = await connected();
  wire.send('42["message",1,"2",{"3":[true]}]');
  assert.equal(await wire.packet(), '42["message-back",1,"2",{"3":[true]}]');
  wire.send('42["message"]');
  assert.equal(await wire.packet(), '42["message-back"]');
  wire.send('42456["message-with-ack",1,"2",{"3":[false]}]');
  assert.equal(await wire.packet(), '43456[1,"2",{"3":[false]}]');
  const places = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
  for (const [said, answer] of [
    [`452-["message",${places}]`, `452-["message-back",${places}]`],
    [`452-789["message-with-ack",${places}]`, `462-789[${places}]`],
  ]) {
    wire.send(said);
    wire.send(Uint8Array.from([1, 2, 3]));
    wire.send(Uint8Array.from([4, 5, 6]));
    assert.equal(await wire.packet(), answer);
    assert.deepEqual(new Uint8Array(await wire.packet()), Uint8Array.from([1, 2, 3]));
    assert.deepEqual(new Uint8Array(await wire.packet()), Uint8Array.from([4, 5, 6]));
  }
  wire.socket.close();
});

await run("Socket.IO");
