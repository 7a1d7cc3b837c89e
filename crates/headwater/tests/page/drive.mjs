// Drives the console in Chromium as a person would; run by scripts/drive-console.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { HEADWATER, CHROMIUM, SHOTS } = process.env;
const EVIL = '<img src=x onerror=alert(1)>';
const FRAMES_ID = '6b1f2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f';
const VIEWS = ['Overview', 'Connections', 'Topics', 'Tail', 'Groups & dead letters', 'Sessions', 'Nodes', 'Why don’t I see…?'];
const folder = mkdtempSync(join(tmpdir(), 'drive-console-'));
const children = new Set();

async function until(what, holds) {
  const begun = Date.now();
  while (!(await holds())) {
    assert(Date.now() - begun < 30_000, `waited in vain for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

async function hub(place = folder) {
  const ready = join(place, 'ready');
  const args = ['serve', '--data', join(place, 'data'), '--http', '127.0.0.1:0', '--frames', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', '--apps', 'intake', '--node-id', 'hub-1', '--ready-file', ready];
  const child = spawn(HEADWATER, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  children.add(child);
  child.stderr.on('data', () => {});
  await until('the hub', () => existsSync(ready) || child.exitCode !== null);
  assert.equal(child.exitCode, null, 'the hub did not start');
  const addr = protocol => readFileSync(ready, 'utf8').match(new RegExp(`^listening ${protocol} (\\S+)`, 'm'))[1];
  const ended = new Promise(resolve => child.on('exit', resolve));
  return { child, ended, http: addr('http'), frames: addr('frames'), mqtt: addr('mqtt') };
}

/// A client of the frame protocol that stays connected.
async function framesClient(addr) {
  const [host, port] = addr.split(':');
  const socket = connect(Number(port), host);
  socket.write(Buffer.concat([Buffer.from('HWF1'), Buffer.from(FRAMES_ID.replaceAll('-', ''), 'hex'), Buffer.from([0, 0])]));
  await new Promise(resolve => socket.once('data', resolve));
  let ended = false;
  socket.on('close', () => { ended = true; });
  return { isEnded: () => ended };
}

const text = words => Buffer.concat([Buffer.from([Buffer.byteLength(words) >> 8, Buffer.byteLength(words) & 255]), Buffer.from(words)]);

/// An MQTT 5 client with a session that is kept, and these subscriptions.
async function mqttClient(addr, clientId, filters) {
  const [host, port] = addr.split(':');
  const socket = connect(Number(port), host);
  const packet = (first, ...parts) => {
    const body = Buffer.concat(parts.map(part => Buffer.from(part)));
    assert(body.length < 128, 'one byte of length');
    socket.write(Buffer.concat([Buffer.from([first, body.length]), body]));
  };
  const said = [];
  let ended = false;
  socket.on('data', data => said.push(data));
  socket.on('error', () => {});
  socket.on('close', () => { ended = true; });
  // Clean start is off, and the session is to be kept for an hour.
  packet(0x10, text('MQTT'), [5, 0, 0, 60], [5, 0x11, 0, 0, 14, 16], text(clientId));
  packet(0x82, [0, 1, 0], ...filters.flatMap(filter => [text(filter), [1]]));
  await until('SUBACK', () => Buffer.concat(said).includes(Buffer.from([0x90])));
  return { isEnded: () => ended, said: () => Buffer.concat(said), end: () => socket.destroy() };
}

/// Watches by server-sent events until it is ended.
async function watcher(http, filter) {
  const stop = new AbortController();
  const response = await fetch(`http://${http}/v1/live?filter=${encodeURIComponent(filter)}`, { signal: stop.signal });
  const reader = response.body.getReader();
  let ended = false;
  (async () => { while (!(await reader.read()).done) { /* goes on */ } })().catch(() => {}).finally(() => { ended = true; });
  return { isEnded: () => ended, stop: () => stop.abort() };
}

async function publish(http, topic, payload, sticky = true) {
  const response = await fetch(`http://${http}/v1/events/${topic.split('/').map(encodeURIComponent).join('/')}?sticky=${sticky}`, { method: 'POST', body: payload });
  assert.equal(response.status, 200, await response.text());
}

/// A page that fails the test when it says an error, opens a dialog or asks another host.
async function open(browser, http, width, height, colorScheme, place = '') {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const faults = [];
  page.allowed = [];
  page.on('console', message => ['error', 'warning'].includes(message.type()) && faults.push(`console: ${message.text()}`));
  page.on('pageerror', error => faults.push(`error: ${error}`));
  page.on('dialog', dialog => { faults.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', request => new URL(request.url()).host !== http && faults.push(`asks ${request.url()}`));
  page.on('response', response => response.status() >= 400 && faults.push(`${response.status()} ${response.url()}`));
  page.faults = faults;
  await page.goto(`http://${http}/${place}`);
  await page.getByRole('status').filter({ hasText: /^all is well$/ }).waitFor();
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${name}: ${wide} pixels stand out on the right`);
  assert.deepEqual(page.faults, [], name);
  assert.equal(await page.locator('img:not([src^="/console/"])').count(), 0, `${name}: what a client said became an element`);
}

const show = (page, view) => page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: view }).click();

async function beforeAnything(browser, http) {
  const page = await open(browser, http, 1440, 900, 'light');
  await page.getByRole('heading', { name: 'Try it' }).waitFor();
  await page.getByText(`curl 'http://${http}/v1/events/greetings/world`).waitFor();
  await shoot(page, 'empty-1440-light');
  // From the top the first stop of the keys is the way past the frame.
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the view');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
  // Every view says what it is for while it has nothing to show.
  for (const [view, words] of [['Connections', 'Nobody is connected'], ['Topics', 'No topic has a state yet'], ['Tail', 'Nothing yet'],
    ['Groups & dead letters', 'No groups yet'], ['Sessions', 'No sessions']]) {
    await show(page, view);
    await page.getByRole('heading', { name: words }).waitFor();
  }
  await page.context().close();
}

/// By keys alone: the views, the search field, help, colours, the tree.
async function byKeys(page) {
  await page.locator('body').press('2');
  await page.getByRole('heading', { name: 'Connections', level: 1 }).waitFor();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.type), 'search');
  await page.keyboard.press('Tab');
  await page.locator('body').press('Escape');
  await page.locator('main h1').focus();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await shoot(page, 'keys-1440-light');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.locator('main h1').focus();
  await page.keyboard.press('t');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await page.keyboard.press('t');
  await page.keyboard.press('3');
  const tree = page.getByRole('tree');
  await tree.getByRole('treeitem').first().focus();
  await page.keyboard.press('ArrowRight');
  await tree.locator('[role=treeitem].name[aria-level="2"]').first().waitFor();
  // The page moves the focus when it has drawn what the key did.
  const isAt = level => page.waitForFunction(level => document.activeElement.getAttribute('aria-level') === level, level);
  await page.keyboard.press('ArrowRight');
  await isAt('2');
  await page.keyboard.press('ArrowLeft');
  await isAt('1');
}

async function topics(page, http) {
  await show(page, 'Topics');
  const tree = page.getByRole('tree');
  for (const name of ['fleet', 'robot', '7']) await tree.getByRole('treeitem').filter({ hasText: new RegExp(`^${name}\\d*$`) }).first().click();
  await tree.getByRole('treeitem').filter({ hasText: /^pose$/ }).first().click();
  await page.locator('.detail > .facts-of-event').filter({ hasText: '"state": "charging"' }).waitFor();
  await shoot(page, 'topic-1440-light');
  // What is published by the form is there at once, as the state and in the history.
  await page.getByRole('textbox', { name: 'Payload' }).fill('{"x":7,"state":"driving"}');
  await page.getByRole('combobox', { name: 'Kind' }).selectOption('application/json');
  await page.getByRole('button', { name: 'Publish' }).click();
  await page.getByText(/^On disk at place/).waitFor();
  await page.locator('.detail > .facts-of-event').filter({ hasText: '"state": "driving"' }).waitFor();
  await page.getByText('The latest 2 in', { exact: false }).waitFor();
  const state = await (await fetch(`http://${http}/v1/sticky/fleet/robot/7/pose`)).json();
  assert.deepEqual(state, { x: 7, state: 'driving' });
  // A payload that is no JSON is not sent as JSON.
  await page.getByRole('textbox', { name: 'Payload' }).fill('{"x":');
  await page.getByRole('button', { name: 'Publish' }).click();
  await page.getByRole('alert').filter({ hasText: 'no JSON' }).waitFor();
  await page.getByRole('textbox', { name: 'Topic', exact: true }).first().fill(`evil/${EVIL}`);
  await page.getByRole('button', { name: 'Show' }).click();
  await page.getByRole('heading', { name: `evil/${EVIL}` }).waitFor();
  await page.locator('.payload').filter({ hasText: EVIL }).waitFor();
  await shoot(page, 'evil-1440-light');
}

async function connections(page, clients) {
  await show(page, 'Connections');
  await until('all connections', async () => (await page.locator('.connections tbody tr').count()) === 6);
  await shoot(page, 'connections-1440-light');
  await page.getByRole('searchbox').fill(FRAMES_ID.slice(0, 8).toUpperCase());
  await page.getByText('1 found,').waitFor();
  await page.getByRole('button', { name: FRAMES_ID }).click();
  await page.getByText('the client only sends').waitFor();
  assert(!clients.frames.isEnded());
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  assert(!clients.frames.isEnded());
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await shoot(page, 'disconnect-1440-light');
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  await page.getByText(`${FRAMES_ID} was disconnected.`).waitFor();
  await until('its end', clients.frames.isEnded);
  await page.getByRole('heading', { name: 'Nobody like that' }).waitFor();
  await page.getByRole('searchbox').fill('');
  await page.getByRole('combobox', { name: 'Speaks' }).selectOption('sse');
  await until('the watchers', async () => (await page.locator('.connections tbody tr').count()) === 3);
  // A client that speaks MQTT hears why, and what it calls itself is text.
  await page.getByRole('combobox', { name: 'Speaks' }).selectOption('mqtt');
  await page.getByRole('button', { name: EVIL }).click();
  await page.locator('.detail').getByText('clinic/+/slot/+').waitFor();
  await shoot(page, 'mqtt-1440-light');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  await until('its end', clients.mqtt.isEnded);
  const [kind, , reason] = clients.mqtt.said().subarray(clients.mqtt.said().lastIndexOf(0xe0));
  assert.deepEqual([kind, reason], [0xe0, 0x98], 'DISCONNECT with "administrative action"');
  await page.getByRole('combobox', { name: 'Speaks' }).selectOption('');
  await page.getByRole('combobox', { name: 'Show' }).selectOption('slowest');
  await page.getByRole('heading', { name: 'Nobody lags' }).waitFor();
}

/// Publishes as fast as one client can until it is told to stop.
function flood(http) {
  let stopped = false;
  const run = async lane => {
    for (let n = 0; !stopped; n += 1) await publish(http, `load/${lane}`, `line ${n}`, false);
  };
  const lanes = Promise.all(Array.from({ length: 6 }, (_, lane) => run(lane)));
  return async () => { stopped = true; await lanes; };
}

async function tail(page, http) {
  await show(page, 'Tail');
  await page.getByRole('status').filter({ hasText: /^live$/ }).waitFor();
  await publish(http, `evil/${EVIL}`, EVIL, false);
  await page.locator('.event').filter({ hasText: EVIL }).first().waitFor();
  const stop = flood(http);
  await page.getByText(/sampled 1:\d+, .* skipped/).waitFor();
  await shoot(page, 'tail-1440-light');
  await page.locator('main h1').focus();
  await page.keyboard.press('p');
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  const frozen = await page.locator('.event').last().textContent();
  await page.locator('.event summary').last().click();
  await page.getByText('Place in the log').last().waitFor();
  assert((await page.locator('.event').last().textContent()).startsWith(frozen), 'it moves while it is paused');
  await page.keyboard.press('p');
  const narrow = await open(page.context().browser(), http, 360, 740, 'dark', '#/tail?filter=load/%2B');
  await narrow.getByText(/sampled 1:\d+/).waitFor();
  await shoot(narrow, 'tail-360-dark');
  await show(narrow, 'Overview');
  await until('the rate', async () => /[1-9]/.test(await narrow.locator('.tile').first().locator('b').textContent()));
  await narrow.waitForTimeout(3_000); // a few points of a line
  await shoot(narrow, 'overview-360-dark');
  await show(page, 'Overview');
  await page.waitForTimeout(1_500);
  await shoot(page, 'overview-1440-light');
  await narrow.context().close();
  await stop();
  // A filter that can't be is refused in words.
  await show(page, 'Tail');
  page.faults.length = 0;
  await page.getByRole('textbox').fill('a/#/b');
  await page.getByRole('button', { name: 'Follow' }).click();
  await page.getByRole('alert').filter({ hasText: 'last level' }).waitFor();
  // The browser itself says that it got a 400: that's what was wanted.
  page.faults.length = 0;
  await page.getByRole('textbox').fill('clinic/#');
  await page.getByRole('button', { name: 'Follow' }).click();
  await page.getByRole('status').filter({ hasText: /^live$/ }).waitFor();
  await publish(http, 'clinic/3/slot/1', 'taken', false);
  await page.locator('.event').filter({ hasText: 'clinic/3/slot/1' }).waitFor();
}

/// What a group has given up on, as the hub would tell it: no client of this walk can make a dead letter.
const LETTERS = [
  { event: { seq: 812, time: '2026-11-25T13:00:00.123456Z', id: '0193', topic: 'orders/17', size: 31, sticky: false, headers: [['content-type', 'application/json']], payload: '{"sku":"A-7","price":null}' }, attempts: 8, why: 'the price list has no entry for A-7', at: '2026-11-25T13:04:11.000000Z' },
  { event: { seq: 913, time: '2026-11-25T13:10:00.123456Z', id: EVIL, topic: `orders/${EVIL}`, size: 5, sticky: false, headers: [], payload: EVIL }, attempts: 1, why: EVIL, at: '2026-11-25T13:10:00.200000Z' },
];

async function groups(page, worker) {
  await show(page, 'Groups & dead letters');
  await page.getByRole('rowheader', { name: 'workers' }).waitFor();
  let letters = LETTERS;
  const asked = [];
  await page.route('**/v1/admin/groups*', async route => {
    // The view asks again and again, also while the walk goes on: who comes too late is passed over.
    const answer = await (await route.fetch()).json();
    answer.groups[0].dead = letters.length;
    await route.fulfill({ json: answer }).catch(() => {});
  });
  await page.route(/dead-letters\?/, route => route.fulfill({ json: { letters, next: null } }));
  await page.route(/dead-letters\/(retry|discard)$/, async route => {
    const { group, seqs } = route.request().postDataJSON();
    asked.push([route.request().url().split('/').at(-1), group.includes('workers'), seqs]);
    letters = letters.filter(letter => !seqs.includes(letter.event.seq));
    await route.fulfill({ json: { taken: seqs.length } });
  });
  await page.getByRole('button', { name: '2 dead letters of' }).click();
  await page.getByText('the price list has no entry for A-7').click();
  await page.locator('.letter .payload').first().waitFor();
  await shoot(page, 'letters-1440-light');
  await page.getByRole('checkbox', { name: 'Choose the letter at place 812' }).check();
  await page.getByRole('button', { name: 'Try 1 anew' }).click();
  await page.getByText('1 will be tried anew, from attempt 1.').waitFor();
  await page.getByRole('checkbox', { name: 'All of this page' }).check();
  await page.getByRole('button', { name: 'Discard' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Discard' }).click();
  await page.getByText('None: everything this group was handed').waitFor();
  assert.deepEqual(asked, [['retry', true, [812]], ['discard', true, [913]]]);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  worker.end();
  // Its session stays.
  await show(page, 'Sessions');
  await page.getByRole('row').filter({ hasText: 'worker-1' }).filter({ hasText: /ended .* ago/ }).filter({ hasText: '$share/workers/orders/#' }).waitFor();
  await page.getByRole('row').filter({ hasText: EVIL }).waitFor();
  await shoot(page, 'sessions-1440-light');
}

/// A process that shares the hub's work, and is killed: it's there, and then it's missed, in words and in red.
async function nodes(page, served) {
  await show(page, 'Nodes');
  const row = name => page.locator('.nodes tbody tr').filter({ hasText: name });
  await row('hub-1').filter({ hasText: 'this process' }).filter({ hasText: 'alive' }).waitFor();
  await page.getByText('it is on disk: neither a kill nor a power cut loses it').waitFor();
  const place = join(folder, 'worker');
  const args = ['serve', '--data', join(place, 'data'), '--http', '127.0.0.1:0', '--roles', 'processor', '--apps', 'alerts', '--engine', `mqtt://${served.mqtt}`, '--node-id', 'worker-a'];
  const worker = spawn(HEADWATER, args, { stdio: 'ignore' });
  children.add(worker);
  const ended = new Promise(resolve => worker.on('exit', resolve));
  await row('worker-a').filter({ hasText: 'processor' }).filter({ hasText: 'alive' }).filter({ hasText: 'none, in its group' }).waitFor();
  assert.equal(await page.locator('.complaint').count(), 0);
  await shoot(page, 'nodes-alive-1440-light');
  worker.kill('SIGKILL');
  await ended;
  await row('worker-a').filter({ hasText: /missed for/ }).waitFor();
  await page.getByRole('alert').filter({ hasText: 'One node is missed: worker-a' }).waitFor();
  const colour = await row('worker-a').locator('.state').evaluate(element => getComputedStyle(element).color);
  const [red, green, blue] = colour.match(/\d+/g).map(Number);
  assert(red > 150 && green < 100 && blue < 100, `missed is said in ${colour}`);
  await shoot(page, 'nodes-missed-1440-light');
  const answer = await (await fetch(`http://${served.http}/v1/admin/nodes`)).json();
  assert.deepEqual([answer.alive, answer.missed, answer.ended], [1, 1, 0]);
}

async function why(page) {
  await show(page, 'Why don’t I see…?');
  await page.getByRole('textbox', { name: 'User' }).fill('anonymous');
  await page.getByRole('textbox', { name: 'Topic' }).fill('orders/1/paid');
  await page.getByRole('button', { name: 'Find out' }).click();
  await page.locator('.verdict.bad').filter({ hasText: 'None of their' }).waitFor();
  await page.getByText('+ stands for one level alone').first().waitFor();
  await shoot(page, 'why-not-1440-light');
  await page.getByRole('textbox', { name: 'Topic' }).fill('orders/1');
  await page.getByRole('button', { name: 'Find out' }).click();
  await page.locator('.verdict.good').waitFor();
  await page.getByText('“orders/+” is subscribed to and matches.').waitFor();
  await shoot(page, 'why-1440-light');
  await page.getByRole('textbox', { name: 'User' }).fill('nobody');
  await page.getByRole('button', { name: 'Find out' }).click();
  await page.locator('.verdict.bad').filter({ hasText: 'no connection of user “nobody”' }).waitFor();
}

async function everySize(browser, http) {
  for (const [width, height] of [[1440, 900], [360, 740]]) {
    for (const scheme of ['light', 'dark']) {
      const page = await open(browser, http, width, height, scheme);
      for (const [at, view] of VIEWS.entries()) {
        await show(page, view);
        await page.getByRole('heading', { name: view, level: 1 }).waitFor();
        // Until it has been answered.
        await until(`${view} to have asked`, async () => (await page.locator('main .waiting').count()) === 0);
        const name = ['overview', 'connections', 'topics', 'tail', 'groups', 'sessions', 'nodes', 'why'][at];
        await shoot(page, `${name}-${width}-${scheme}-all`);
      }
      if (width === 360) {
        await show(page, 'Connections');
        await page.locator('.connections button').first().click();
        await page.getByRole('heading', { name: 'Subscriptions' }).waitFor();
        await shoot(page, `connection-${width}-${scheme}`);
        await page.keyboard.press('Escape');
        await page.locator('.detail').waitFor({ state: 'detached' });
      }
      await page.context().close();
    }
  }
}

/// A hub with users: who may do nothing is told so, who may look sees no payload, and all of it ends with logging out.
async function withUsers(browser) {
  const place = join(folder, 'guarded');
  const data = join(place, 'data');
  mkdirSync(data, { recursive: true });
  const password = 'correct horse battery';
  const secret = join(place, 'secret');
  writeFileSync(secret, password);
  for (const [name, role] of [['root', 'admin'], ['olga', 'observer'], ['sam', 'sensor']]) {
    const { status, stderr } = spawnSync(HEADWATER, ['user', '--data', data, 'add', name, '--role', role, '--password-file', secret]);
    assert.equal(status, 0, String(stderr));
  }
  writeFileSync(join(data, 'rules.toml'), "[roles.admin]\npublish = ['#']\nsubscribe = ['#']\n");
  const served = await hub(place);
  const { http } = served;
  const authorization = `Basic ${Buffer.from(`root:${password}`).toString('base64')}`;
  const published = await fetch(`http://${http}/v1/events/vault/1?sticky=true`, { method: 'POST', body: 'the secret payload', headers: { authorization } });
  assert.equal(published.status, 200);
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark' });
  const page = await context.newPage();
  await page.goto(`http://${http}/`);
  const login = async (name, words) => {
    await page.getByRole('textbox', { name: 'User' }).fill(name);
    await page.getByLabel('Password').fill(words);
    await page.getByRole('button', { name: 'Log in' }).click();
  };
  await login('root', 'not the password');
  await page.getByRole('alert').filter({ hasText: 'User or password is wrong.' }).waitFor();
  await page.screenshot({ path: join(SHOTS, 'login-1440-dark.png') });
  await login('sam', password);
  await page.getByText('neither the role').waitFor();
  await login('olga', password);
  await page.getByRole('status').filter({ hasText: /^all is well$/ }).waitFor();
  await show(page, 'Topics');
  assert.equal(await page.getByRole('heading', { name: 'Publish' }).count(), 0);
  await page.getByRole('textbox', { name: 'Topic' }).fill('vault/1');
  await page.getByRole('button', { name: 'Show' }).click();
  await page.getByText('18 B, hidden: role observer').first().waitFor();
  assert(!(await page.content()).includes('the secret payload'));
  await page.screenshot({ path: join(SHOTS, 'observer-1440-dark.png') });
  await page.getByRole('button', { name: 'Log out' }).click();
  await login('root', password);
  await page.getByRole('status').filter({ hasText: /^all is well$/ }).waitFor();
  await show(page, 'Topics');
  await page.getByRole('textbox', { name: 'Topic' }).first().fill('vault/1');
  await page.getByRole('button', { name: 'Show' }).click();
  await page.locator('.detail > .facts-of-event').filter({ hasText: 'the secret payload' }).waitFor();
  // The cookie is good for publishing too, and the audit has who did what.
  await page.getByRole('textbox', { name: 'Payload' }).fill('another one');
  await page.getByRole('button', { name: 'Publish' }).click();
  await page.getByText(/^On disk at place/).waitFor();
  await context.close();
  served.child.kill('SIGTERM');
  assert.equal(await served.ended, 0);
}

async function theEnd(page, served) {
  await show(page, 'Overview');
  served.child.kill('SIGTERM');
  await page.getByRole('status').filter({ hasText: /^not reachable$/ }).waitFor();
  await page.getByRole('alert').filter({ hasText: 'can’t be reached' }).first().waitFor();
  await page.screenshot({ path: join(SHOTS, 'gone-1440-light.png') });
  assert.equal(await served.ended, 0, 'a page that is open must not hold up the end');
}

async function walk(browser, served) {
  const { http } = served;
  await beforeAnything(browser, http);
  for (const [topic, payload] of [['clinic/3/slot/9', 'free'], ['clinic/3/slot/10', 'taken'], ['clinic/4', 'open'], ['orders/1', 'paid'],
    ['fleet/robot/7/pose', '{"x":1.5,"state":"charging"}'], ['fleet/robot/8/pose', '{"x":2}'], [`evil/${EVIL}`, EVIL]]) {
    await publish(http, topic, payload);
  }
  const watchers = [];
  for (const filter of ['clinic/#', 'orders/+', `evil/${EVIL}`]) watchers.push(await watcher(http, filter));
  const page = await open(browser, http, 1440, 900, 'light');
  await page.evaluate(() => new Promise(resolve => {
    globalThis.socket = new WebSocket(`ws://${location.host}/v1/ws`);
    globalThis.socket.onmessage = event => JSON.parse(event.data).op === 'subscribed' && resolve();
    globalThis.socket.onopen = () => globalThis.socket.send(JSON.stringify({ op: 'subscribe', filter: 'fleet/+/+/pose' }));
  }));
  await byKeys(page);
  await topics(page, http);
  const clients = { frames: await framesClient(served.frames), mqtt: await mqttClient(served.mqtt, EVIL, ['clinic/+/slot/+']) };
  await connections(page, clients);
  await groups(page, await mqttClient(served.mqtt, 'worker-1', ['$share/workers/orders/#']));
  await nodes(page, served);
  await why(page);
  await tail(page, http);
  await everySize(browser, http);
  await withUsers(browser);
  await theEnd(page, served);
  watchers.forEach(one => one.stop());
}

let code = 1;
let browser;
try {
  const served = await hub();
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--no-first-run'] });
  await walk(browser, served);
  console.log(`console: the page was driven; screenshots in ${SHOTS}`);
  code = 0;
} catch (error) {
  console.error(error);
  const page = browser?.contexts().flatMap(context => context.pages())[0];
  await page?.screenshot({ path: join(SHOTS, 'failed.png') }).catch(() => {});
} finally {
  await browser?.close();
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
