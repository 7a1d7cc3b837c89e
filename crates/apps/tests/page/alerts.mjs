// Drives /alerts/ in Chromium as people would; run by scripts/drive-alerts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { HEADWATER, CHROMIUM, SHOTS } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'drive-alerts-'));
const children = new Set();

async function until(what, holds) {
  const begun = Date.now();
  while (!(await holds())) {
    assert(Date.now() - begun < 30_000, `waited in vain for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

// A hub over the same data each time; on the same address once it has one, as a server that comes back.
async function hub(http = '127.0.0.1:0') {
  const ready = join(folder, 'ready');
  rmSync(ready, { force: true });
  const args = ['serve', '--data', join(folder, 'data'), '--http', http, '--frames', 'off', '--mqtt', 'off', '--ready-file', ready];
  const child = spawn(HEADWATER, args, { stdio: ['ignore', 'ignore', 'inherit'] });
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

async function post(http, report) {
  const body = JSON.stringify({ timestamp: new Date().toISOString(), ...report });
  const response = await fetch(`http://${http}/api/alerts`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  assert.equal(await response.json(), 'Event processed successfully');
}

/// A page that fails the test when it says an error or asks another host.
async function open(browser, http, width, height, colorScheme, query = '') {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
  const faults = [];
  page.isCut = false;
  page.on('console', message => !page.isCut && ['error', 'warning'].includes(message.type()) && faults.push(`console: ${message.text()}`));
  page.on('pageerror', error => faults.push(`error: ${error}`));
  page.on('request', request => new URL(request.url()).host !== http && faults.push(`asks ${request.url()}`));
  page.on('response', response => response.status() >= 400 && faults.push(`${response.status()} ${response.url()}`));
  page.faults = faults;
  await page.goto(`http://${http}/alerts/${query}`);
  await page.getByRole('status').filter({ hasText: /^live$/ }).waitFor();
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
  const wide = await page.evaluate(() => Math.max(document.documentElement.scrollWidth - innerWidth, -document.documentElement.scrollLeft));
  assert(wide <= 0, `${name}: ${wide} pixels stand out`);
  const cut = await page.locator('.card, .overall, .bar, .told li, form').evaluateAll(all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent));
  assert.deepEqual(cut, [], `${name}: text is cut off`);
  assert.deepEqual(page.faults, [], name);
}

const card = (page, text) => page.locator('.card').filter({ hasText: text });

async function walk(browser, first) {
  const { http } = first;
  const page = await open(browser, http, 1440, 900, 'light');
  await page.getByRole('heading', { name: 'No active alerts' }).waitFor();
  await shoot(page, 'calm-1440-light');
  const narrow = await open(browser, http, 360, 740, 'dark');
  await narrow.getByRole('heading', { name: 'No active alerts' }).waitFor();
  await shoot(narrow, 'calm-360-dark');

  // The simulator raises an alert, and both pages show it without a reload.
  await page.locator('.simulator').getByLabel('Place', { exact: true }).fill('Haifa');
  await page.getByLabel('Type').fill('<img src=x onerror=alert(1)>');
  await page.getByLabel('Minutes', { exact: true }).fill('5');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText('Event processed successfully').waitFor();
  for (const one of [page, narrow]) {
    await one.getByRole('heading', { name: 'ALERT: Haifa' }).waitFor();
    await card(one, 'Haifa').getByText('ALERT', { exact: true }).waitFor();
    await one.locator('.mark.alert').waitFor();
  }
  assert.match(await page.locator('.spoken').textContent(), /^Alert: Haifa, <img/);

  // A longer one of another type at the same place: one card, mixed, with the later end.
  await post(http, { location: 'Haifa', type: 'Flood', duration: 30 });
  await card(page, 'Mixed Threats').waitFor();
  await page.getByText('Extended').first().waitFor();
  assert.equal(await page.locator('.card').count(), 1);

  // A pre-alert, a test and an exercise can't be mistaken.
  for (const [kind, place] of [['pre-alert', 'Beirut'], ['test', 'Athens'], ['exercise', 'Cairo']]) {
    await page.locator('.simulator').getByLabel('Place', { exact: true }).fill(place);
    await page.getByLabel('Type').fill('Wildfire');
    await page.locator('.simulator select').selectOption(kind);
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await card(page, place).waitFor();
  }
  await card(page, 'Athens').getByText('TEST – not real').waitFor();
  await card(page, 'Cairo').getByText('EXERCISE – not real').waitFor();
  await card(page, 'Beirut').getByText('PRE-ALERT').waitFor();
  await page.getByRole('heading', { name: 'ALERT: Haifa' }).waitFor();
  await post(http, { location: 'תל אביב', type: 'רקטות', duration: 10 });
  await page.getByRole('heading', { name: '2 ALERTS' }).waitFor();
  await shoot(page, 'alerts-1440-light');
  await card(narrow, 'תל אביב').waitFor();
  await shoot(narrow, 'alerts-360-dark');

  // The desk takes note, and keeps a place silent for a while.
  const desk = page.locator('.desk-panel');
  await desk.getByLabel('Of place').fill('Haifa');
  await desk.getByLabel('Reason').fill('on our way');
  await desk.getByRole('button', { name: 'Take note' }).click();
  await card(page, 'Haifa').getByText('on our way').waitFor();
  await desk.getByLabel('Of place').fill('Nazareth');
  await desk.getByRole('button', { name: 'Silence', exact: true }).click();
  await desk.getByText('Nazareth: silent').waitFor();
  await post(http, { location: 'Nazareth', type: 'Flood', duration: 10 });
  await desk.getByText(/^Record/).click();
  await until('the record', async () => (await desk.locator('.told').textContent()).includes('acknowledge'));
  assert.equal(await card(page, 'Nazareth').count(), 0);
  await desk.getByRole('button', { name: 'Lift the silence' }).click();
  await card(page, 'Nazareth').waitFor();
  await shoot(page, 'desk-1440-light');
  await shoot(narrow, 'desk-360-dark');

  // Who comes late sees all that is active; the filter by place keeps to it.
  const late = await open(browser, http, 1440, 900, 'dark');
  for (const place of ['Haifa', 'Beirut', 'Athens', 'Cairo', 'תל אביב']) await card(late, place).waitFor();
  await shoot(late, 'late-1440-dark');
  await late.getByLabel('Place', { exact: true }).first().fill('beir');
  await until('the filter', async () => (await late.locator('.card').count()) === 1);
  await late.getByRole('heading', { name: 'PRE-ALERT: Beirut' }).waitFor();
  await late.getByLabel('Place', { exact: true }).first().fill('');

  // Right to left.
  const turned = await open(browser, http, 360, 740, 'light', '?dir=rtl');
  await card(turned, 'תל אביב').waitFor();
  await shoot(turned, 'rtl-360-light');

  // The hub is killed: red, with seconds that grow; then it is back, and nothing was missed.
  for (const one of [page, narrow, late, turned]) one.isCut = true;
  await killed(first.child);
  for (const one of [page, narrow]) await one.getByRole('alert').getByText(/not live for \d+ s/).waitFor();
  await page.getByText(/not live for [2-9] s/).waitFor();
  const ground = await page.locator('.link.lost').evaluate(element => getComputedStyle(element).backgroundColor);
  assert.match(ground, /rgb\((1[5-9]\d|2\d\d), (\d|[1-4]\d), (\d|[1-4]\d)\)/, 'it is red');
  assert.match(await page.title(), /^NOT LIVE/);
  await shoot(page, 'lost-1440-light');
  await shoot(narrow, 'lost-360-dark');
  const second = await hub(http);
  await post(http, { location: 'Lisbon', type: 'Tsunami', duration: 3 });
  for (const one of [page, narrow, late]) {
    await one.getByRole('status').filter({ hasText: /^live$/ }).waitFor();
    await card(one, 'Lisbon').waitFor();
    await card(one, 'Haifa').waitFor();
  }

  // An alert ends by itself, and that is told.
  await post(http, { location: 'Oslo', type: 'Storm', duration: 0.05 });
  await card(page, 'Oslo').waitFor();
  await page.locator('.told .all-clear').filter({ hasText: 'Oslo' }).waitFor();
  assert.equal(await card(page, 'Oslo').count(), 0);

  // A hub that is there and says nothing any more is as good as gone.
  second.child.kill('SIGSTOP');
  await page.getByRole('alert').getByText(/not live for \d+ s/).waitFor({ timeout: 40_000 });
  second.child.kill('SIGCONT');
  await page.getByRole('status').filter({ hasText: /^live$/ }).waitFor();

  // Many at once.
  await page.getByRole('button', { name: 'Send 12 anywhere' }).click();
  await page.getByText('12 sent').waitFor();
  await until('the marks', async () => (await page.locator('.card').count()) >= 12);
  await shoot(page, 'many-1440-light');
  await page.getByLabel('Sound').check();
  await page.getByLabel('Sound').uncheck();
  return second;
}

let code = 1;
let browser;
try {
  const first = await hub();
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--no-first-run'] });
  await walk(browser, first);
  console.log(`alerts: the page was driven; screenshots in ${SHOTS}`);
  code = 0;
} catch (error) {
  console.error(error);
  for (const [at, page] of (browser?.contexts().flatMap(context => context.pages()) ?? []).entries()) {
    console.error(page.faults);
    await page.screenshot({ path: join(SHOTS, `failed-${at}.png`) }).catch(() => {});
  }
} finally {
  await browser?.close();
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
