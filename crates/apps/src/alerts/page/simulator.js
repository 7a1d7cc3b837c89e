// The simulator: sends what a source would send, as a report in JSON or as a CAP message.
import { html, useState } from './htm-preact.js';
import { PLACES } from './places.js';

const TYPES = ['Rockets', 'Flood', 'Wildfire', 'Earthquake', 'Tsunami', 'Hazardous material'];
const NAMES = Object.keys(PLACES);
const any = list => list[Math.floor(Math.random() * list.length)];
const escaped = text => text.replace(/[<>&"]/g, letter => `&#${letter.charCodeAt(0)};`);
const capTime = time => `${time.toISOString().slice(0, 19)}-00:00`;

// What a report says, as a CAP message; with how it's meant and how urgent it is.
function capOf({ location, type, duration }, status, urgency) {
  const now = new Date(), ends = new Date(now.getTime() + duration * 60_000);
  return `<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>sim-${Date.now()}-${Math.random().toString(36).slice(2)}</identifier><sender>simulator@localhost</sender>
<sent>${capTime(now)}</sent><status>${status}</status><msgType>Alert</msgType><scope>Public</scope><info><category>Other</category>
<event>${escaped(type)}</event><urgency>${urgency}</urgency><severity>Severe</severity><certainty>Observed</certainty><expires>${capTime(ends)}</expires>
<area><areaDesc>${escaped(location)}</areaDesc></area></info></alert>`;
}

async function send(report, kind) {
  const isCap = kind !== 'report';
  const body = isCap
    ? capOf(report, { exercise: 'Exercise', test: 'Test' }[kind] ?? 'Actual', kind === 'pre-alert' ? 'Future' : 'Immediate')
    : JSON.stringify({ ...report, timestamp: new Date().toISOString() });
  const headers = { 'Content-Type': isCap ? 'application/cap+xml' : 'application/json', 'Accept': 'application/problem+json' };
  const response = await fetch('/alerts/api/alerts', { method: 'POST', headers, body });
  const said = await response.json().catch(() => `HTTP ${response.status}`);
  return typeof said === 'string' ? said : said.detail;
}

export function Simulator() {
  const [report, setReport] = useState({ location: 'Haifa', type: 'Rockets', duration: 2 });
  const [kind, setKind] = useState('report');
  const [said, setSaid] = useState('');
  const set = name => event => setReport({ ...report, [name]: name === 'duration' ? Number(event.target.value) : event.target.value });
  const say = promise => promise.then(setSaid, error => setSaid(String(error.message)));
  const onSubmit = event => { event.preventDefault(); say(send(report, kind)); };
  const many = () => say(Promise.all(Array.from({ length: 12 }, () => send({ location: any(NAMES), type: any(TYPES), duration: 1 + Math.random() * 4 }, 'report')))
    .then(all => `12 sent: ${all[0]}`));
  return html`<section class="panel simulator" aria-labelledby="simulator"><div class="bar"><h2 id="simulator">Simulator</h2>
      <span class="hint">sends to this hub what a source would send: everybody who is connected hears it</span></div>
    <form onSubmit=${onSubmit}>
      <label>Place<input name="location" list="names" required maxlength="100" value=${report.location} onInput=${set('location')} dir="auto" autocomplete="off" /></label>
      <datalist id="names">${NAMES.map(name => html`<option value=${name} />`)}</datalist>
      <label>Type<input name="type" list="types" required maxlength="100" value=${report.type} onInput=${set('type')} dir="auto" autocomplete="off" /></label>
      <datalist id="types">${TYPES.map(name => html`<option value=${name} />`)}</datalist>
      <label>Minutes<input name="duration" type="number" min="0.05" step="any" required value=${report.duration} onInput=${set('duration')} /></label>
      <label>As<select name="kind" value=${kind} onChange=${event => setKind(event.target.value)}>
        <option value="report">a report</option><option value="cap">a CAP alert</option><option value="pre-alert">a CAP pre-alert</option>
        <option value="exercise">a CAP exercise</option><option value="test">a CAP test</option></select></label>
      <button class="main" type="submit">Send</button><button type="button" onClick=${many}>Send 12 anywhere</button>
    </form>
    <p class="said" role="status">${said}</p>
  </section>`;
}
