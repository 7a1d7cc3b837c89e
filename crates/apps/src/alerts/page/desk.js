// The desk: silence over a place, taking note of an alert, and the record; for those who look after the alerts.
import { html, useCallback, useEffect, useState } from './htm-preact.js';

const ENTRIES = 30;

async function send(what, note) {
  const headers = { 'Content-Type': 'application/json', 'Accept': 'application/problem+json' };
  const response = await fetch(`api/${what}`, { method: 'POST', headers, body: JSON.stringify(note) });
  const said = await response.json().catch(() => `HTTP ${response.status}`);
  if (!response.ok) throw new Error(said.detail ?? said);
}

const timeOf = time => new Date(time).toLocaleTimeString([], { hour12: false });

export function Desk({ places, news }) {
  const [note, setNote] = useState({ location: '', reason: '', minutes: 30 });
  const [said, setSaid] = useState('');
  const [record, setRecord] = useState([]);
  const look = useCallback(() => fetch(`api/record?limit=${ENTRIES}`, { cache: 'no-store' }).then(response => response.json())
    .then(answer => setRecord(answer.record ?? []), () => {}), []);
  useEffect(() => { const timer = setTimeout(look, 300); return () => clearTimeout(timer); }, [news]);
  const set = name => event => setNote({ ...note, [name]: name === 'minutes' ? Number(event.target.value) : event.target.value });
  const say = (what, done, minutes) => send(what, { ...note, minutes: minutes ?? note.minutes })
    .then(() => { setSaid(done); setTimeout(look, 300); }, error => setSaid(error.message));
  const onSubmit = event => {
    event.preventDefault();
    const [what, done] = { silence: ['silences', 'silent'], note: ['acknowledgements', 'noted'], lift: ['silences', 'no longer silent'] }[event.submitter.value];
    say(what, `${note.location}: ${done}`, event.submitter.value === 'lift' ? 0 : undefined);
  };
  return html`<section class="panel desk-panel" aria-labelledby="desk"><div class="bar"><h2 id="desk">Desk</h2>
      <span class="hint">a silence keeps back what is told of a place until it ends; everything is on record</span></div>
    <form onSubmit=${onSubmit}>
      <label>Of place<input name="of" list="active-places" required maxlength="100" value=${note.location} onInput=${set('location')} dir="auto" autocomplete="off" /></label>
      <datalist id="active-places">${places.map(place => html`<option value=${place} />`)}</datalist>
      <label>Reason<input name="reason" required maxlength="200" value=${note.reason} onInput=${set('reason')} dir="auto" autocomplete="off" /></label>
      <label>For minutes<input name="for" type="number" min="1" max="10080" step="1" required value=${note.minutes} onInput=${set('minutes')} /></label>
      <button type="submit" value="note" class="main">Take note</button><button type="submit" value="silence">Silence</button><button type="submit" value="lift">Lift the silence</button>
    </form>
    <p class="said" role="status">${said}</p>
    <details><summary>Record: the last ${record.length}</summary>
      <ol class="told" tabindex="0" aria-label="Record, the newest first">${record.map(entry => html`<li key=${entry.id}>
        <time datetime=${entry.time}>${timeOf(entry.time)}</time><b>${entry.what}</b><bdi>${entry.location}</bdi><bdi class="type">${entry.type || entry.detail}</bdi><span>by <bdi>${entry.who}</bdi></span>
      </li>`)}</ol></details>
  </section>`;
}
