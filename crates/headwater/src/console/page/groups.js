// Groups of workers, how far each is behind, and what they gave up on.
import { html, useEffect, useState } from '/console/preact.js';
import { ask, send, usePoll } from '/console/api.js';
import { count, duration, moment } from '/console/format.js';
import { Ask, Complaint, Empty, EventFacts, Icon, Panel, Waiting, useEscape } from '/console/parts.js';
import { replace } from '/console/place.js';

/// Pages that the visitor leafs through: forward by `next`, back by what was seen.
export function usePages(path, params, every) {
  const [trail, setTrail] = useState([undefined]);
  const poll = usePoll(path, { ...params, after: trail.at(-1) }, every);
  return {
    ...poll,
    forward: poll.data?.next ? () => setTrail(trail => [...trail, poll.data.next]) : null,
    back: trail.length > 1 ? () => setTrail(trail => trail.slice(0, -1)) : null,
  };
}

export const Pages = ({ pages }) => (pages.back || pages.forward) && html`<div class="choices">
  <button type="button" onClick=${pages.back} disabled=${!pages.back}>Back</button>
  <button type="button" onClick=${pages.forward} disabled=${!pages.forward}>Further</button>
</div>`;

function LagOf({ group }) {
  if (group.lag === 0) return html`<span class="quiet">none</span>`;
  return html`<b class="warn">${group.lag_exact ? '' : 'up to '}${count(group.lag)}</b>${group.lag_s !== null && html`<small>the oldest for ${duration(group.lag_s)}</small>`}`;
}

function Table({ groups, open, chosen }) {
  return html`<div class="scroll"><table class="cards">
    <thead><tr><th scope="col">Group</th><th scope="col">Wants</th><th scope="col" class="number">Members</th><th scope="col" class="number">Behind</th>
      <th scope="col" class="number">In work</th><th scope="col" class="number">To be retried</th><th scope="col" class="number">Dead letters</th></tr></thead>
    <tbody>${groups.map(group => html`<tr key=${group.name} class=${group.name === chosen ? 'chosen' : ''}>
      <th scope="row" class="mono">${group.name}</th>
      <td data-label="Wants" class="mono wrap">${group.filters.join(', ')}${group.filters_total > group.filters.length ? ` and ${count(group.filters_total - group.filters.length)} more` : ''}</td>
      <td data-label="Members" class="number">${group.members === 0 ? html`<b class="warn">0</b>` : count(group.members)}</td>
      <td data-label="Behind" class="number"><${LagOf} group=${group} /></td>
      <td data-label="In work" class="number">${count(group.in_flight)}</td>
      <td data-label="To be retried" class="number">${count(group.waiting_retry)}</td>
      <td data-label="Dead letters" class="number">${group.dead ? html`<button type="button" class="as-link" onClick=${() => open(group.name)} aria-expanded=${group.name === chosen}>${count(group.dead)}<span class="only-heard"> dead letters of ${group.name}</span></button>` : html`<span class="quiet">0</span>`}
        ${group.dead_forgotten > 0 && html`<small>${count(group.dead_forgotten)} forgotten</small>`}</td>
    </tr>`)}</tbody>
  </table></div>`;
}

function Letter({ letter, picked, pick, may }) {
  const { event } = letter;
  return html`<li class="letter">
    ${may && html`<input type="checkbox" checked=${picked} onChange=${() => pick(event.seq)} aria-label=${`Choose the letter at place ${event.seq}`} />`}
    <details><summary><span class="topic">${event.topic}</span>
      <span class="why">${letter.why ?? 'the reason is hidden: role observer'}</span>
      <small>${letter.attempts === 1 ? 'one attempt' : `${count(letter.attempts)} attempts`}, given up ${moment(letter.at)}</small></summary>
      <${EventFacts} event=${event} /></details>
  </li>`;
}

function Letters({ group, may, close, changed }) {
  const pages = usePages('/v1/admin/dead-letters', { group }, 0);
  const [picked, setPicked] = useState(() => new Set());
  const [asking, setAsking] = useState(false);
  const [said, setSaid] = useState('');
  const [error, setError] = useState(null);
  const letters = pages.data?.letters ?? [];
  useEscape(close);
  useEffect(() => setPicked(new Set()), [pages.data]);
  const pick = seq => setPicked(picked => { const next = new Set(picked); if (!next.delete(seq)) next.add(seq); return next; });
  const all = letters.length > 0 && picked.size === letters.length;
  const take = async deed => {
    setAsking(false);
    try {
      const { taken } = await send('POST', `/v1/admin/dead-letters/${deed}`, { group, seqs: [...picked] });
      setSaid(deed === 'retry' ? `${count(taken)} will be tried anew, from attempt 1.` : `${count(taken)} were discarded; their events stay in the log.`);
      setError(null);
      pages.again();
      changed();
    } catch (error) {
      setError(error);
    }
  };
  return html`<${Panel} id="letters" title=${html`Dead letters of <span class="mono">${group}</span>`} class="detail"
      actions=${html`<button type="button" class="plain round" onClick=${close} aria-label="Close"><${Icon} name="bad" /></button>`}>
    <${Complaint} error=${error ?? pages.error} retry=${pages.again} />
    <p class="receipt" role="status">${said && html`<${Icon} name="good" />${said}`}</p>
    ${!pages.data ? html`<${Waiting} />` : letters.length === 0 ? html`<p class="hint">None: everything this group was handed has been settled, or is still being tried.</p>` : html`
      ${may && html`<div class="bar">
        <label class="check"><input type="checkbox" checked=${all} onChange=${() => setPicked(new Set(all ? [] : letters.map(one => one.event.seq)))} />All of this page</label>
        <button type="button" class="main" disabled=${!picked.size} onClick=${() => take('retry')}>Try ${picked.size || ''} anew</button>
        <button type="button" class="danger" disabled=${!picked.size} onClick=${() => setAsking(true)}>Discard</button>
      </div>`}
      <ul class="letters">${letters.map(letter => html`<${Letter} key=${letter.event.seq} letter=${letter} may=${may} picked=${picked.has(letter.event.seq)} pick=${pick} />`)}</ul>
      <${Pages} pages=${pages} />`}
    ${asking && html`<${Ask} title=${`Discard ${count(picked.size)} dead letters?`} yes="Discard" onYes=${() => take('discard')} onNo=${() => setAsking(false)}>
      <p>This group will not see these events again. They stay in the log, where retention leaves them.</p>
    <//>`}
  <//>`;
}

export function Groups({ params, may }) {
  const pages = usePages('/v1/admin/groups', {}, 3_000);
  const [chosen, setChosen] = useState(params.group ?? null);
  useEffect(() => replace('groups', { group: chosen }), [chosen]);
  const { data, error } = pages;
  return html`<div class="panel">
      <${Complaint} error=${error} retry=${pages.again} />
      ${!data ? !error && html`<${Waiting} />` : data.groups.length === 0 ? html`<${Empty} title="No groups yet">
          <p>A group is a durable cursor over the log that workers share: each event goes to one of them, and again until it is settled. Shared subscriptions of MQTT (<code>$share/NAME/FILTER</code>) are groups, and so are services.</p>
          <p>Here you will see how far each is behind, in events and in time, and the events that ran out of attempts.</p><//>`
        : html`<${Table} groups=${data.groups} open=${name => setChosen(name === chosen ? null : name)} chosen=${chosen} /><${Pages} pages=${pages} />`}
    </div>
    ${chosen && html`<${Letters} key=${chosen} group=${chosen} may=${may} close=${() => setChosen(null)} changed=${pages.again} />`}`;
}
