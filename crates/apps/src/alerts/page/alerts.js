// The page of alerts: a map, a list, and a state that nobody can mistake.
import { html, render, useEffect, useMemo, useRef, useState } from './htm-preact.js';
import { allowNotices, allowSound, notice, sound } from './alarm.js';
import { follow } from './live.js';
import { MapOf } from './chart.js';
import { Desk } from './desk.js';
import { current, fold } from './model.js';
import { Simulator } from './simulator.js';

const FILTERS = ['alerts/#', 'alerts-exercise/#', 'alerts-test/#'];
const DESK = 'alerts-desk/#';
const TOLD_MAX = 50;  // lines in the list of what was told

// Right to left where the reader's language is, or where the address says so.
const asked = new URLSearchParams(location.search).get('dir');
document.documentElement.dir = asked ?? (/^(he|ar|fa|ur|yi)\b/.test(navigator.language) ? 'rtl' : 'ltr');

const WORDS = {
  'open': 'Alert', 'close': 'Extended', 'update': 'Update', 'all-clear': 'All clear', 'pre-alert': 'Pre-alert', 'pre-alert-end': 'Pre-alert over',
};
const STATUS = { actual: '', exercise: 'EXERCISE', test: 'TEST' };

function leftOf(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86_400)} days`;
}

const timeOf = time => new Date(time).toLocaleTimeString([], { hour12: false });

function useStored(name, begin) {
  const [value, setValue] = useState(() => localStorage.getItem(`alerts.${name}`) ?? begin);
  return [value, value => { localStorage.setItem(`alerts.${name}`, value); setValue(value); }];
}

// ---- what comes ----

function useAlerts(onNews) {
  const [active, setActive] = useState(new Map());
  const [told, setTold] = useState([]);
  const [state, setState] = useState('connecting');
  const [caps, setCaps] = useState({});
  const [rights, setRights] = useState({ mayReport: false, isDesk: false });
  const held = useRef({ active: new Map(), fresh: {} });
  const news = useRef(onNews);
  news.current = onNews;

  useEffect(() => {
    let asking = null;
    // Shapes of CAP messages aren't told live; the table has them.
    const askShapes = () => {
      asking ??= setTimeout(async () => {
        asking = null;
        try {
          const board = await (await fetch('api/active', { cache: 'no-store' })).json();
          // Ends are told by the hub's clock; this machine's may be wrong.
          skew = Date.parse(board.now) - Date.now();
          setRights({ mayReport: board.may_report, isDesk: board.is_desk });
          setCaps(Object.fromEntries(board.active.map(alert => [`${alert.status}/${alert.stage}/${alert.location}`, alert])));
        } catch { /* the map does without */ }
      }, 150);
    };
    const statusOf = filter => filter === FILTERS[0] ? 'actual' : filter.slice('alerts-'.length, -'/#'.length);
    const stop = follow([...FILTERS, DESK], {
      onBegin(filter) { held.current.fresh[statusOf(filter)] = new Set(); },
      onEvent(filter, event, isState) {
        if (filter === DESK) { askShapes(); return; }
        const { current: all } = held;
        const after = fold(all.active, event, clock());
        if (!after) return;
        if (isState) all.fresh[statusOf(filter)]?.add(after.told.key);
        all.active = after.active;
        setActive(all.active);
        askShapes();
        if (isState) return;
        setTold(told => [{ ...after.told, seq: event.seq, at: event.time }, ...told].slice(0, TOLD_MAX));
        if (after.isNews) news.current(after.told);
      },
      onReady(filter, isNew) {
        // What isn't among the states any more ended while this page was away.
        const { current: all } = held, status = statusOf(filter), fresh = all.fresh[status] ?? new Set();
        delete all.fresh[status];
        if (!isNew) return;
        all.active = new Map([...all.active].filter(([key, alert]) => alert.status !== status || fresh.has(key)));
        setActive(all.active);
      },
      onState: setState,
    });
    askShapes();
    return () => { stop(); clearTimeout(asking); };
  }, []);
  return { active, told, caps, rights, state };
}

// The hub's clock, as far as this page knows.
let skew = 0;
const clock = () => Date.now() + skew;

function useNow() {
  const [now, setNow] = useState(clock());
  useEffect(() => { const timer = setInterval(() => setNow(clock()), 500); return () => clearInterval(timer); }, []);
  return now;
}

// ---- pieces ----

function Connection({ state }) {
  const since = useRef(Date.now());
  const isLive = state === 'live';
  if (isLive) since.current = Date.now();
  const seconds = Math.max(0, Math.round((Date.now() - since.current) / 1000));
  if (isLive) return html`<p class="link live" role="status"><i aria-hidden="true"></i>live</p>`;
  // Said once by a screen reader, not each second.
  return html`<p class="link lost" role="alert" aria-label=${state === 'lost' ? 'Not live. What this page shows may be old.' : 'Connecting'}>
    ${state === 'refused' ? html`<strong>not live</strong> <span>the hub lets only those who have <a href="/">logged in</a> watch</span>`
      : state === 'lost' || seconds > 2 ? html`<strong>not live for ${seconds} s</strong> <span>what you see may be old; trying again</span>` : 'connecting'}</p>`;
}

function Overall({ alerts, isLive, place }) {
  const actual = alerts.filter(alert => alert.status === 'actual' && alert.stage === 'alert');
  const warnings = alerts.filter(alert => alert.status === 'actual' && alert.stage === 'pre-alert');
  const where = place ? ` at places like “${place}”` : '';
  const [kind, head, note] = actual.length
    ? ['alert', actual.length === 1 ? `ALERT: ${actual[0].location}` : `${actual.length} ALERTS`, actual.length === 1 ? actual[0].type : 'act now if you are at one of these places']
    : warnings.length ? ['warning', warnings.length === 1 ? `PRE-ALERT: ${warnings[0].location}` : `${warnings.length} PRE-ALERTS`, 'prepare: an alert may follow']
    : isLive ? ['calm', 'No active alerts', `Nothing is active${where}. This page is told at once when that changes.`]
    : ['unknown', 'State unknown', 'This page is not connected, and knows of no alert.'];
  return html`<section class="overall ${kind}" aria-label="State">
    <span class="sign" aria-hidden="true">${{ alert: '!', warning: '△', calm: '✓', unknown: '?' }[kind]}</span>
    <div><h2><bdi>${head}</bdi></h2><p><bdi>${note}</bdi></p>
      ${!isLive && kind !== 'unknown' && html`<p class="stale">as it was when this page was last live; it may have changed</p>`}</div>
  </section>`;
}

function Card({ alert, known, now }) {
  const mark = STATUS[alert.status];
  const cap = known?.cap;
  return html`<li class="card ${alert.stage} ${alert.status}">
    <div class="what">
      <span class="badge">${mark ? `${mark} – not real` : alert.stage === 'alert' ? 'ALERT' : 'PRE-ALERT'}</span>
      <h3><bdi>${alert.location}</bdi></h3>
      <p class="type"><bdi>${alert.type}</bdi></p>
      ${cap?.headline && html`<p><bdi>${cap.headline}</bdi></p>`}
      ${cap?.instruction && html`<p class="instruction" dir="auto">${cap.instruction}</p>`}
      ${known?.acknowledged && html`<p class="desk">noted by <bdi>${known.acknowledged.by}</bdi>: <bdi>${known.acknowledged.reason}</bdi></p>`}
      ${known?.silenced && html`<p class="desk">silenced by <bdi>${known.silenced.by}</bdi> until ${timeOf(known.silenced.until)}: <bdi>${known.silenced.reason}</bdi></p>`}
    </div>
    <div class="time"><strong>${leftOf(alert.end - now)}</strong><span>left, until ${timeOf(alert.end)}</span><span>since <time datetime=${alert.sentTime}>${timeOf(alert.sentTime)}</time></span></div>
  </li>`;
}

function Told({ told }) {
  if (!told.length) return html`<p class="hint">What is told while this page is open is listed here.</p>`;
  return html`<ol class="told" tabindex="0" aria-label="Told, the newest first">${told.map(line => html`<li key=${line.seq} class="${line.word} ${line.status}">
    <time datetime=${line.at}>${timeOf(line.at)}</time><b>${STATUS[line.status]} ${WORDS[line.word] ?? line.word}</b><bdi>${line.location}</bdi><bdi class="type">${line.type}</bdi>
  </li>`)}</ol>`;
}

function Switches({ hasSound, setSound, hasNotices, setNotices }) {
  const [refused, setRefused] = useState(false);
  const askNotices = async event => {
    const wanted = event.target.checked;
    const allowed = wanted && await allowNotices();
    setRefused(wanted && !allowed);
    event.target.checked = allowed;
    setNotices(allowed ? 'on' : 'off');
  };
  return html`<div class="switches">
    <label><input type="checkbox" checked=${hasSound} onChange=${event => { if (event.target.checked) { allowSound(); sound('pre-alert'); } setSound(event.target.checked ? 'on' : 'off'); }} /> Sound</label>
    <label><input type="checkbox" checked=${hasNotices} onChange=${askNotices} /> Notifications</label>
    ${refused && html`<span class="hint" role="status">the browser doesn't allow them for this page</span>`}
  </div>`;
}

function App() {
  const now = useNow();
  const [place, setPlace] = useStored('place', '');
  const [soundOn, setSound] = useStored('sound', 'off');
  const [noticesOn, setNotices] = useStored('notices', 'off');
  const [said, setSaid] = useState('');
  const wanted = place.trim().toLowerCase();
  const isWanted = alert => !wanted || alert.location.toLowerCase().includes(wanted);
  const { active, told, caps, rights, state } = useAlerts(news => {
    if (!isWanted(news)) return;
    const text = `${STATUS[news.status]} ${WORDS[news.word] ?? news.word}: ${news.location}, ${news.type}`.trim();
    setSaid(text);
    // A test makes no noise: it must not be mistaken by those who only hear it.
    if (news.status !== 'actual') return;
    if (soundOn === 'on') sound(news.word);
    if (noticesOn === 'on') notice(text, `until ${timeOf(news.end)}`, news.key);
  });
  const alerts = useMemo(() => current(active, now), [active, now]);
  const shown = alerts.filter(isWanted);
  const capOf = alert => caps[`${alert.status}/${alert.stage}/${alert.location}`];
  useEffect(() => {
    const count = shown.filter(alert => alert.status === 'actual').length;
    document.title = `${state === 'live' ? '' : 'NOT LIVE · '}${count ? `(${count}) ` : ''}Alerts · Headwater`;
  });
  return html`<header>
      <a class="home" href="/" aria-label="Headwater, the console"><img src="icon.svg" alt="" width="30" height="30" /></a>
      <div><h1>Alerts</h1><p>told as they happen</p></div>
      <${Connection} state=${state} />
    </header>
    <div class="spoken" aria-live="assertive" role="log">${said}</div>
    <main>
      <${Overall} alerts=${shown} isLive=${state === 'live'} place=${place.trim()} />
      <section class="panel list" aria-labelledby="active">
        <div class="bar"><h2 id="active">Active</h2>
          <label class="filter">Place<input id="place" type="search" value=${place} onInput=${event => setPlace(event.target.value)} placeholder="every place" autocomplete="off" dir="auto" /></label>
          <${Switches} hasSound=${soundOn === 'on'} setSound=${setSound} hasNotices=${noticesOn === 'on'} setNotices=${setNotices} />
        </div>
        ${shown.length
          ? html`<ul class="cards">${shown.slice(0, 200).map(alert => html`<${Card} key=${alert.key} alert=${alert} known=${capOf(alert)} now=${now} />`)}</ul>
            ${shown.length > 200 && html`<p class="hint">and ${shown.length - 200} more: filter by place</p>`}`
          : html`<p class="hint">${alerts.length ? `None at places like “${place}”; ${alerts.length} elsewhere.` : 'None.'}${rights.mayReport && ' Try it with the simulator below, or:'}</p>
            ${rights.mayReport && html`<pre tabindex="0"><code>${`curl -H 'Content-Type: application/json' ${location.origin}/api/alerts \\\n  -d '{"location":"Haifa","type":"Flood","timestamp":"'$(date -u +%FT%TZ)'","duration":5}'`}</code></pre>`}`}
      </section>
      <${MapOf} alerts=${shown} capOf=${capOf} />
      <section class="panel log" aria-labelledby="told"><div class="bar"><h2 id="told">Told</h2></div><${Told} told=${told} /></section>
      ${rights.isDesk && html`<${Desk} places=${shown.filter(alert => alert.status === 'actual').map(alert => alert.location)} news=${told.length} />`}
      ${rights.mayReport && html`<${Simulator} />`}
    </main>
    <footer><a href="feed.atom">Atom feed</a> · each entry is a CAP 1.2 message · live by Socket.IO, MQTT, WebSocket and server-sent events: <code>alerts/#</code></footer>`;
}

render(html`<${App} />`, document.getElementById('app'));
