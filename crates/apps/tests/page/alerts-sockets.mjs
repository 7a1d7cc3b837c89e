// Alerts on unmodified socket.io clients, as their users have them; run by scripts/drive-alert-clients.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';

const { HEADWATER } = process.env;
const CLIENTS = Number(process.env.CLIENTS ?? 1_000);
const folder = mkdtempSync(join(tmpdir(), 'drive-alert-clients-'));
const children = new Set();

async function until(what, holds, patience = 60_000) {
  const begun = Date.now();
  while (!(await holds())) {
    assert(Date.now() - begun < patience, `waited in vain for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  return Date.now() - begun;
}

async function hub(http = '127.0.0.1:0') {
  const ready = join(folder, 'ready');
  rmSync(ready, { force: true });
  const args = ['serve', '--data', join(folder, 'data'), '--http', http, '--frames', 'off', '--mqtt', 'off', '--ready-file', ready];
  const child = spawn(HEADWATER, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, HEADWATER_LOGGING_LEVEL: 'warn' } });
  children.add(child);
  child.on('exit', () => children.delete(child));
  await until('the hub', () => existsSync(ready) || child.exitCode !== null);
  assert.equal(child.exitCode, null, 'the hub did not start');
  return { child, http: readFileSync(ready, 'utf8').match(/^listening http (\S+)/m)[1] };
}

async function killed(child) {
  const gone = new Promise(resolve => child.on('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

async function post(http, location, type = 'Flood', duration = 30) {
  const report = { location, type, timestamp: new Date().toISOString(), duration };
  const response = await fetch(`http://${http}/api/alerts`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(report) });
  assert.deepEqual([response.status, await response.json()], [200, 'Event processed successfully']);
  return report;
}

// A client and all that it hears.
function client(http, options = {}) {
  const socket = io(`http://${http}`, { forceNew: true, ...options });
  const heard = [];
  socket.onAny((name, first) => heard.push({ name, ...first }));
  return { socket, heard, alerts: () => heard.filter(event => event.name === 'alert') };
}

const connected = clients => until(`${clients.length} connections`, () => clients.every(({ socket }) => socket.connected));
const end = clients => clients.forEach(({ socket }) => socket.disconnect());

async function contract({ http }) {
  const clients = [client(http, { transports: ['websocket'] }), client(http, { transports: ['polling'] }), client(http)];
  await connected(clients);
  const first = await post(http, 'Haifa', 'Flood', 10);
  const second = await post(http, 'Haifa', 'Fire', 20);
  const endOf = report => new Date(Date.parse(report.timestamp) + report.duration * 60_000).toISOString();
  for (const one of clients) {
    // Within seconds: long before a ping would bring along what nobody has told the poll of.
    await until('three alerts', () => one.alerts().length >= 3, 5_000);
    assert.deepEqual(one.alerts(), [
      { name: 'alert', eventType: 'open', location: 'Haifa', type: 'Flood', sentTime: first.timestamp, duration: endOf(first) },
      { name: 'alert', eventType: 'open', location: 'Haifa', type: 'Fire', sentTime: second.timestamp, duration: endOf(second) },
      { name: 'alert', eventType: 'close', location: 'Haifa', type: 'Mixed Threats', sentTime: first.timestamp, duration: endOf(second) },
    ]);
  }
  // An existing client that comes late hears what happens from then on; one that asks for the state gets it as an open.
  const [plain, late, room] = [client(http), client(http, { auth: { withState: true } }), client(http)];
  await connected([plain, late, room]);
  const state = { name: 'alert', eventType: 'open', location: 'Haifa', type: 'Mixed Threats', sentTime: first.timestamp, duration: endOf(second) };
  await until('the state', () => late.alerts().length >= 1);
  assert.deepEqual(late.alerts(), [state]);
  room.socket.emit('join', 'Haifa');
  await until('the state of the room', () => room.alerts().length >= 1);
  assert.deepEqual(room.alerts(), [state]);
  // An end is no alert.
  await post(http, 'Acre', 'Storm', 0.02);
  await until('the all-clear', () => plain.heard.some(event => event.name === 'all-clear'));
  assert.deepEqual(plain.heard.map(({ name, eventType, location }) => [name, eventType, location]), [['alert', 'open', 'Acre'], ['all-clear', 'all-clear', 'Acre']]);
  end([...clients, plain, late, room]);
}

async function restart(first) {
  const { http } = first;
  const clients = Array.from({ length: CLIENTS }, () => client(http, { transports: ['websocket'], reconnectionDelay: 200, reconnectionDelayMax: 1_000, timeout: 10_000 }));
  await connected(clients);
  const places = [];
  const tell = async place => { places.push(place); await post(http, place); };
  for (let number = 0; number < 5; number++) await tell(`before ${number}`);
  await until('all alerts at all clients', () => clients.every(one => one.alerts().length >= 5));
  const gone = killed(first.child);
  await gone;
  const second = await hub(http);
  const back = Date.now();
  // What is told while most of them aren't there yet.
  for (let number = 0; number < 5; number++) await tell(`after ${number}`);
  await connected(clients);
  console.log(`alerts: ${CLIENTS} clients were back ${Date.now() - back} ms after the hub was`);
  await until('all alerts at all clients', () => clients.every(one => one.alerts().length >= places.length));
  await tell('last');
  await until('the last alert at all clients', () => clients.every(one => one.alerts().some(alert => alert.location === 'last')));
  for (const one of clients) assert.deepEqual(one.alerts().map(alert => alert.location), places, 'each once, in order, nothing missed');
  console.log(`alerts: ${CLIENTS} clients each heard ${places.length} alerts once over a kill`);
  end(clients);
}

let code = 1;
try {
  const first = await hub();
  await contract(first);
  await restart(first);
  code = 0;
} catch (error) {
  console.error(error);
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
