// The processes that share the work: who is there, who is missed, and what an acknowledgement means.
import { html } from '/console/preact.js';
import { bytes, count, duration, rate } from '/console/format.js';
import { Pages, usePages } from '/console/groups.js';
import { Complaint, Empty, Panel, Waiting } from '/console/parts.js';

const seconds = ms => ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : duration(ms / 1_000);

/// How a node is, in words first: the colour says nothing that they don't.
function State({ node }) {
  const [kind, word] = node.state === 'missed' ? ['bad', `missed for ${seconds(node.age_ms)}`]
    : node.state === 'ended' ? ['over', 'has ended']
      : !node.heard ? ['wait', 'not heard yet']
        : node.ready ? ['good', 'alive'] : ['bad', 'alive, not ready'];
  return html`<span class="state ${kind}"><i aria-hidden="true"></i>${word}</span>`;
}

function Behind({ groups }) {
  if (!groups.length) return html`<span class="quiet">works in no group</span>`;
  const late = groups.filter(group => group.backlog > 0);
  if (!late.length) return html`<span class="quiet">none, in ${groups.length === 1 ? 'its group' : `${count(groups.length)} groups`}</span>`;
  return html`<ul class="lags">${late.map(group => html`<li><span class="mono">${group.name}</span> <b class="warn">${group.backlog_exact ? '' : 'about '}${count(group.backlog)}</b>
    <small>${group.oldest_unsettled_s > 0 ? `the oldest for ${duration(group.oldest_unsettled_s)}` : ''}</small></li>`)}</ul>`;
}

function Table({ nodes }) {
  return html`<div class="scroll"><table class="cards nodes">
    <thead><tr><th scope="col">Node</th><th scope="col">State</th><th scope="col">Roles</th><th scope="col">Engine</th><th scope="col">Behind</th>
      <th scope="col" class="number">Connections</th><th scope="col" class="number">Events</th><th scope="col" class="number">Processor</th><th scope="col" class="number">Memory</th></tr></thead>
    <tbody>${nodes.map(node => html`<tr key=${node.id} class=${node.state === 'missed' ? 'missed' : ''}>
      <th scope="row"><span class="mono">${node.id}</span>${node.is_me && html` <span class="tag">this process</span>`}<small>${node.version ? `version ${node.version}` : ''}</small></th>
      <td data-label="State" class="wrap"><${State} node=${node} /><small>last heartbeat ${seconds(node.age_ms)} ago</small>
        ${node.failing && html`<small class="bad">${node.failing}</small>`}</td>
      <td data-label="Roles" class="wrap">${node.roles.length ? node.roles.join(', ') : 'log'}</td>
      <td data-label="Engine" class="wrap">${node.engine}<small>${node.durability}</small></td>
      <td data-label="Behind" class="wrap"><${Behind} groups=${node.groups} /></td>
      <td data-label="Connections" class="number">${count(node.load.connections)}</td>
      <td data-label="Events" class="number">${rate(node.load.events_per_s)}/s</td>
      <td data-label="Processor" class="number">${Math.round(node.load.cpu * 100)} %</td>
      <td data-label="Memory" class="number">${bytes(node.load.memory_bytes)}</td>
    </tr>`)}</tbody>
  </table></div>`;
}

const WATCHING = {
  here: data => `This process listens to the others: one that says nothing is missed within ${seconds(data.missed_within_ms)}.`,
  engine: () => 'The hub that this process is connected to listens to the nodes, and tells who is missed.',
  others: () => 'This process listens to nobody: it has neither the role edge nor console. The console of one that has them shows all nodes.',
};

function Leases({ leases }) {
  if (leases === null) return null;
  return html`<${Panel} title="Duties that one process has at a time" id="leases">
    ${leases.length === 0 ? html`<p class="hint">None is leased.</p>` : html`<div class="scroll"><table class="cards">
      <thead><tr><th scope="col">Duty</th><th scope="col">Held by</th><th scope="col" class="number">Fence</th><th scope="col" class="number">Ends in</th></tr></thead>
      <tbody>${leases.map(lease => html`<tr key=${lease.name}><th scope="row" class="mono">${lease.name}</th>
        <td data-label="Held by">${lease.holder ?? html`<b class="warn">nobody</b>`}</td><td data-label="Fence" class="number">${count(lease.fence)}</td>
        <td data-label="Ends in" class="number">${lease.left_ms > 0 ? seconds(lease.left_ms) : html`<b class="warn">over</b>`}</td></tr>`)}</tbody>
    </table></div>`}
  <//>`;
}

export function Nodes() {
  const pages = usePages('/v1/admin/nodes', {}, 2_000);
  const { data, error } = pages;
  if (!data) return error ? html`<${Complaint} error=${error} retry=${pages.again} />` : html`<${Waiting} />`;
  const missed = data.nodes.filter(node => node.state === 'missed').map(node => node.id);
  return html`
    ${data.missed > 0 && html`<p class="complaint" role="alert"><span><b>${data.missed === 1 ? 'One node is missed' : `${count(data.missed)} nodes are missed`}</b>${missed.length ? `: ${missed.slice(0, 5).join(', ')}${missed.length > 5 ? ' …' : ''}` : ''}</span></p>`}
    <${Panel} title="Processes" id="nodes" actions=${html`<span class="count">${count(data.alive)} alive, ${count(data.missed)} missed, ${count(data.ended)} ended</span>`}>
      <${Complaint} error=${error} />
      ${data.nodes.length === 0 ? html`<${Empty} title="No nodes yet"><p>Each process says every two seconds that it is there.</p><//>` : html`<${Table} nodes=${data.nodes} /><${Pages} pages=${pages} />`}
      <p class="hint">${WATCHING[data.watching]?.(data)}</p>
    <//>
    <${Panel} title="What an acknowledgement means" id="means">
      <dl class="pairs"><div><dt>Engine</dt><dd class="mono">${data.engine.at}</dd></div>
        <div><dt>Acknowledged</dt><dd><b>${data.engine.durability}</b>: ${data.engine.means}</dd></div></dl>
    <//>
    <${Leases} leases=${data.leases} />`;
}
