// The console: which view is on show, who is looking, the keys, the colours.
import { html, render, useCallback, useEffect, useRef, useState } from '/console/preact.js';
import { ask, send, usePoll, whenLoginIsNeeded } from '/console/api.js';
import { Complaint, Icon, Waiting } from '/console/parts.js';
import { link, usePlace } from '/console/place.js';
import { Connections } from '/console/connections.js';
import { Groups } from '/console/groups.js';
import { Nodes } from '/console/nodes.js';
import { Overview } from '/console/overview.js';
import { Sessions } from '/console/sessions.js';
import { Tail } from '/console/tail.js';
import { Topics } from '/console/topics.js';
import { Why } from '/console/why.js';

// In the order of their keys; place.js knows the names.
const VIEWS = [
  ['overview', 'Overview', Overview],
  ['connections', 'Connections', Connections],
  ['topics', 'Topics', Topics],
  ['tail', 'Tail', Tail],
  ['groups', 'Groups & dead letters', Groups],
  ['sessions', 'Sessions', Sessions],
  ['nodes', 'Nodes', Nodes],
  ['why', 'Why don’t I see…?', Why],
];

const KEYS = [
  ['1 … 8', 'show a view'],
  ['/', 'go to the view’s search field'],
  ['p', 'pause the tail, or go on'],
  ['t', 'dark or light'],
  ['?', 'this list'],
  ['Esc', 'close what is open'],
  ['↑ ↓ ← →', 'in the tree of topics: move, open, close'],
];

// ---- colours ----

function useTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const [dark, setDark] = useState(() => (document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark');
  const toggle = useCallback(() => setDark(dark => {
    const chosen = dark ? 'light' : 'dark';
    document.documentElement.dataset.theme = chosen;
    try { localStorage.setItem('headwater-theme', chosen); } catch { /* for this page alone, then */ }
    return !dark;
  }), []);
  useEffect(() => {
    const onChange = () => { if (!document.documentElement.dataset.theme) setDark(system.matches); };
    system.addEventListener('change', onChange);
    return () => system.removeEventListener('change', onChange);
  }, []);
  return [dark, toggle];
}

// ---- the frame ----

function Keys({ onClose }) {
  const dialog = useRef(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="keys-title">
    <h2 id="keys-title">Keys</h2>
    <dl class="keys">${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <div class="choices"><button type="button" onClick=${() => dialog.current.close()} autofocus>Close</button></div>
  </dialog>`;
}

/// The hub's state in a word. Read out only when it changes.
function State({ overview }) {
  const [kind, text] = overview.error ? ['bad', 'not reachable']
    : !overview.data ? ['wait', 'connecting']
      : overview.data.failing ? ['bad', 'failing'] : ['good', 'all is well'];
  return html`<span class="state ${kind}" role="status" title=${overview.data?.failing ?? overview.error?.message ?? ''}><i aria-hidden="true"></i>${text}</span>`;
}

function Header({ overview, me, theme, showKeys, leave }) {
  const [dark, toggle] = theme;
  return html`<header class="top">
    <a class="home" href="#/overview"><img src="/console/icon.svg" alt="" width="30" height="30" /><b>Headwater</b></a>
    <${State} overview=${overview} />
    <span class="spring"></span>
    ${me?.user && html`<span class="who" title=${`role ${me.rights ?? 'none'}`}><b>${me.user}</b><small>${me.rights}</small></span>`}
    ${me?.by_cookie && html`<button type="button" class="plain" onClick=${leave}>Log out</button>`}
    <button type="button" class="plain round" onClick=${showKeys} aria-label="Keys" title="Keys (?)"><${Icon} name="keys" /></button>
    <button type="button" class="plain round" onClick=${toggle} aria-label=${dark ? 'Light colours' : 'Dark colours'}
      title="Dark or light (t)"><${Icon} name=${dark ? 'sun' : 'moon'} /></button>
  </header>`;
}

function Views({ view }) {
  const strip = useRef(null);
  useEffect(() => {
    strip.current.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [view]);
  return html`<nav class="views" aria-label="Views" ref=${strip}>
    ${VIEWS.map(([name, title], at) => html`<a href=${link(name)} aria-current=${name === view ? 'page' : undefined}
      aria-keyshortcuts=${String(at + 1)}><${Icon} name=${name} /><span>${title}</span></a>`)}
    <hr />
    <a class="beside" href="/docs"><span>HTTP interface</span></a>
    <a class="beside" href="/metrics"><span>Metrics</span></a>
    <a class="beside" href="/readyz"><span>Readiness</span></a>
  </nav>`;
}

function Login({ me, onDone }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const onSubmit = async event => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    try {
      await send('POST', '/v1/admin/login', { user: form.get('user'), password: form.get('password') });
      setError(null);
      event.target.reset();
      await onDone();
    } catch (error) {
      setError(error.status === 401 ? new Error('User or password is wrong.') : error);
    }
    setBusy(false);
  };
  return html`<main class="login" id="main"><form onSubmit=${onSubmit}>
    <img src="/console/icon.svg" alt="" width="48" height="48" />
    <h1>Headwater</h1>
    ${me.user
      ? html`<p>You are <b>${me.user}</b>, who has neither the role <code>admin</code> nor <code>observer</code>. Log in as somebody who has.</p>`
      : html`<p>The console is for users with the role <code>admin</code> or <code>observer</code>.</p>`}
    ${!me.can_login && html`<p>There is no user yet. On the machine itself: <code>headwater user add NAME --role admin</code></p>`}
    <label>User<input name="user" autocomplete="username" required autofocus spellcheck="false" autocapitalize="none" /></label>
    <label>Password<input name="password" type="password" autocomplete="current-password" required /></label>
    <${Complaint} error=${error} />
    <button class="main" disabled=${busy}>${busy ? 'Logging in…' : 'Log in'}</button>
  </form></main>`;
}

function useKeys(view, theme, showKeys) {
  useEffect(() => {
    const onKey = event => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog[open]')) return;
      const at = Number(event.key);
      if (at >= 1 && at <= VIEWS.length) location.hash = link(VIEWS[at - 1][0]);
      else if (event.key === '/') document.querySelector('[data-search]')?.focus();
      else if (event.key === 't') theme[1]();
      else if (event.key === '?') showKeys();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [view, theme[1]]);
}

function Inside({ me, theme, refresh }) {
  const { view, params } = usePlace();
  const [keys, setKeys] = useState(false);
  const overview = usePoll('/v1/admin/overview', {}, 1_000);
  const [, title, View] = VIEWS.find(([name]) => name === view);
  const heading = useRef(null);
  const first = useRef(true);
  useKeys(view, theme, () => setKeys(true));
  useEffect(() => {
    document.title = `${title} · Headwater`;
    // Whoever uses a screen reader hears where they have come to.
    if (!first.current) heading.current?.focus();
    first.current = false;
  }, [view]);
  const leave = () => send('POST', '/v1/admin/logout').catch(() => {}).then(refresh);
  return html`<a class="skip" href="#main" onClick=${event => { event.preventDefault(); heading.current?.focus(); }}>Skip to the view</a>
    <${Header} overview=${overview} me=${me} theme=${theme} showKeys=${() => setKeys(true)} leave=${leave} />
    <div class="frame">
      <${Views} view=${view} />
      <main id="main" class=${`view ${view}`}>
        <h1 tabindex="-1" ref=${heading}>${title}</h1>
        ${overview.data?.failing && html`<p class="complaint" role="alert"><${Icon} name="bad" /><span><b>Events can’t be stored.</b> ${overview.data.failing}</span></p>`}
        ${overview.error && overview.data && html`<p class="complaint" role="alert"><${Icon} name="bad" /><span>${overview.error.message} What you see is as old as the last answer.</span></p>`}
        <${View} key=${view} params=${params} overview=${overview} me=${me} may=${me.rights === 'admin'} />
      </main>
    </div>
    ${keys && html`<${Keys} onClose=${() => setKeys(false)} />`}`;
}

function App() {
  const theme = useTheme();
  const [me, setMe] = useState(null);
  const [error, setError] = useState(null);
  const refresh = useCallback(() => ask('/v1/admin/me').then(me => { setMe(me); setError(null); }).catch(setError), []);
  useEffect(() => {
    whenLoginIsNeeded(refresh);
    refresh();
  }, []);
  if (error && !me) return html`<main class="login" id="main"><form onSubmit=${event => event.preventDefault()}><h1>Headwater</h1><${Complaint} error=${error} retry=${refresh} /></form></main>`;
  if (!me) return html`<main class="login" id="main"><${Waiting} /></main>`;
  if (!me.rights) return html`<${Login} me=${me} onDone=${refresh} />`;
  return html`<${Inside} me=${me} theme=${theme} refresh=${refresh} />`;
}

render(html`<${App} />`, document.getElementById('app'));
