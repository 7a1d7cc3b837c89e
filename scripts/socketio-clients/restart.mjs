// Unmodified clients while their hub is killed and comes back: all resume, nothing is missed, nothing comes twice.
//   node restart.mjs CLIENTS HEADWATER DATA
import { spawn } from "node:child_process";
import { once as happens } from "node:events";
import { createServer } from "node:net";

import { io } from "socket.io-client";

import { assert, pause, within } from "./harness.mjs";

const [count, headwater, data] = process.argv.slice(2);
const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const origin = `http://127.0.0.1:${port}`;

async function start() {
  const hub = spawn(headwater, ["serve", "--data", data, "--http", `127.0.0.1:${port}`, "--mqtt", "off", "--frames", "off"], {
    stdio: "ignore",
  });
  for (;;) {
    const ready = await fetch(`${origin}/readyz`).catch(() => null);
    if (ready?.ok) return hub;
    await pause(20);
  }
}

async function publish(n) {
  const answer = await fetch(`${origin}/v1/events/alerts/restart/alert`, { method: "POST", body: JSON.stringify({ n }) });
  assert.equal(answer.status, 200);
}

let hub = await within(start(), "the hub", 30_000);
const clients = Array.from({ length: Number(count) }, () => {
  const socket = io(origin, { forceNew: true, transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 500 });
  const client = { socket, heard: [], recovered: 0 };
  socket.on("connect", () => (client.recovered += socket.recovered ? 1 : 0));
  socket.on("alert", ({ n }) => client.heard.push(n));
  return client;
});
const all = (is, what) =>
  within((async () => {
    while (!clients.every(is)) await pause(20);
  })(), what, 60_000);
try {
  await all(({ socket }) => socket.connected, "all clients");
  let n = 0;
  for (let kill = 0; kill < 3; kill += 1) {
    for (let turn = 0; turn < 5; turn += 1) await publish(n++);
    await all(({ heard }) => heard.length === n, "the first events");
    const ended = happens(hub, "exit");
    hub.kill("SIGKILL");
    await ended;
    hub = await within(start(), "the hub again", 30_000);
    for (let turn = 0; turn < 5; turn += 1) await publish(n++);
    await all(({ heard }) => heard.length >= n, "what was missed");
  }
  const expected = Array.from({ length: n }, (_, number) => number);
  for (const { heard, recovered } of clients) {
    assert.deepEqual(heard, expected);
    assert.equal(recovered, 3);
  }
  console.log(`restarts: ${clients.length} clients recovered three times, ${n} events each, none twice`);
} finally {
  for (const { socket } of clients) socket.close();
  hub.kill("SIGTERM");
}
process.exit(0);
