// How long it takes from a post to the socket of the last of socket.io clients, and how many posts are taken a second.
// `node drive.js POST_URL SOCKET_URL CLIENTS POSTS`: posts one after the other, timed from when they are sent and from when they
// are answered (0 where the alert was there first); then `SOURCES` of them at once for ten seconds. The same driver for Headwater and for the pipeline of alerts.js.
const { io } = require('socket.io-client');
const http = require('node:http');

const [, , postUrl, socketUrl, clients, posts] = process.argv;
const SOURCES = Number(process.env.SOURCES ?? 256), SECONDS = Number(process.env.SECONDS ?? 10);
const agent = new http.Agent({ keepAlive: true, maxSockets: Math.max(1, SOURCES) });

function post(location) {
  const body = JSON.stringify({ location, type: 'Flood', timestamp: new Date().toISOString(), duration: 5 });
  return new Promise((resolve, reject) => {
    const request = http.request(postUrl, { method: 'POST', agent, headers: { 'Content-Type': 'application/json' } }, response => {
      response.resume().on('end', () => response.statusCode === 200 ? resolve(performance.now()) : reject(new Error(`HTTP ${response.statusCode}`)));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];

(async () => {
  const waiting = new Map();
  const all = await Promise.all(Array.from({ length: Number(clients) }, () => new Promise((resolve, reject) => {
    const socket = io(socketUrl, { transports: ['websocket'], forceNew: true });
    socket.on('connect', () => resolve(socket));
    socket.on('connect_error', reject);
    socket.on('alert', alert => {
      const wanted = waiting.get(alert.location);
      if (wanted && --wanted.left === 0) wanted.resolve(performance.now());
    });
  })));
  const fromSent = [], fromAnswered = [];
  for (let number = 0; number < Number(posts); number++) {
    const location = `place ${process.pid}-${number}`;
    const told = new Promise(resolve => waiting.set(location, { left: all.length, resolve }));
    const sent = performance.now();
    const [answered, last] = await Promise.all([post(location), told]);
    fromSent.push(last - sent);
    fromAnswered.push(Math.max(0, last - answered));
    waiting.delete(location);
  }
  for (const times of [fromSent, fromAnswered]) times.sort((a, b) => a - b);
  let taken = 0;
  const end = performance.now() + SECONDS * 1_000;
  await Promise.all(Array.from({ length: SOURCES }, async (_, source) => {
    for (let number = 0; performance.now() < end; number++, taken++) await post(`source ${process.pid}-${source}-${number}`);
  }));
  const said = times => ({ p50_ms: at(times, 0.5), p99_ms: at(times, 0.99) });
  console.log(JSON.stringify({ clients: all.length, posts: fromSent.length, from_sent: said(fromSent), from_answered: said(fromAnswered), taken_per_s: Math.round(taken / SECONDS) }));
  process.exit(0);
})();
