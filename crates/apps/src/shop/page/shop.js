// The shop's page: catalogue, cart, orders whose status turns by itself; and what an administrator sees.
import { html, render, useCallback, useEffect, useMemo, useRef, useState } from './htm-preact.js';

const ORDERS_MAX = 50;          // orders of this browser that are kept and shown
const POLL_EVERY_MS = 2000;     // how often a status is asked for that no notice has told
const AGAIN_AFTER_MS = 1500;    // before the WebSocket is tried again
const CUSTOMERS_MAX = 1000;     // orders of one simulation
const AT_ONCE = 8;              // customers that order at the same time
const money = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const number = new Intl.NumberFormat('en');

// ---- talking to the hub ----

async function ask(path, options = {}) {
  const response = await fetch(path, options);
  if (response.status === 404) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new Error(answer?.detail ?? `HTTP ${response.status}`);
}

const send = (path, body, headers = {}) =>
  ask(path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });

function stored(name, otherwise) {
  try { return JSON.parse(localStorage.getItem(name)) ?? otherwise; } catch { return otherwise; }
}

// One WebSocket for all topics that somebody here wants to be told of; it comes back by itself.
class Line {
  constructor() {
    this.wanted = new Map();
    this.isRefused = false;
    this.onState = () => {};
    this.connect();
  }

