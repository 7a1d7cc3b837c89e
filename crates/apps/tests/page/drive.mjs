// Drives /intake/ in Chromium as a person would; run by scripts/drive-intake.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { HEADWATER, CHROMIUM, SHOTS } = process.env;
const ID = '6b1f2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f';
const folder = mkdtempSync(join(tmpdir(), 'drive-intake-'));
const children = new Set();

function start(args, input) {
  const child = spawn(HEADWATER, args, { stdio: [input === undefined ? 'ignore' : 'pipe', 'ignore', 'pipe'] });
  children.add(child);
  let said = '';
  child.stderr.on('data', data => { said += data; });
  if (input !== undefined) child.stdin.end(input);
  child.ended = new Promise(resolve => child.on('exit', code => { children.delete(child); resolve({ code, said }); }));
  return child;
}

async function until(what, holds) {
  const begun = Date.now();
  while (!(await holds())) {
    assert(Date.now() - begun < 30_000, `waited in vain for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

async function hub() {
  const ready = join(folder, 'ready');
  const child = start(['serve', '--data', join(folder, 'data'), '--http', '127.0.0.1:0', '--frames', '127.0.0.1:0', '--mqtt', 'off', '--ready-file', ready]);
  await until('the hub', () => existsSync(ready) || child.exitCode !== null);
  assert.equal(child.exitCode, null, 'the hub did not start');
  const addr = protocol => readFileSync(ready, 'utf8').match(new RegExp(`^listening ${protocol} (\\S+)`, 'm'))[1];
  return { child, http: addr('http'), frames: addr('frames') };
}

async function send(frames, lines, id = ID) {
  const { code, said } = await start(['send', '--id', id, '--addr', frames, '-'], lines.join('\n')).ended;
  assert.equal(code, 0, said);
}

/// A page that fails the test when it says an error or asks another host.
async function open(browser, http, width, height, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  const faults = [];
  page.on('console', message => ['error', 'warning'].includes(message.type()) && faults.push(`console: ${message.text()}`));
  page.on('pageerror', error => faults.push(`error: ${error}`));
  page.on('request', request => new URL(request.url()).host !== http && faults.push(`asks ${request.url()}`));
  page.on('response', response => response.status() >= 400 && faults.push(`${response.status()} ${response.url()}`));
  page.faults = faults;
  await page.goto(`http://${http}/intake/`);
  await page.getByRole('status').filter({ hasText: /^live$/ }).waitFor();
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${name}: ${wide} pixels stand out on the right`);
  assert.deepEqual(page.faults, [], name);
}

const messagesOf = page => page.locator('.tile').filter({ hasText: 'Messages' }).locator('dd').first();

async function walk(browser, { http, frames }) {
  const page = await open(browser, http, 1440, 900, 'light');
  await page.getByRole('heading', { name: 'No messages yet' }).waitFor();
  await page.getByText(`headwater send --addr ${frames}`).waitFor();
  await shoot(page, 'empty-1440-light');
  const narrow = await open(browser, http, 360, 740, 'dark');
  await narrow.getByRole('heading', { name: 'No messages yet' }).waitFor();
  await shoot(narrow, 'empty-360-dark');

  // A message appears without a reload, and the counts rise.
  await send(frames, ['the first message of all']);
  await page.getByText('the first message of all').waitFor();
  await until('the count', async () => (await messagesOf(page).textContent()) === '1');
  const people = ['sensor 3 reports 21.4 °C', 'user anna logged in', '<img src=x onerror=alert(1)>', 'Zeile mit Umlauten: äöü', 'disk nearly full: 91 %'];
  for (const [at, line] of people.entries()) {
    await send(frames, [line, `${line} (again)`], `0000000${at + 1}-4a5b-4c6d-8e7f-0a1b2c3d4e5f`);
  }
  await page.getByText('disk nearly full: 91 % (again)').waitFor();
  await until('the clients', async () => (await page.locator('.clients tbody tr').count()) === 6);
  await shoot(page, 'live-1440-light');
  await shoot(narrow, 'live-360-dark');

  // More than can be shown: it says so, and the search finds what it skipped.
  await send(frames, Array.from({ length: 20_000 }, (_, at) => `line ${at + 1} of a flood${at === 777 ? ', with a needle' : ''}`));
  await page.getByText(/skipped/).waitFor();
  await until('the count', async () => (await messagesOf(page).textContent()) === '20,011');
  await shoot(page, 'flood-1440-light');
  await page.keyboard.press('p');
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  await page.keyboard.press('p');
  await page.keyboard.press('/');
  await page.getByRole('searchbox', { name: 'Text' }).fill('NEEDLE');
  await page.keyboard.press('Enter');
  await page.getByText('1 found,').waitFor();
  assert.match(await page.locator('.messages li').textContent(), /line 778 of a flood, with a needle/);
  await shoot(page, 'search-1440-light');

  // A client's messages, by a click.
  await page.getByRole('button', { name: 'messages of client 00000002' }).first().click();
  await page.getByText('2 found,').waitFor();
  assert.match(await page.locator('.messages li').first().textContent(), /user anna logged in \(again\)/);

  await narrow.getByRole('tab', { name: 'Search' }).click();
  await narrow.getByRole('searchbox', { name: 'Text' }).fill('flood');
  await narrow.getByRole('button', { name: 'Search' }).click();
  await narrow.getByText('50 found,').waitFor();
  await shoot(narrow, 'search-360-dark');
  await narrow.getByRole('button', { name: 'Look further back' }).click();
  await narrow.getByText('100 found,').waitFor();
  await narrow.getByRole('tab', { name: 'Live' }).click();
  await narrow.locator('.clients').scrollIntoViewIfNeeded();
  await shoot(narrow, 'clients-360-dark');

  for (const [width, height, scheme] of [[1440, 900, 'dark'], [360, 740, 'light']]) {
    const other = await open(browser, http, width, height, scheme);
    await other.getByText('line 20000 of a flood').first().waitFor();
    await until('the clients', async () => (await other.locator('.clients tbody tr').count()) === 6);
    await shoot(other, `live-${width}-${scheme}`);
  }
}

let code = 1;
let browser;
try {
  const served = await hub();
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run'],
  });
  await walk(browser, served);
  console.log(`intake: the page was driven; screenshots in ${SHOTS}`);
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
