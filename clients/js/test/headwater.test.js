// What the client promises, against a hub that says what the test wants.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, test } from 'node:test';
import WebSocket from 'ws';

import { Headwater, HeadwaterError } from '../headwater.js';
import { FakeHub, event } from './fake.js';

let fake;
let hub;
const connect = (options = {}) => {
  hub = new Headwater(fake.url, { WebSocket, backoffMsMin: 1, backoffMsMax: 4, ...options });
  return hub;
};

/** Collects what a subscription tells, in order. */
const diary = () => {
  const told = [];
  return {
    told,
    onEvent: (event, about) => told.push(about.isState ? ['state', event.payload] : ['event', event.payload]),
    options: {
      onBegun: ({ recovered }) => told.push(['begun', recovered]),
      onCurrent: (position) => told.push(['current', position]),
      onGap: ({ after, upTo }) => told.push(['gap', after, upTo]),
      onError: (error) => told.push(['error', error.name]),
    },
  };
};

/** Waits until all that was sent to the client has been heard: it answers in order. */
const settled = async (client) => {
  const heard = hub.publish('settle', 'x');
  const { ref, id } = await client.next();
  client.say({ op: 'ack', ref, id, epoch: 7, seq: 99, duplicate: false });
  await heard;
};

beforeEach(async () => { fake = await FakeHub.start(); });
afterEach(async () => { hub?.close(); await fake.stop(); });

test('a subscription tells the states, then the changes, and goes on where it stopped', async () => {
  const { told, onEvent, options } = diary();
  connect().subscribe('a', onEvent, options);
  let client = await fake.client();
  const first = await client.next();
  assert.deepEqual({ ...first, ref: 0 }, { op: 'subscribe', ref: 0, filter: 'a' });
  client.say({ op: 'subscribed', ref: first.ref, filter: 'a', position: '7:4' });
  client.say({ op: 'event', filter: 'a', state: true, event: event(2, 'free') });
  client.say({ op: 'current', filter: 'a', position: '7:4' });
  client.say({ op: 'event', filter: 'a', position: '7:5', event: event(5, 'taken') });
  await settled(client);
  client.drop();
  client = await fake.client();
  const second = await client.next();
  assert.equal(second.from, '7:5');
  assert.equal(second.sticky, undefined);
  client.say({ op: 'subscribed', ref: second.ref, filter: 'a', position: '7:5' });
  client.say({ op: 'event', filter: 'a', position: '7:6', event: event(6, 'free') });
  await settled(client);
  assert.deepEqual(told, [
    ['begun', true], ['state', 'free'], ['current', '7:4'], ['event', 'taken'], ['begun', true], ['event', 'free'],
  ]);
});

test('states that broke off begin anew, and that is told', async () => {
  const { told, onEvent, options } = diary();
  connect().subscribe('a', onEvent, options);
  let client = await fake.client();
  const first = await client.next();
  client.say({ op: 'subscribed', ref: first.ref, filter: 'a', position: '7:4' });
  client.say({ op: 'event', filter: 'a', state: true, event: event(2, 'one of many') });
  await settled(client);
  client.drop();
  client = await fake.client();
  const second = await client.next();
  assert.equal(second.from, undefined);
  client.say({ op: 'subscribed', ref: second.ref, filter: 'a', position: '7:9' });
  await settled(client);
  assert.deepEqual(told.slice(2), [['gap', undefined, undefined], ['begun', false]]);
});

test('what the log no longer has is told as a gap', async () => {
  const { told, onEvent, options } = diary();
  connect().subscribe('a', onEvent, { ...options, from: '7:3' });
  const client = await fake.client();
  const first = await client.next();
  assert.equal(first.from, '7:3');
  client.say({ op: 'error', ref: first.ref, error: 'gone', message: 'gone', oldest: '7:8' });
  const second = await client.next();
  assert.equal(second.from, '7:8');
  client.say({ op: 'subscribed', ref: second.ref, filter: 'a', position: '7:8' });
  client.say({ op: 'gap', filter: 'a', after: '7:8', up_to: '7:10' });
  await settled(client);
  assert.deepEqual(told, [['gap', '7:3', '7:8'], ['begun', false], ['gap', '7:8', '7:10']]);
});

test('another log is begun from its states', async () => {
  const { told, onEvent, options } = diary();
  connect().subscribe('a', onEvent, { ...options, from: '6:3' });
  const client = await fake.client();
  const first = await client.next();
  client.say({ op: 'error', ref: first.ref, error: 'no_such_position', message: 'other log', head: '7:8' });
  const second = await client.next();
  assert.equal(second.from, undefined);
  client.say({ op: 'subscribed', ref: second.ref, filter: 'a', position: '7:8' });
  await settled(client);
  assert.deepEqual(told, [['gap', '6:3', undefined], ['begun', false]]);
});