  connect() {
    this.onState('connecting');
    const socket = this.socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/ws`, 'headwater.v1');
    socket.onopen = () => {
      this.onState('live');
      for (const filter of this.wanted.keys()) this.say('subscribe', filter);
    };
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.op === 'event') this.wanted.get(frame.filter)?.(frame.event);
      // Who may not watch asks instead.
      if (frame.op === 'error') this.isRefused = true;
    };
    socket.onclose = () => {
      this.onState('reconnecting');
      setTimeout(() => this.connect(), AGAIN_AFTER_MS);
    };
  }

  get isDeaf() {
    return this.isRefused || this.socket.readyState !== WebSocket.OPEN;
  }

  say(op, filter) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ op, filter }));
  }

  watch(filter, tell) {
    this.wanted.set(filter, tell);
    this.say('subscribe', filter);
    return () => {
      if (this.wanted.delete(filter)) this.say('unsubscribe', filter);
    };
  }
}

const line = new Line();

function useLine() {
  const [state, setState] = useState('connecting');
  useEffect(() => {
    line.onState = setState;
    if (line.socket.readyState === WebSocket.OPEN) setState('live');
    return () => { line.onState = () => {}; };
  }, []);
  return state;
}

// ---- the catalogue ----

function useCatalogue() {
  const [goods, setGoods] = useState(null);
  const [error, setError] = useState(null);
  const load = useCallback(() => ask('/shop/inventory')
    .then(goods => { setGoods(goods); setError(null); })
    .catch(error => setError(error.message)), []);
  useEffect(() => {
    load();
    const end = line.watch('shop/inventory/+', event => {
      if (!event.payload) return;
      const told = JSON.parse(event.payload);
      setGoods(goods => {
        if (!goods) return goods;
        const others = goods.filter(product => product.id !== told.id);
        return [...others, told].sort((a, b) => a.id - b.id);
      });
    });
    const timer = setInterval(() => line.isDeaf && load(), POLL_EVERY_MS);
    return () => { end(); clearInterval(timer); };
  }, []);
  return { goods, error, load };
}

// ---- the orders of this browser ----

const isFinal = status => status !== 'unknown';

function useOrders() {
  const [orders, setOrders] = useState(() => stored('shop-orders', []));
  const latest = useRef(orders);
  latest.current = orders;
  useEffect(() => { localStorage.setItem('shop-orders', JSON.stringify(orders)); }, [orders]);
  const turn = useCallback((id, status) => {
    setOrders(orders => orders.map(order => order.id === id ? { ...order, status, canceling: order.canceling && status !== 'canceled' } : order));
  }, []);
  const look = useCallback(id => ask(`/shop/order/${encodeURIComponent(id)}`)
    .then(answer => turn(id, answer?.order_status ?? 'gone'))
    .catch(() => {}), []);
  const ids = orders.map(order => order.id).join(' ');
  useEffect(() => {
    // Watched first, asked then: whatever happens between the two is told.
    const ends = latest.current.map(({ id }) => line.watch(`shop/order/${id}`, event => {
      if (event.payload) turn(id, JSON.parse(event.payload).order_status);
    }));
    return () => ends.forEach(end => end());
  }, [ids]);
  useEffect(() => {
    for (const order of latest.current) look(order.id);
    const timer = setInterval(() => {
      for (const order of latest.current) if (!isFinal(order.status) || order.canceling) look(order.id);
    }, POLL_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const add = useCallback(order => setOrders(orders => [order, ...orders].slice(0, ORDERS_MAX)), []);
  const cancel = useCallback(async id => {
    setOrders(orders => orders.map(order => order.id === id ? { ...order, canceling: true } : order));
    try {
      await ask(`/shop/order/${encodeURIComponent(id)}`, { method: 'DELETE' });
      return null;
    } catch (error) {
      setOrders(orders => orders.map(order => order.id === id ? { ...order, canceling: false } : order));
      return error.message;
    }
  }, []);
  const forget = useCallback(() => setOrders(orders => orders.filter(order => !isFinal(order.status))), []);
  return { orders, add, cancel, forget };
}

// ---- pieces ----

const STATES = { connecting: 'connecting', live: 'live', reconnecting: 'connection lost, trying again' };
const WORDS = {
  unknown: 'being looked at', successful: 'successful', unsuccessful: 'not enough in stock', canceled: 'canceled', awaited: 'awaited', gone: 'not known here',
};

function Badge({ status }) {
  return html`<span class="badge ${status}">${WORDS[status] ?? status}</span>`;
}

function Balance({ balance }) {
  const kind = balance === 0 ? 'none' : balance < 10 ? 'few' : '';
  return html`<span class="balance ${kind}">${balance === 0 ? 'sold out' : `${number.format(balance)} in stock`}</span>`;
}

function Product({ product, add }) {
  return html`<li data-product=${product.id}>
    <span class="name">${product.product_name}</span>
    <div class="facts"><span class="price">${money.format(product.price)}</span><${Balance} balance=${product.balance} /></div>
    <div class="take"><button onClick=${() => add(product.id)} disabled=${product.balance === 0}
      aria-label=${`into the cart: ${product.product_name}`}>Into the cart</button></div>
  </li>`;
}

function Catalogue({ catalogue, add }) {
  const { goods, error } = catalogue;
  return html`<section class="panel" aria-labelledby="catalogue">
    <div class="head"><h2 id="catalogue">Catalogue</h2><p>what is in stock, live</p></div>
    ${error && html`<p class="hint error" role="alert">${error}</p>`}
    ${goods === null && !error && html`<p class="hint">Looking at the shelves…</p>`}
    ${goods?.length === 0 && html`<p class="hint">The shelves are empty. An administrator can add the first product under Administration.</p>`}
    ${goods?.length > 0 && html`<ul class="goods">${goods.map(product => html`<${Product} key=${product.id} product=${product} add=${add} />`)}</ul>`}
  </section>`;
}

function Count({ count, name, set }) {
  return html`<span class="count" role="group" aria-label=${`how many of ${name}`}>
    <button onClick=${() => set(count - 1)} aria-label=${`one ${name} less`}>−</button>
    <output aria-live="polite">${count}</output>
    <button onClick=${() => set(count + 1)} aria-label=${`one more ${name}`}>+</button>
  </span>`;
}

function Cart({ cart, setCart, goods, place, placing, error }) {
  const rows = [...cart].map(([id, count]) => ({ id, count, product: goods?.find(product => product.id === id) }));
  const total = rows.reduce((sum, { count, product }) => sum + count * (product?.price ?? 0), 0);
  const set = id => count => setCart(cart => {
    const next = new Map(cart);
    if (count > 0) next.set(id, count); else next.delete(id);
    return next;
  });
  return html`<section class="panel" aria-labelledby="cart">
    <div class="head"><h2 id="cart">Cart</h2>${rows.length > 0 && html`<button class="small" onClick=${() => setCart(new Map())}>Empty it</button>`}</div>
    ${rows.length === 0 && html`<p class="hint">Nothing in it yet. Choose something from the catalogue.</p>`}
    <ul class="lines">${rows.map(({ id, count, product }) => html`<li key=${id}>
      <span>${product?.product_name ?? `product ${id}`}</span>
      <${Count} count=${count} name=${product?.product_name ?? `product ${id}`} set=${set(id)} />
      <span class="sum">${money.format(count * (product?.price ?? 0))}</span>
    </li>`)}</ul>
    ${error && html`<p class="hint error" role="alert">${error}</p>`}
    ${rows.length > 0 && html`<div class="total"><strong>${money.format(total)}</strong>
      <button class="main" onClick=${place} disabled=${placing}>${placing ? 'Placing…' : 'Place the order'}</button></div>`}
  </section>`;
}

const spelt = (items, goods) => items
  .map(({ inventoryId, count }) => `${count} × ${goods?.find(product => String(product.id) === String(inventoryId))?.product_name ?? `product ${inventoryId}`}`)
  .join(', ');

function Orders({ orders, cancel, forget, goods }) {
  const [error, setError] = useState(null);
  const newest = orders[0];
  return html`<section class="panel" aria-labelledby="orders">
    <div class="head"><h2 id="orders">Your orders</h2>${orders.some(order => isFinal(order.status)) && html`<button class="small" onClick=${forget}>Tidy up</button>`}</div>
    <p class="unseen" role="status">${newest ? `Your latest order: ${WORDS[newest.status]}` : ''}</p>
    ${error && html`<p class="hint error" role="alert">${error}</p>`}
    ${orders.length === 0 && html`<p class="hint">None yet. An order appears here as soon as it is placed, and its status turns by itself.</p>`}
    <ul class="orders">${orders.map(order => html`<li key=${order.id} data-order=${order.id}>
      <code title=${order.id}>${order.id.slice(0, 8)}…${order.id.slice(-4)}</code>
      <span class="act"><${Badge} status=${order.status} />
        ${(order.status === 'successful' || order.status === 'unknown') && html`<button class="small" disabled=${order.canceling}
          onClick=${async () => setError(await cancel(order.id))} aria-label=${`cancel order ${order.id.slice(0, 8)}`}>${order.canceling ? 'Canceling…' : 'Cancel'}</button>`}
      </span>
      <span class="what">${spelt(order.items, goods)}</span>
    </li>`)}</ul>
  </section>`;
}

// ---- simulated customers: as many real orders as wanted, from this page ----

function useCustomers(goods) {
  const [tally, setTally] = useState(null);
  const running = useRef(null);
  const stop = useCallback(() => { if (running.current) running.current.over = true; }, []);
  const run = useCallback(async wanted => {
    const mine = running.current = { over: false };
    const begun = performance.now();
    const counts = { wanted, placed: 0, successful: 0, unsuccessful: 0, failed: 0, took: 0, running: true };
    const show = () => { counts.took = performance.now() - begun; setTally({ ...counts }); };
    const timer = setInterval(show, 200);
    const customer = async () => {
      while (!mine.over && counts.placed + counts.failed < wanted) {
        counts.placed += 1;
        const several = [...goods].sort(() => Math.random() - .5).slice(0, 1 + Math.floor(Math.random() * 2));
        const items = several.map(product => ({ inventoryId: product.id, count: 1 }));
        try {
          const { orderId } = await send('/shop/order', { items });
          let status = 'unknown';
          for (let tries = 0; status === 'unknown' && tries < 100; tries += 1) {
            await new Promise(resolve => setTimeout(resolve, Math.min(20 * (tries + 1), 500)));
            status = (await ask(`/shop/order/${orderId}`)).order_status;
          }
          counts[status === 'successful' ? 'successful' : status === 'unsuccessful' ? 'unsuccessful' : 'failed'] += 1;
        } catch {
          counts.failed += 1;
          await new Promise(resolve => setTimeout(resolve, 500));
        }
      }
    };
    show();
    await Promise.all(Array.from({ length: AT_ONCE }, customer));
    clearInterval(timer);
    counts.running = false;
    show();
  }, [goods]);
  return { tally, run, stop };
}

function Customers({ goods }) {
  const { tally, run, stop } = useCustomers(goods);
  const [wanted, setWanted] = useState(50);
  const onSubmit = event => { event.preventDefault(); run(Math.max(1, Math.min(CUSTOMERS_MAX, wanted | 0))); };
  const decided = tally ? tally.successful + tally.unsuccessful : 0;
  return html`<section class="panel" aria-labelledby="customers">
    <div class="head"><h2 id="customers">Simulate customers</h2></div>
    <div class="body">
      <form class="row" onSubmit=${onSubmit}>
        <label>Orders<input type="number" min="1" max=${CUSTOMERS_MAX} value=${wanted} onInput=${event => setWanted(event.target.valueAsNumber)} required /></label>
        ${tally?.running ? html`<button type="button" onClick=${stop}>Stop</button>` : html`<button disabled=${!goods?.length}>Simulate customers</button>`}
      </form>
      ${!tally && html`<p class="dim">Places real orders for random goods, ${AT_ONCE} customers at a time, and waits for each to be decided.</p>`}
      ${tally && html`<progress max=${tally.wanted} value=${decided + tally.failed} aria-label="orders decided"></progress>
      <dl class="tally" aria-label="what became of them">
        <div><dt>successful</dt><dd>${number.format(tally.successful)}</dd></div>
        <div><dt>sold out</dt><dd>${number.format(tally.unsuccessful)}</dd></div>
        <div><dt>refused</dt><dd>${number.format(tally.failed)}</dd></div>
        <div><dt>a second</dt><dd>${number.format(Math.round(decided / Math.max(tally.took, 1) * 1000))}</dd></div>
      </dl>`}
    </div>
  </section>`;
}

// ---- administration ----

function Shelf({ goods, load }) {
  const [said, setSaid] = useState(null);
  const edit = async (body, done) => {
    try {
      await send('/shop/api/stock', body);
      setSaid({ good: true, text: done });
      setTimeout(load, 400);
    } catch (error) {
      setSaid({ good: false, text: error.message });
    }
  };
  const book = product => event => {
    event.preventDefault();
    const change = event.target.elements.change.valueAsNumber;
    edit({ inventoryId: product.id, change }, `${change > 0 ? '+' : ''}${change} ${product.product_name}: booked`);
    event.target.reset();
  };
  const add = event => {
    event.preventDefault();
    const { name, price, stock } = event.target.elements;
    const id = Math.max(0, ...goods.map(product => product.id)) + 1;
    edit({ inventoryId: id, product_name: name.value, price: price.valueAsNumber, balance: stock.valueAsNumber }, `${name.value}: added as product ${id}`);
    event.target.reset();
  };
  return html`<section class="panel" aria-labelledby="shelf">
    <div class="head"><h2 id="shelf">Stock</h2><p role="status" class=${said && !said.good ? 'error' : ''}>${said?.text ?? 'every change is on record'}</p></div>
    ${goods?.length === 0 && html`<p class="hint">No products yet: add the first one below.</p>`}
    <div class="scroll"><table class="shelf">
      <thead><tr><th scope="col">no.</th><th scope="col" class="left">product</th><th scope="col">price</th><th scope="col">in stock</th><th scope="col">book in or out</th></tr></thead>
      <tbody>${goods?.map(product => html`<tr key=${product.id}>
        <td>${product.id}</td><td class="left wide">${product.product_name}</td><td>${money.format(product.price)}</td><td>${number.format(product.balance)}</td>
        <td><form class="edit" onSubmit=${book(product)}>
          <input name="change" type="number" step="1" required placeholder="+50" aria-label=${`change of ${product.product_name}`} />
          <button aria-label=${`book the change of ${product.product_name}`}>Book</button></form></td>
      </tr>`)}</tbody>
    </table></div>
    <div class="body"><form class="row" onSubmit=${add}>
      <label>New product<input name="name" required maxlength="120" placeholder="name" /></label>
      <label>Price<input name="price" type="number" min="0" step="0.01" required /></label>
      <label>Stock<input name="stock" type="number" min="0" step="1" required /></label>
      <button>Add</button>
    </form></div>
  </section>`;
}

function Books() {
  const [books, setBooks] = useState(null);
  const check = () => ask('/shop/api/audit').then(setBooks).catch(error => setBooks({ error: error.message }));
  return html`<section class="panel" aria-labelledby="books">
    <div class="head"><h2 id="books">Books</h2><button class="small" onClick=${check}>Check the books</button></div>
    <div role="status">
    ${!books && html`<p class="hint">Of every product, what is in stock, reserved and sold must be what was booked in. The same in the shell: <code>headwater shop audit</code></p>`}
    ${books?.error && html`<p class="hint error">${books.error}</p>`}
    ${books?.report && html`<p class="hint">${books.balanced ? 'The books are right.' : html`<strong class="error">The books are wrong: ${books.report.faults.join('; ')}</strong>`}</p>
      <div class="scroll"><table><thead><tr><th scope="col">no.</th><th scope="col">booked in</th><th scope="col">stock</th><th scope="col">reserved</th><th scope="col">sold</th></tr></thead>
      <tbody>${Object.entries(books.report.products).map(([id, row]) => html`<tr key=${id}><td>${id}</td><td>${number.format(row.supplied)}</td>
        <td>${number.format(row.stock)}</td><td>${number.format(row.held - row.sold)}</td><td>${number.format(row.sold)}</td></tr>`)}</tbody></table></div>`}
    </div>
  </section>`;
}

const TOPICS = {
  'public-front/order-send': 'the customer placed it', 'public-front/order-canceled': 'the customer asked to cancel it',
  'order/order-canceled': 'the order service canceled it', 'inventory/on-stock': 'the inventory reserved all of it',
  'inventory/out-of-stock': 'the inventory has not all of it',
};

function told(event) {
  if (TOPICS[event.topic]) return TOPICS[event.topic];
  const status = event.payload && JSON.parse(event.payload).order_status;
  return status ? `its status was told: ${WORDS[status]}` : 'its status was taken off the list of latest states';
}

function Timeline({ id }) {
  const [story, setStory] = useState(null);
  useEffect(() => {
    setStory(null);
    ask(`/shop/api/orders/${encodeURIComponent(id)}/timeline`).then(setStory).catch(error => setStory({ error: error.message }));
  }, [id]);
  if (!story) return html`<p class="hint">Reading the log…</p>`;
  if (story.error) return html`<p class="hint error" role="alert">${story.error}</p>`;
  return html`<ol class="timeline" aria-label=${`what happened to order ${id}`}>${story.events.map(event => html`<li key=${event.seq}>
      <span>${told(event)}</span><time datetime=${event.time}>${event.time.slice(11, 23)} · place ${event.seq}</time><code class="dim">${event.topic}</code>
    </li>`)}</ol>
    ${!story.complete && html`<p class="hint">There is more in the log than was looked at.</p>`}
    ${story.events.length === 0 && html`<p class="hint">The log no longer has this order's events.</p>`}`;
}

function Search({ goods }) {
  const [text, setText] = useState('');
  const [status, setStatus] = useState('');
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [picked, setPicked] = useState(null);
  const look = useCallback(event => {
    event?.preventDefault();
    const params = new URLSearchParams({ text, ...(status && { status }) });
    ask(`/shop/api/orders?${params}`).then(answer => { setFound(answer.orders); setError(null); }).catch(error => setError(error.message));
  }, [text, status]);
  useEffect(() => { look(); }, [status]);
  return html`<section class="panel" aria-labelledby="search">
    <div class="head"><h2 id="search">Orders</h2><p>the latest 50, or by name</p></div>
    <div class="body"><form class="row" role="search" onSubmit=${look}>
      <label>Order<input type="search" value=${text} onInput=${event => setText(event.target.value)} placeholder="its name, or how it begins" maxlength="128" autocomplete="off" spellcheck="false" /></label>
      <label>Status<select value=${status} onChange=${event => setStatus(event.target.value)}><option value="">any</option>
        ${['unknown', 'successful', 'unsuccessful', 'canceled'].map(word => html`<option value=${word}>${WORDS[word]}</option>`)}</select></label>
      <button class="main">Search</button></form></div>
    ${error && html`<p class="hint error" role="alert">${error}</p>`}
    ${found?.length === 0 && html`<p class="hint">No order looks like that.</p>`}
    <ul class="orders found" tabindex="0" aria-label="Orders found">${found?.map(order => html`<li key=${order.order_id}>
      <button class="link" aria-expanded=${picked === order.order_id} onClick=${() => setPicked(picked === order.order_id ? null : order.order_id)}>${order.order_id}</button>
      <${Badge} status=${order.order_status} />
      <span class="what">${order.items ? spelt(Object.entries(order.items).map(([inventoryId, count]) => ({ inventoryId, count })), goods) : 'it was never placed'}
        ${' · '}<time datetime=${order.placed_at}>${new Date(order.placed_at).toLocaleString()}</time></span>
      ${picked === order.order_id && html`<div class="what"><${Timeline} id=${order.order_id} /></div>`}
    </li>`)}</ul>
  </section>`;
}

// ---- the page ----

function Tabs({ tab, setTab }) {
  const names = { shop: 'Shop', admin: 'Administration' };
  const onKey = event => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    const other = tab === 'shop' ? 'admin' : 'shop';
    setTab(other);
    document.getElementById(`tab-${other}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label="Views" onKeyDown=${onKey}>${Object.entries(names).map(([name, label]) => html`
    <button id=${`tab-${name}`} role="tab" aria-selected=${tab === name} aria-controls="panel" tabindex=${tab === name ? 0 : -1} onClick=${() => setTab(name)}>${label}</button>`)}</div>`;
}

function App() {
  const state = useLine();
  const catalogue = useCatalogue();
  const mine = useOrders();
  const [tab, setTab] = useState('shop');
  const [cart, setCart] = useState(() => new Map());
  const [me, setMe] = useState(null);
  const [placing, setPlacing] = useState(false);
  const [error, setError] = useState(null);
  // One key for one cart: a second click, or a second try after a broken connection, is the same order.
  const key = useMemo(() => [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join(''), [cart]);
  useEffect(() => { ask('/shop/api/me').then(setMe).catch(() => {}); }, []);
  const add = useCallback(id => setCart(cart => new Map(cart).set(id, (cart.get(id) ?? 0) + 1)), []);
  const place = async () => {
    setPlacing(true);
    setError(null);
    const items = [...cart].map(([inventoryId, count]) => ({ inventoryId, count }));
    try {
      const { orderId, order_status } = await send('/shop/order', { items }, { 'idempotency-key': key });
      mine.add({ id: orderId, status: order_status, items, canceling: false });
      setCart(new Map());
    } catch (error) {
      setError(error.message);
    }
    setPlacing(false);
  };
  return html`<header>
      <a class="home" href="/" aria-label="Headwater, the console"><img src="icon.svg" alt="" width="28" height="28" /></a>
      <div><h1>Shop</h1><p>orders that count once</p></div>
      <span class="state ${state}" role="status"><i aria-hidden="true"></i>${STATES[state]}</span>
    </header>
    <main>
      ${me?.admin && html`<${Tabs} tab=${tab} setTab=${setTab} />`}
      <div id="panel" class=${tab === 'shop' ? 'two' : 'two even'} role=${me?.admin ? 'tabpanel' : undefined} aria-labelledby=${me?.admin ? `tab-${tab}` : undefined}>
        ${tab === 'shop' ? html`
          <${Catalogue} catalogue=${catalogue} add=${add} />
          <div class="column side">
            <${Cart} cart=${cart} setCart=${setCart} goods=${catalogue.goods} place=${place} placing=${placing} error=${error} />
            <${Orders} ...${mine} goods=${catalogue.goods} />
          </div>
          <${Customers} goods=${catalogue.goods} />` : html`
          <div class="column"><${Shelf} goods=${catalogue.goods} load=${catalogue.load} /><${Books} /></div>
          <div class="column"><${Search} goods=${catalogue.goods} /></div>`}
      </div>
    </main>
    <footer>The same in the shell: <code>curl ${location.origin}/shop/inventory</code></footer>`;
}

render(html`<${App} />`, document.getElementById('app'));
