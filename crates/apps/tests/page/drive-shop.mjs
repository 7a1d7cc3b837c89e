// Drives /shop/ in Chromium as a person would; run by scripts/drive-shop.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { HEADWATER, CHROMIUM, SHOTS } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'drive-shop-'));
const children = new Set();

function start(args) {
  const child = spawn(HEADWATER, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  children.add(child);
  let said = '';
  child.stderr.on('data', data => { said += data; });
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
  const child = start(['serve', '--data', join(folder, 'data'), '--apps', 'shop', '--http', '127.0.0.1:0', '--frames', 'off', '--mqtt', 'off', '--ready-file', ready]);
  await until('the hub', () => existsSync(ready) || child.exitCode !== null);
  if (child.exitCode !== null) assert.fail(`the hub did not start: ${(await child.ended).said}`);
  return readFileSync(ready, 'utf8').match(/^listening http (\S+)/m)[1];
}

/// A page that fails the test when it says an error or asks another host.
async function open(browser, http, width, height, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  const faults = [];
  page.on('console', message => ['error', 'warning'].includes(message.type()) && faults.push(`console: ${message.text()}`));
  page.on('pageerror', error => faults.push(`error: ${error}`));
  page.on('request', request => new URL(request.url()).host !== http && faults.push(`asks ${request.url()}`));
  page.on('response', response => response.status() >= 400 && faults.push(`${response.status()} ${response.url()}`));
  page.faults = faults;
  page.loads = 0;
  page.on('load', () => { page.loads += 1; });
  await page.goto(`http://${http}/shop/`);
  await page.getByRole('status').filter({ hasText: /^live$/ }).waitFor();
  await page.locator('[data-product="1"]').waitFor();
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${name}: ${wide} pixels stand out on the right`);
  assert.deepEqual(page.faults, [], name);
}

const balanceOf = async (page, product) => page.locator(`[data-product="${product}"] .balance`).textContent();

async function walk(browser, http) {
  const page = await open(browser, http, 1440, 900, 'light');
  const narrow = await open(browser, http, 360, 740, 'dark');
  assert.equal(await balanceOf(page, 1), '200 in stock');
  await page.getByText('Nothing in it yet').waitFor();
  await page.getByText('None yet. An order appears here').waitFor();
  await shoot(page, 'empty-1440-light');
  await shoot(narrow, 'empty-360-dark');

  // By the keyboard alone: into the cart, one more, place the order.
  await page.getByRole('button', { name: /into the cart: Enamel mug/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /into the cart: Canvas bag/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /one more Canvas bag/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('59.90').waitFor();
  await shoot(page, 'cart-1440-light');
  await page.getByRole('button', { name: 'Place the order' }).focus();
  await page.keyboard.press('Enter');

  // It turns by itself, here and on the other page the stock.
  const order = page.locator('.orders li').first();
  await order.locator('.badge.successful').waitFor();
  await until('the stock', async () => (await balanceOf(page, 1)) === '199 in stock' && (await balanceOf(page, 2)) === '198 in stock');
  await until('the stock on the other page', async () => (await balanceOf(narrow, 2)) === '198 in stock');
  assert.equal(page.loads, 1, 'no reload');
  await shoot(page, 'ordered-1440-light');

  // Canceled: the stock returns.
  await order.getByRole('button', { name: /^cancel order/ }).click();
  await order.locator('.badge.canceled').waitFor();
  await until('the stock to return', async () => (await balanceOf(page, 1)) === '200 in stock' && (await balanceOf(page, 2)) === '200 in stock');
  assert.equal(page.loads, 1, 'no reload');
  await shoot(page, 'canceled-1440-light');

  // More than there is.
  await page.getByRole('button', { name: /into the cart: Folding rule/ }).click();
  for (let more = 0; more < 3; more += 1) await page.getByRole('button', { name: /one more Folding rule/ }).click();
  await page.getByRole('button', { name: 'Place the order' }).click();
  await page.locator('.orders li').first().locator('.badge.unsuccessful').waitFor();
  assert.equal(await balanceOf(page, 6), '3 in stock');

  // Customers by the dozen.
  await page.getByRole('spinbutton', { name: 'Orders' }).fill('60');
  await page.getByRole('button', { name: 'Simulate customers' }).click();
  await page.getByRole('button', { name: 'Simulate customers' }).waitFor();
  await until('all to be decided', async () => {
    const [yes, no, failed] = await page.locator('.tally dd').allTextContents();
    assert.equal(failed, '0');
    return Number(yes) + Number(no) === 60;
  });
  await shoot(page, 'customers-1440-light');
  await shoot(narrow, 'customers-360-dark');

  // What an administrator sees.
  await page.getByRole('tab', { name: 'Administration' }).click();
  await page.getByRole('spinbutton', { name: /change of Field thermometer/ }).fill('75');
  await page.getByRole('button', { name: /book the change of Field thermometer/ }).click();
  await page.getByText('+75 Field thermometer: booked').waitFor();
  await page.getByRole('button', { name: 'Check the books' }).click();
  await page.getByText('The books are right.').waitFor();
  await page.locator('.orders .link').first().click();
  await page.getByText('the customer placed it').waitFor();
  await page.getByText(/its status was told/).first().waitFor();
  await shoot(page, 'admin-1440-light');
  await page.getByRole('searchbox', { name: 'Order' }).fill('nobody');
  await page.keyboard.press('Enter');
  await page.getByText('No order looks like that.').waitFor();

  await narrow.getByRole('button', { name: /into the cart: Wool socks/ }).click();
  await narrow.getByRole('button', { name: 'Place the order' }).click();
  await narrow.locator('.badge.successful').waitFor();
  await shoot(narrow, 'ordered-360-dark');
  await narrow.getByRole('tab', { name: 'Administration' }).click();
  await narrow.locator('.orders .link').first().click();
  await narrow.getByText('the customer placed it').waitFor();
  await shoot(narrow, 'admin-360-dark');

  for (const [width, height, scheme] of [[1440, 900, 'dark'], [360, 740, 'light']]) {
    const other = await open(browser, http, width, height, scheme);
    await other.getByRole('button', { name: /into the cart: Canvas bag/ }).click();
    await other.getByRole('button', { name: 'Place the order' }).click();
    await other.locator('.badge.successful').waitFor();
    await shoot(other, `ordered-${width}-${scheme}`);
  }
}

let code = 1;
let browser;
try {
  const http = await hub();
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run'],
  });
  await walk(browser, http);
  console.log(`shop: the page was driven; screenshots in ${SHOTS}`);
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
