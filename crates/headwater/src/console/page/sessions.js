// What survives a broken MQTT connection.
import { html } from '/console/preact.js';
import { usePoll } from '/console/api.js';
import { ago, count } from '/console/format.js';
import { Complaint, Empty, Lag, Waiting } from '/console/parts.js';
import { link } from '/console/place.js';

export function Sessions() {
  const { data, error, again } = usePoll('/v1/admin/connections', { protocol: 'mqtt', limit: 100 }, 3_000);
  if (!data) return error ? html`<${Complaint} error=${error} retry=${again} />` : html`<${Waiting} />`;
  if (!data.connections.length) {
    return html`<div class="panel"><${Empty} title="No sessions">
      <p>A session is what the hub keeps of an MQTT client between its connections: its subscriptions, and how far it has read. What it missed isn’t kept for it: that is in the log, so a session that is offline costs no memory.</p>
      <p>Clients that connect with <code>clean start = false</code> and an expiry (MQTT 5), or <code>clean session = 0</code> (3.1.1), appear here.</p>
    <//></div>`;
  }
  return html`<div class="panel"><div class="scroll"><table class="cards">
    <thead><tr><th scope="col">Client</th><th scope="col">User</th><th scope="col">Connected for</th><th scope="col" class="number">Subscriptions</th><th scope="col" class="number">Behind</th></tr></thead>
    <tbody>${data.connections.map(one => html`<tr key=${one.id}><th scope="row"><a href=${link('connections', { id: one.id })}>${one.client ?? one.peer}</a></th>
      <td data-label="User">${one.user}</td><td data-label="Connected for">${ago(one.since)}</td>
      <td data-label="Subscriptions" class="number">${count(one.watches)}</td><td data-label="Behind" class="number"><${Lag} places=${one.lag} /></td></tr>`)}</tbody>
  </table></div></div>`;
}
