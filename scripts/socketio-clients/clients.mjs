// An unmodified socket.io-client in Node and in Chromium against a hub: websocket, polling and upgrade.
//   node clients.mjs http://127.0.0.1:PORT PAGE_PORT
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

import { chromium } from "playwright-core";
import { io } from "socket.io-client";

import { assert, run, test, within } from "./harness.mjs";

const [origin, pagePort] = process.argv.slice(2);
const ways = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };
const once = (socket, name) => within(new Promise((resolve) => socket.once(name, (...all) => resolve(all))), name);

async function publish(topic, payload) {
  const answer = await fetch(`${origin}/v1/events/${topic}`, { method: "POST", body: JSON.stringify(payload) });
  assert.equal(answer.status, 200);
}

for (const [way, transports] of Object.entries(ways)) {
  test(`Node, ${way}: subscribe, publish, acknowledgements, bytes`, async () => {
    const socket = io(`${origin}/hub`, { transports, forceNew: true });
    await once(socket, "connect");
    if (way === "upgrade" && socket.io.engine.transport.name !== "websocket") await once(socket.io.engine, "upgrade");
    assert.equal(socket.io.engine.transport.name, way === "polling" ? "polling" : "websocket");
    const topic = `clients/node/${way}`;
    const begun = await socket.emitWithAck("subscribe", { filter: topic });
    assert.equal(begun.ok, true);
    for (const size of [1, 1_000, 200_000]) {
      const told = once(socket, "event");
      const receipt = await socket.emitWithAck("publish", { topic, json: { text: "ü".repeat(size) } });
      assert.equal(receipt.ok, true);
      const [event, offset] = await told;
      assert.equal(JSON.parse(event.payload ?? JSON.stringify(event.json)).text.length, size);
      assert.equal(offset, receipt.position);
    }
    const told = once(socket, "event");
    assert.equal((await socket.emitWithAck("publish", { topic, payload: "" }, Buffer.from([0, 255]))).ok, true);
    assert.equal((await told)[0].payload_base64, "AP8=");
    assert.equal((await socket.emitWithAck("subscribe", { filter: "##" })).error, "malformed");
    socket.close();
  });

  test(`Node, ${way}: who loses its connection recovers what it missed`, async () => {
    const socket = io(origin, { transports, forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
    await once(socket, "connect");
    assert.equal(socket.recovered, false);
    const heard = [];
    socket.on("alert", (alert) => heard.push(alert.n));
    const told = once(socket, "alert");
    await publish("alerts/clients/alert", { n: 0 });
    await told;
    socket.io.engine.close();
    await publish("alerts/clients/alert", { n: 1 });
    await once(socket, "connect");
    assert.equal(socket.recovered, true);
    while (heard.length < 2) await once(socket, "alert");
    assert.deepEqual(heard, [0, 1]);
    socket.close();
  });
}

test("Node: an unknown namespace and a wrong token are told", async () => {
  const [unknown] = await once(io(`${origin}/nowhere`, { forceNew: true }), "connect_error");
  assert.equal(unknown.message, "Invalid namespace");
  const [refused] = await once(io(`${origin}/hub`, { auth: { token: "a.b.c" }, forceNew: true }), "connect_error");
  assert.equal(refused.data.error, "not_authenticated");
});

test("Chromium: websocket, polling and upgrade, from a page of an allowed origin", async () => {
  const script = await readFile(new URL("./node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url));
  const site = createServer((request, response) => {
    const isScript = request.url === "/socket.io.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : "<!doctype html><script src=/socket.io.js></script>");
  });
  await new Promise((resolve) => site.listen(Number(pagePort), "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${pagePort}/`);
    for (const [way, transports] of Object.entries(ways)) {
      const seen = await page.evaluate(async ({ origin, transports, way }) => {
        const socket = window.io(`${origin}/hub`, { transports, forceNew: true });
        await new Promise((resolve, reject) => {
          socket.once("connect", resolve);
          socket.once("connect_error", reject);
        });
        if (way === "upgrade" && socket.io.engine.transport.name !== "websocket") {
          await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
        }
        const topic = `clients/chromium/${way}`;
        await socket.emitWithAck("subscribe", { filter: topic });
        const told = new Promise((resolve) => socket.once("event", resolve));
        const receipt = await socket.emitWithAck("publish", { topic, payload: "" }, new Uint8Array([1, 2, 3]));
        const event = await told;
        const name = socket.io.engine.transport.name;
        socket.close();
        return { name, ok: receipt.ok, payload: event.payload ?? event.payload_base64 };
      }, { origin, transports, way });
      assert.equal(seen.ok, true);
      assert.equal(seen.name, way === "polling" ? "polling" : "websocket");
      assert.ok(seen.payload === "\u0001\u0002\u0003" || seen.payload === "AQID", JSON.stringify(seen));
    }
  } finally {
    await browser.close();
    site.close();
  }
});

await run("socket.io-client");
