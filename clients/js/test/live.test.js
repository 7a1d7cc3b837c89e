// The client against the real hub, whose program stands in HUB_PROGRAM.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import WebSocket from 'ws';

import { Headwater } from '../headwater.js';
import { Hub } from './hub.js';

const binary = process.env.HUB_PROGRAM;
const options = { skip: binary ? false : 'no HUB_PROGRAM', timeout: 60_000 };

const connect = (server) => new Headwater(server.url, { WebSocket, backoffMsMin: 5, backoffMsMax: 50 });

/** What was told, in order, and who waits for more of it. */
class Diary {
  entries = [];
  #look = () => {};

  write(entry) {
    this.entries.push(entry);
    this.#look();
  }

  /** Resolves when there are so many entries. */
  has(count) {
    return new Promise((resolve) => {
      this.#look = () => this.entries.length >= count && resolve();
      this.#look();
    });
  }
}

test('a newcomer sees the state, then the changes', options, async () => {
  const server = await Hub.start(binary);
  const hub = connect(server);
  try {
    await hub.publish('slot/9', 'free', { sticky: true });
    const first = await hub.publish('slot/9', { taken: true }, { sticky: true, id: 'once' });
    const again = await hub.publish('slot/9', { taken: true }, { sticky: true, id: 'once' });
    assert.deepEqual(again, { ...first, duplicate: true });
    const told = new Diary();
    hub.subscribe('slot/+', ({ payload }, { isState }) => told.write([isState, payload]), {
      onCurrent: () => told.write('current'),
    });
    await told.has(2);
    await hub.publish('slot/9', new Uint8Array([255]));
    await told.has(3);
    assert.deepEqual(told.entries, [[true, '{"taken":true}'], 'current', [false, new Uint8Array([255])]]);
    await assert.rejects(hub.publish('slot/+', 'x'), { name: 'malformed' });
  } finally {
    hub.close();
    await server.end();
  }
});

test('nothing is lost and nothing comes twice while the hub is killed and started', options, async () => {
  const EVENTS = 300;
  const server = await Hub.start(binary);
  const [producer, watcher] = [connect(server), connect(server)];
  try {
    const told = new Diary();
    const gaps = [];
    const current = new Promise((resolve) => {
      watcher.subscribe('count', ({ payload }) => told.write(payload), { onCurrent: resolve, onGap: (gap) => gaps.push(gap) });
    });
    await current;
    const answers = [];
    for (let number = 0; number < EVENTS; number += 1) {
      answers.push(producer.publish('count', String(number)));
      if (number % 100 === 50) {
        await answers[number - 40];
        await server.kill();
        await server.run();
      }
    }
    const seqs = (await Promise.all(answers)).map(({ seq }) => seq);
    assert.equal(new Set(seqs).size, EVENTS);
    await told.has(EVENTS);
    assert.deepEqual(told.entries, Array.from({ length: EVENTS }, (_, number) => String(number)));
    assert.deepEqual(gaps, []);
  } finally {
    producer.close();
    watcher.close();
    await server.end();
  }
});

test('a client logs in, and one that may not is told so', options, async () => {
  const server = await Hub.start(binary, async (hub) => {
    await writeFile(join(hub.folder, 'rules.toml'), '[roles.own]\npublish = ["{user}/#"]\nsubscribe = ["{user}/#"]\n');
    hub.addUser('zoë', 'a password with ümläuts?>', 'own');
  });
  const login = { user: 'zoë', password: 'a password with ümläuts?>' };
  const hub = new Headwater(server.url, { WebSocket, ...login });
  const nobody = new Headwater(server.url, { WebSocket, backoffMsMin: 5, backoffMsMax: 50 });
  const statuses = [];
  const wrong = new Headwater(server.url, {
    WebSocket, user: 'zoë', password: 'wrong', backoffMsMin: 5, backoffMsMax: 50, onStatus: (status) => statuses.push(status),
  });
  try {
    const told = new Diary();
    hub.subscribe('zoë/+', ({ payload }) => told.write(payload));
    await hub.publish('zoë/1', 'x');
    await told.has(1);
    assert.deepEqual(told.entries, ['x']);
    await assert.rejects(hub.publish('other/1', 'x'), { name: 'not_allowed' });
    await assert.rejects(nobody.publish('zoë/1', 'x'), { name: 'not_allowed' });
    assert.ok(!statuses.includes('open'), 'a wrong password opens nothing');
  } finally {
    for (const client of [hub, nobody, wrong]) client.close();
    await server.end();
  }
});
