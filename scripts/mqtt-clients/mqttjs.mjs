// mqtt.js in Node and in Chromium, over WebSocket and TCP: `mqttjs.mjs WS_URL TCP_URL PAGE_DIR PAGE_PORT`.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import mqtt from 'mqtt';
import { chromium } from 'playwright-core';

const [wsUrl, tcpUrl, port] = process.argv.slice(2);

// The same talk, wherever it runs: subscribe, publish at each QoS, get all of it in order.
const talk = async (mqtt, url, version, name) => {
  const client = await mqtt.connectAsync(url, { protocolVersion: version, reconnectPeriod: 0, connectTimeout: 20_000 });
  const got = [];
  const whole = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`${name}: ${got.length} of 60 came`)), 20_000);
    client.on('message', (topic, payload) => {
      got.push(`${topic} ${payload}`);
      if (got.length === 60) resolve();
    });
    client.on('error', reject);
  });
  await client.subscribeAsync(`${name}/#`, { qos: 2 });
  for (let number = 0; number < 60; number++) {
    await client.publishAsync(`${name}/${number % 3}`, `${number} ${'x'.repeat(number * 97)}`, { qos: number % 3 });
  }
  await whole;
  for (const kind of [0, 1, 2]) {
    const mine = got.filter((line) => line.startsWith(`${name}/${kind} `)).map((line) => Number(line.split(' ')[1]));
    const want = Array.from({ length: 20 }, (_, at) => at * 3 + kind);
    if (mine.join() !== want.join()) throw new Error(`${name}: QoS ${kind}: ${mine}`);
  }
  await client.endAsync();
  return got.length;
};

for (const [kind, url] of [['ws', wsUrl], ['tcp', tcpUrl]]) {
  for (const version of [4, 5]) await talk(mqtt, url, version, `node-${kind}-${version}`);
}
console.log('mqtt.js in Node: TCP and WebSocket, 3.1.1 and 5.0');

const bundle = readFileSync(new URL('./node_modules/mqtt/dist/mqtt.min.js', import.meta.url));
const page = createServer((request, response) => {
  const isBundle = request.url === '/mqtt.js';
  response.setHeader('content-type', isBundle ? 'text/javascript' : 'text/html');
  response.end(isBundle ? bundle : '<!doctype html><title>mqtt</title><script src="/mqtt.js"></script>');
});
await new Promise((resolve) => page.listen(Number(port), '127.0.0.1', resolve));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
});
try {
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${port}/`);
  for (const version of [4, 5]) {
    await tab.evaluate(`(${talk})(mqtt, ${JSON.stringify(wsUrl)}, ${version}, 'chromium-${version}')`);
  }
  // A page of a site that was not allowed gets no connection: the hub looks at the origin.
  const refused = await tab.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket(${JSON.stringify(wsUrl)}, 'headwater.v1');
    socket.onopen = () => resolve(false);
    socket.onerror = () => resolve(true);
  })`);
  if (!refused) throw new Error('a WebSocket at /mqtt without the subprotocol mqtt was taken');
} finally {
  await browser.close();
  page.close();
}
console.log('mqtt.js in Chromium: WebSocket, 3.1.1 and 5.0');