test('a refused subscription ends and says why', async () => {
  const { told, onEvent, options } = diary();
  connect().subscribe('a', onEvent, options);
  const client = await fake.client();
  const { ref } = await client.next();
  client.say({ op: 'error', ref, error: 'not_allowed', message: 'not allowed' });
  await settled(client);
  assert.deepEqual(told, [['error', 'not_allowed']]);
});

test('a publish that was not answered is sent again under the same id', async () => {
  const receipt = connect().publish('a', 'x', { sticky: true });
  let client = await fake.client();
  const first = await client.next();
  client.drop();
  client = await fake.client();
  const second = await client.next();
  assert.deepEqual(second, first);
  assert.equal(second.sticky, true);
  client.say({ op: 'ack', ref: second.ref, id: second.id, epoch: 7, seq: 3, duplicate: true });
  assert.deepEqual(await receipt, { id: first.id, epoch: 7, seq: 3, duplicate: true });
});

test('a payload is text, bytes or JSON', async () => {
  connect();
  const client = await fake.client();
  const sent = async (payload) => {
    const answer = hub.publish('a', payload);
    const frame = await client.next();
    client.say({ op: 'ack', ref: frame.ref, id: frame.id, epoch: 7, seq: 1, duplicate: false });
    await answer;
    return frame;
  };
  assert.equal((await sent('ü')).payload, 'ü');
  assert.equal((await sent(new Uint8Array([255, 0]))).payload_base64, '/wA=');
  assert.deepEqual((await sent({ b: null })).json, { b: null });
  assert.equal((await sent(null)).json, null);
  assert.throws(() => hub.publish('a', undefined), TypeError);
  const seen = new Promise((resolve) => hub.subscribe('b', resolve));
  await client.next();
  client.say({ op: 'event', filter: 'b', position: '7:1', event: { seq: 1, payload_base64: '/wA=' } });
  assert.deepEqual((await seen).payload, new Uint8Array([255, 0]));
});

test('a refusal rejects with its name and when to try again', async () => {
  const answer = connect().publish('a', 'x');
  const client = await fake.client();
  const { ref } = await client.next();
  client.say({ op: 'error', ref, error: 'full', message: 'overloaded', retry_after_ms: 5 });
  await assert.rejects(answer, (error) => error instanceof HeadwaterError && error.name === 'full' && error.retryAfterMs === 5);
});

test('what waits for an answer is bounded, and rejected at the end', async () => {
  connect({ pendingMax: 2 });
  const waiting = [hub.publish('a', '1'), hub.publish('a', '2')];
  await assert.rejects(hub.publish('a', '3'), { name: 'busy' });
  hub.close();
  for (const answer of waiting) await assert.rejects(answer, { name: 'closed' });
  await assert.rejects(hub.publish('a', '4'), { name: 'closed' });
});

test('no event comes after a subscription was closed', async () => {
  const { told, onEvent } = diary();
  const subscription = connect().subscribe('a', onEvent);
  const client = await fake.client();
  await client.next();
  subscription.close();
  assert.equal((await client.next()).op, 'unsubscribe');
  client.say({ op: 'event', filter: 'a', position: '7:1', event: event(1, 'late') });
  await settled(client);
  assert.deepEqual(told, []);
});

test('a hub that falls silent is left', async () => {
  connect();
  await fake.client({ ping_seconds: 0.02 });
  // It says nothing any more, not even an answer to `ping`.
  const second = await fake.client();
  await settled(second);
});

test('a login is shown as a subprotocol, and a token is asked for at each connection', async () => {
  const offered = async () => {
    const [socket, request] = await once(fake.server, 'connection');
    socket.close();
    return request.headers['sec-websocket-protocol'];
  };
  connect({ user: 'ada', password: '??>' });
  assert.equal(await offered(), 'headwater.v1,headwater.login.YWRhOj8_Pg');
  hub.close();
  let asked = 0;
  const token = async () => {
    asked += 1;
    if (asked === 2) throw new Error('the issuer is away');
    return `ey.${asked}`;
  };
  connect({ token });
  assert.equal(await offered(), 'headwater.v1,headwater.token.ey.1');
  assert.equal(await offered(), 'headwater.v1,headwater.token.ey.3', 'a token that could not be had is asked for again');
  hub.close();
  connect({ token: 'fixed' });
  assert.equal(await offered(), 'headwater.v1,headwater.token.fixed');
});
