// What happens, as it happens. What can't be shown is said, never dropped silently.
import { html, useCallback, useEffect, useRef, useState } from '/console/preact.js';
import { ask } from '/console/api.js';
import { compact, count } from '/console/format.js';
import { Complaint, Empty, EventLine } from '/console/parts.js';
import { replace } from '/console/place.js';

const ROWS_MAX = 200; // older ones are in the topic's history

// A line that was drawn is not looked at again: the same piece means the same line.
const lines = new WeakMap();

function lineOf(event) {
  if (!lines.has(event)) lines.set(event, html`<${EventLine} key=${event.seq} event=${event} />`);
  return lines.get(event);
}

const NOTHING = { shown: 0, skipped: 0, unread: 0, now: 0 };

const STATES = { connecting: 'connecting', live: 'live', lost: 'connection lost, trying again', closed: 'ended' };

function useTail(filter) {
  const [state, setState] = useState('connecting');
  const [error, setError] = useState(null);
  const [rows, setRows] = useState([]);
  const [sample, setSample] = useState(NOTHING);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    setState('connecting');
    setError(null);
    setRows([]);
    setSample(NOTHING);
    const url = `/v1/admin/tail?filter=${encodeURIComponent(filter)}`;
    const source = new EventSource(url);
    let quietAt = 0;
    source.onopen = () => { setState('live'); setError(null); };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return setState('lost');
      setState('closed');
      // An event source doesn't say why; the route does.
      const stop = new AbortController();
      return fetch(url, { signal: stop.signal }).then(async answer => {
        const why = answer.ok ? 'The tail has ended.' : (await answer.json()).detail;
        stop.abort();
        setError(new Error(why));
      }).catch(() => setError(new Error('The hub can’t be reached.')));
    };
    source.addEventListener('end', event => { setError(new Error(JSON.parse(event.data).detail)); setState('closed'); source.close(); });
    source.addEventListener('news', event => {
      const { events, skipped, unread } = JSON.parse(event.data);
      if (events.length) setRows(rows => [...rows, ...events].slice(-ROWS_MAX));
      const passed = skipped + unread;
      if (passed) quietAt = Date.now();
      setSample(sample => ({
        shown: sample.shown + events.length,
        skipped: sample.skipped + skipped,
        unread: sample.unread + unread,
        now: passed && events.length ? Math.round((events.length + skipped) / events.length) : Date.now() - quietAt < 1_500 ? sample.now : 0,
      }));
    });
    return () => source.close();
  }, [filter, turn]);
  return { state, error, rows, sample, again: () => setTurn(turn => turn + 1) };
}

function Sampled({ sample }) {
  if (!sample.skipped && !sample.unread) return html`<p class="count">${count(sample.shown)} shown</p>`;
  return html`<p class="sampled"><b>${sample.now > 1 ? `sampled 1:${count(sample.now)}, ` : ''}${compact(sample.skipped)} skipped</b>${sample.unread ? html`, and ${compact(sample.unread)} places of the log passed over unread` : ''}
    <span> since the tail began; all are stored</span></p>`;
}

export function Tail({ params }) {
  const [filter, setFilter] = useState(params.filter || '#');
  const [typed, setTyped] = useState(params.filter || '#');
  const tail = useTail(filter);
  const [frozen, setFrozen] = useState(null);
  const [said, setSaid] = useState('');
  const list = useRef(null);
  const stuck = useRef(true);
  const rows = frozen ?? tail.rows;
  const toggle = useCallback(() => {
    setFrozen(frozen => frozen ? null : tail.rows);
    setSaid(frozen ? 'Going on' : 'Paused');
  }, [tail.rows, frozen]);
  useEffect(() => replace('tail', { filter: filter === '#' ? '' : filter }), [filter]);
  useEffect(() => {
    const onKey = event => {
      if (event.key !== 'p' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog[open]')) return;
      toggle();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [toggle]);
  useEffect(() => { if (stuck.current && list.current) list.current.scrollTop = list.current.scrollHeight; }, [rows]);
  const onScroll = event => {
    const { scrollTop, scrollHeight, clientHeight } = event.target;
    stuck.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  const onSubmit = event => {
    event.preventDefault();
    setFrozen(null);
    if (typed === filter) tail.again();
    else setFilter(typed || '#');
  };
  return html`<form class="bar" onSubmit=${onSubmit}>
      <label class="grow"><span>Filter: <code>+</code> for one level, <code>#</code> for the rest</span>
        <input data-search class="mono" value=${typed} onInput=${event => setTyped(event.target.value)} maxlength="1024" spellcheck="false" autocapitalize="none" autocomplete="off" /></label>
      <button class="main">Follow</button>
      <button type="button" onClick=${toggle} aria-pressed=${frozen !== null} aria-keyshortcuts="p">${frozen ? 'Go on' : 'Pause'}</button>
    </form>
    <p class="said-aloud" role="status">${said}</p>
    <div class="panel tail">
      <div class="head"><span class="state ${tail.state}" role="status"><i aria-hidden="true"></i>${frozen ? 'paused' : STATES[tail.state]}</span><${Sampled} sample=${tail.sample} /></div>
      <${Complaint} error=${tail.error} retry=${tail.again} />
      ${rows.length === 0 && !tail.error ? html`<${Empty} title="Nothing yet"><p>What is published to <code>${filter}</code> from now on appears here as soon as it is on disk. Up to a hundred events a second are shown; beyond that they are sampled, and the page says so.</p><//>`
        : html`<div class="events" ref=${list} onScroll=${onScroll} tabindex="0" role="log" aria-live="off" aria-label="Events, the newest at the end">
          ${rows.map(lineOf)}</div>`}
    </div>`;
}
