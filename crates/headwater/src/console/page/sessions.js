// What survives a broken MQTT connection.
import { html } from '/console/preact.js';
import { ago, count, duration } from '/console/format.js';
import { Pages, usePages } from '/console/groups.js';
import { Complaint, Empty, Lag, Waiting } from '/console/parts.js';
import { link } from '/console/place.js';

const kept = one => one.kept_s === null ? 'for ever' : one.left_s === null ? `${duration(one.kept_s)} after it has gone` : one.left_s ? `${duration(one.left_s)} more` : 'about to end';

export function Sessions() {
  const pages = usePages('/v1/admin/sessions', {}, 3_000);
  const { data, error } = pages;
  if (!data) return error ? html`<${Complaint} error=${error} retry=${pages.again} />` : html`<${Waiting} />`;
  return html`<div class="panel">
    <${Complaint} error=${error} />
    ${data.sessions.length === 0 ? html`<${Empty} title="No sessions">
        <p>A session is what the hub keeps of an MQTT client between its connections: its subscriptions, and how far it has read. What it missed isn’t kept for it: that is in the log, so a session that is offline costs no memory.</p>
        <p>Clients that connect without a clean start and with an expiry (MQTT 5), or with <code>clean session = 0</code> (3.1.1), appear here.</p>
      <//>` : html`<div class="scroll"><table class="cards">
        <thead><tr><th scope="col">Client</th><th scope="col">Subscriptions</th><th scope="col">Connection</th><th scope="col">Kept</th><th scope="col" class="number">Behind</th></tr></thead>
        <tbody>${data.sessions.map(one => html`<tr key=${`${one.user} ${one.client}`}>
          <th scope="row"><a href=${link('connections', { search: one.client })}>${one.client}</a><small>${one.user}</small></th>
          <td data-label="Subscriptions" class="mono wrap">${one.filters.length ? one.filters.join(', ') : html`<span class="quiet">none</span>`}${one.filters_total > one.filters.length ? ` and ${count(one.filters_total - one.filters.length)} more` : ''}</td>
          <td data-label="Connection">${one.ended ? `ended ${ago(one.ended)} ago` : 'there'}</td>
          <td data-label="Kept">${kept(one)}</td>
          <td data-label="Behind" class="number">${one.ended ? html`<${Lag} places=${one.behind} />` : html`<span class="quiet" title="while it is connected, the view of connections tells">–</span>`}</td>
        </tr>`)}</tbody>
      </table></div><${Pages} pages=${pages} />`}
  </div>`;
}
