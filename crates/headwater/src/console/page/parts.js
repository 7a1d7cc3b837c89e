// Pieces that several views are made of.
import { html, useEffect, useRef, useState } from '/console/preact.js';
import { bytes, clock, moment, payload } from '/console/format.js';

// Drawn for this page, on a grid of 24, one line wide.
const SHAPES = {
  overview: 'M4 19V11M10 19V5M16 19v-6M22 19H2',
  connections: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-4 2.700-6 6-6s6 2 6 6M16 5a3.200 3.200 0 0 1 0 6M18 14.500c2 .800 3 2.700 3 5.500',
  topics: 'M4 5h6M7 5v14M7 12h6M7 19h6M16 12h4M16 19h4',
  tail: 'M3 12h4l3-7 4 14 3-7h4',
  groups: 'M4 6h16M4 12h10M4 18h6M18 15v6M15 18h6',
  sessions: 'M7 4h10a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2zM9 9h6M9 13h6M9 17h3',
  nodes: 'M5 4h14v6H5zM5 14h14v6H5zM8 7h.100M8 17h.100',
  why: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.700.300-1 .800-1 1.700M12 17v.100',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M19 5l-1.400 1.400M6.400 17.600 5 19',
  moon: 'M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500z',
  keys: 'M3 7h18v10H3zM7 11h.100M11 11h.100M15 11h.100M8 14h8',
  good: 'M5 12.500 10 17.500 19 7',
  bad: 'M6 6l12 12M18 6 6 18',
  unclear: 'M9.500 9a2.500 2.500 0 1 1 3.500 2.300c-.700.300-1 .900-1 2.200M12 17v.100',
  right: 'M9 5l7 7-7 7',
};

export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${SHAPES[name]} /></svg>`;

export function Panel({ title, id, actions, children, class: more = '' }) {
  return html`<section class="panel ${more}" aria-labelledby=${id}>
    <div class="head"><h2 id=${id}>${title}</h2>${actions}</div>
    ${children}
  </section>`;
}

export function Complaint({ error, retry }) {
  if (!error) return null;
  return html`<p class="complaint" role="alert"><${Icon} name="bad" /><span>${error.message}</span>
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}</p>`;
}

export const Empty = ({ title, children }) => html`<div class="empty"><h3>${title}</h3>${children}</div>`;

export const Waiting = ({ what = 'Asking the hub' }) => html`<p class="waiting" role="status">${what}…</p>`;

export function Copyable({ label, text }) {
  const [done, setDone] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => { setDone(true); setTimeout(() => setDone(false), 1_500); });
  return html`<figure class="copyable"><figcaption>${label}</figcaption>
    <pre tabindex="0"><code>${text}</code></pre>
    <button type="button" onClick=${copy} aria-label=${`Copy: ${label}`}>${done ? 'Copied' : 'Copy'}</button>
  </figure>`;
}

/// Esc closes what was opened last; a dialog has an Esc of its own.
export function useEscape(close) {
  useEffect(() => {
    const onKey = event => { if (event.key === 'Escape' && !document.querySelector('dialog[open]')) close(); };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [close]);
}

/// A question before something that can't be taken back.
export function Ask({ title, children, yes, onYes, onNo }) {
  const dialog = useRef(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`<dialog ref=${dialog} onClose=${onNo} aria-labelledby="ask-title">
    <h2 id="ask-title">${title}</h2>
    ${children}
    <div class="choices">
      <button type="button" onClick=${onNo} autofocus>Cancel</button>
      <button type="button" class="danger" onClick=${onYes}>${yes}</button>
    </div>
  </dialog>`;
}

/// One event of a list: a line that opens to the whole.
export function EventLine({ event, showTopic = true }) {
  const shown = payload(event);
  const first = shown.kind === 'json' ? event.payload : shown.text;
  // The whole is made when it is wanted: a tail has hundreds of lines.
  const [open, setOpen] = useState(false);
  return html`<details class="event" onToggle=${event => setOpen(event.target.open)}>
    <summary>
      <time datetime=${event.time} title=${moment(event.time)}>${clock(event.time)}</time>
      ${showTopic && html`<span class="topic">${event.topic}</span>`}
      ${event.sticky && html`<span class="tag" title="the topic’s latest state when it was published">sticky</span>`}
      <span class="said ${shown.kind}">${shown.kind === 'bytes' ? `${bytes(event.size)} that are no text` : first.slice(0, 300)}</span>
    </summary>
    ${open && html`<${EventFacts} event=${event} />`}
  </details>`;
}

export function EventFacts({ event }) {
  const shown = payload(event);
  return html`<div class="facts-of-event">
    <dl class="pairs">
      <div><dt>Place in the log</dt><dd>${event.seq}</dd></div>
      <div><dt>Event id</dt><dd class="mono">${event.id}</dd></div>
      <div><dt>Published</dt><dd>${moment(event.time)}</dd></div>
      <div><dt>Size</dt><dd>${bytes(event.size)}${event.cut ? ' (the first 4 KiB are shown)' : ''}</dd></div>
      ${(event.headers ?? []).map(([name, value]) => html`<div><dt>${name}</dt><dd class="mono">${value}</dd></div>`)}
    </dl>
    <pre class="payload ${shown.kind}" tabindex="0" aria-label="Payload">${shown.kind === 'bytes' ? `base64: ${shown.text}` : shown.text}</pre>
  </div>`;
}

/// How far something is behind, in words.
export function Lag({ places }) {
  if (places === null || places === undefined) return html`<span class="quiet">–</span>`;
  if (places === 0) return html`<span class="quiet">none</span>`;
  return html`<b class="warn">${places.toLocaleString('en')}</b>`;
}
