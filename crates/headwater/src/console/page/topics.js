// The tree of topics, level by level; one topic with its state and its history; a form to publish.
import { html, useEffect, useRef, useState } from '/console/preact.js';
import { ask, publish, usePoll } from '/console/api.js';
import { ago, count, moment } from '/console/format.js';
import { Complaint, Empty, EventFacts, EventLine, Icon, Panel, Waiting, useEscape } from '/console/parts.js';
import { link, replace } from '/console/place.js';

const KINDS = ['text/plain', 'application/json', 'application/octet-stream'];

const label = name => name === '' ? '(empty)' : name;

/// A level that is open: its names so far, and where it goes on.
function useLevels() {
  const [levels, setLevels] = useState({});
  const load = async (under, after) => {
    setLevels(levels => ({ ...levels, [under]: { names: [], ...levels[under], busy: true, error: null } }));
    try {
      const page = await ask('/v1/admin/topics', { under: under === '' ? undefined : under.slice(0, -1), after });
      setLevels(levels => ({ ...levels, [under]: { names: after ? [...levels[under].names, ...page.names] : page.names, next: page.next } }));
    } catch (error) {
      setLevels(levels => ({ ...levels, [under]: { ...levels[under], busy: false, error } }));
    }
  };
  return { levels, load };
}

// The lines that are on show, in order: the keys move along them.
function lines(levels, open, under = '', depth = 1) {
  const level = levels[under];
  if (!level) return [];
  const shown = level.names.flatMap((name, at) => {
    const here = { kind: 'name', name, under, depth, at: at + 1, of: level.next ? -1 : level.names.length };
    return open.has(name.topic) && name.below ? [here, ...lines(levels, open, `${name.topic}/`, depth + 1)] : [here];
  });
  if (level.busy && !level.names.length) shown.push({ kind: 'busy', under, depth });
  if (level.error) shown.push({ kind: 'error', under, depth, error: level.error });
  if (level.next && !level.busy) shown.push({ kind: 'more', under, depth, next: level.next });
  return shown;
}

const idOf = line => line.kind === 'name' ? `name ${line.name.topic}` : `${line.kind} ${line.under}`;

function Tree({ chosen, choose }) {
  const { levels, load } = useLevels();
  const [open, setOpen] = useState(() => new Set());
  const [at, setAt] = useState(null);
  const tree = useRef(null);
  useEffect(() => { load(''); }, []);
  const shown = lines(levels, open);
  const current = shown.find(line => idOf(line) === at) ?? shown[0];
  // "Asking…" is gone in a moment, and would take the focus with it.
  const move = line => { if (line && line.kind !== 'busy') { setAt(idOf(line)); tree.current.querySelector(`[data-line="${CSS.escape(idOf(line))}"]`)?.focus(); } };
  const toggle = (line, wanted) => {
    const { topic, below } = line.name;
    if (!below || wanted === open.has(topic)) return;
    if (!open.has(topic)) load(`${topic}/`);
    setOpen(open => { const next = new Set(open); if (!next.delete(topic)) next.add(topic); return next; });
  };
  const act = line => {
    setAt(idOf(line));
    if (line.kind === 'more') return load(line.under, line.next);
    if (line.kind === 'error') return load(line.under);
    if (line.kind !== 'name') return undefined;
    // A name that is only a level on the way is nothing to look at.
    if (line.name.state !== null) choose(line.name.topic);
    return toggle(line);
  };
  const onKey = event => {
    const index = shown.indexOf(current);
    const known = {
      ArrowDown: () => move(shown[index + 1]),
      ArrowUp: () => move(shown[index - 1]),
      Home: () => move(shown[0]),
      End: () => move(shown.at(-1)),
      ArrowRight: () => current.kind === 'name' && (open.has(current.name.topic) ? move(shown[index + 1]) : toggle(current, true)),
      ArrowLeft: () => current.kind === 'name' && open.has(current.name.topic) ? toggle(current, false)
        : move(shown.slice(0, index).findLast(line => line.depth < current.depth)),
      Enter: () => act(current),
      ' ': () => act(current),
    }[event.key];
    if (!known || !current) return;
    event.preventDefault();
    known();
  };
  if (!levels[''] || (levels[''].busy && !shown.some(line => line.kind === 'name'))) return html`<${Waiting} />`;
  if (!shown.length) {
    return html`<${Empty} title="No topic has a state yet">
      <p>The tree is made of topics with a <b>sticky</b> event: the latest state, which every newcomer gets first. Publish one with the form, or with <code>?sticky=true</code>, or as a retained message over MQTT.</p>
      <p>Topics without a state aren’t kept anywhere but in the log: type one above to read its history.</p>
    <//>`;
  }
  return html`<ul class="tree" role="tree" aria-label="Topics with a state" ref=${tree} onKeyDown=${onKey}>
    ${shown.map(line => html`<li key=${idOf(line)} role="treeitem" data-line=${idOf(line)} class="line ${line.kind} depth${Math.min(line.depth, 12)}"
      aria-level=${line.depth} aria-setsize=${line.of} aria-posinset=${line.at} tabindex=${line === current ? 0 : -1}
      aria-expanded=${line.kind === 'name' && line.name.below ? open.has(line.name.topic) : undefined}
      aria-selected=${line.kind === 'name' && line.name.topic === chosen} onClick=${() => act(line)}>
      ${line.kind === 'name' ? html`
          <span class="fold ${line.name.below ? '' : 'leaf'} ${open.has(line.name.topic) ? 'open' : ''}"><${Icon} name="right" /></span>
          <span class="name">${label(line.name.name)}</span>
          ${line.name.state !== null && html`<span class="dot" title="has a state"></span>`}
          ${line.name.below > 0 && html`<small>${line.name.below_more ? `${count(line.name.below)}+` : count(line.name.below)}</small>`}`
        : line.kind === 'more' ? html`<span class="name">Show more…</span>`
          : line.kind === 'error' ? html`<span class="name">${line.error.message} Try again</span>` : html`<span class="name">Asking…</span>`}
    </li>`)}
  </ul>`;
}

function History({ topic }) {
  const [found, setFound] = useState({ events: [], looked: 0, next: null, busy: true, error: null });
  const run = useRef(0);
  const look = async (before, had) => {
    const mine = run.current += 1;
    const wanted = had.events.length + 20;
    let state = { ...had, busy: true, error: null };
    setFound(state);
    try {
      do {
        const page = await ask('/v1/admin/topic', { topic, before, limit: Math.min(100, wanted - state.events.length) });
        if (run.current !== mine) return;
        before = page.next;
        state = { ...state, events: [...state.events, ...page.events], looked: state.looked + page.looked_at, next: page.next };
        state.busy = page.next !== null && state.events.length < wanted && state.looked < 2_000_000;
        setFound(state);
      } while (state.busy);
    } catch (error) {
      if (run.current === mine) setFound({ ...state, busy: false, error });
    }
  };
  useEffect(() => { look(null, { events: [], looked: 0, next: null }); return () => { run.current += 1; }; }, [topic]);
  return html`<h3>History</h3>
    <${Complaint} error=${found.error} />
    <p class="count" role="status">${found.events.length ? `The latest ${count(found.events.length)}` : 'None'} in ${count(found.looked)} places of the log${found.busy ? ', still looking…' : found.next ? ' looked at' : ', which is all of it'}</p>
    <div class="events">${found.events.map(event => html`<${EventLine} key=${event.seq} event=${event} showTopic=${false} />`)}</div>
    ${!found.busy && found.next && html`<button type="button" class="more" onClick=${() => look(found.next, found)}>Look further back</button>`}`;
}

function Topic({ topic, close }) {
  const { data, error, again } = usePoll('/v1/admin/topic', { topic, limit: 1 }, 0);
  useEscape(close);
  return html`<section class="panel detail" aria-labelledby="topic">
    <div class="head"><h2 id="topic" class="mono">${topic}</h2>
      <button type="button" class="plain round" onClick=${close} aria-label="Close"><${Icon} name="bad" /></button></div>
    <${Complaint} error=${error} retry=${again} />
    ${data && (data.state ? html`<h3>Latest state <small>${ago(data.state.time)} old</small></h3><${EventFacts} event=${data.state} />`
      : html`<p class="hint">This topic has no state: a newcomer hears nothing until something happens.</p>`)}
    <${History} topic=${topic} />
    <div class="choices"><a class="button" href=${link('tail', { filter: topic })}>Follow it</a><a class="button" href=${link('why', { topic })}>Why doesn’t somebody see it?</a></div>
  </section>`;
}

function Publish({ topic, done }) {
  const [typed, setTyped] = useState({ topic: topic ?? '', payload: '', type: 'text/plain', sticky: true });
  const [state, setState] = useState({});
  useEffect(() => { if (topic) setTyped(typed => ({ ...typed, topic })); }, [topic]);
  const set = name => event => setTyped({ ...typed, [name]: event.target.type === 'checkbox' ? event.target.checked : event.target.value });
  const onSubmit = async event => {
    event.preventDefault();
    if (typed.type === 'application/json') {
      try { JSON.parse(typed.payload); } catch (error) { setState({ error: new Error(`The payload is no JSON: ${error.message}`) }); return; }
    }
    setState({ busy: true });
    try {
      setState({ receipt: await publish(typed.topic, typed.payload, typed) });
      done(typed.topic);
    } catch (error) {
      setState({ error });
    }
  };
  return html`<${Panel} title="Publish" id="publish">
    <form class="publish" onSubmit=${onSubmit}>
      <label>Topic<input class="mono" value=${typed.topic} onInput=${set('topic')} required maxlength="1024" spellcheck="false" autocapitalize="none" autocomplete="off" placeholder="clinic/3/slot/9" /></label>
      <label>Payload<textarea class="mono" rows="4" value=${typed.payload} onInput=${set('payload')} spellcheck="false" placeholder=${typed.sticky ? 'empty ends the state' : ''}></textarea></label>
      <div class="bar">
        <label>Kind<select value=${typed.type} onChange=${set('type')}>${KINDS.map(kind => html`<option value=${kind}>${kind}</option>`)}</select></label>
        <label class="check"><input type="checkbox" checked=${typed.sticky} onChange=${set('sticky')} />Sticky: the topic’s latest state</label>
        <button class="main" disabled=${state.busy}>${state.busy ? 'Publishing…' : 'Publish'}</button>
      </div>
      <${Complaint} error=${state.error} />
      <p class="receipt" role="status">${state.receipt && html`<${Icon} name="good" />On disk at place ${count(state.receipt.seq)}.`}</p>
    </form>
  <//>`;
}

function GoTo({ choose }) {
  const [typed, setTyped] = useState('');
  return html`<form class="bar" role="search" onSubmit=${event => { event.preventDefault(); if (typed) choose(typed); }}>
    <label class="grow">Topic
      <input data-search class="mono" value=${typed} onInput=${event => setTyped(event.target.value)} maxlength="1024" spellcheck="false" autocapitalize="none" autocomplete="off" placeholder="clinic/3/slot/9" /></label>
    <button>Show</button>
  </form>`;
}

export function Topics({ params, may }) {
  const [chosen, setChosen] = useState(params.topic ?? null);
  const [round, setRound] = useState(0);
  useEffect(() => replace('topics', { topic: chosen }), [chosen]);
  const done = topic => { setChosen(topic); setRound(round => round + 1); };
  return html`<${GoTo} choose=${setChosen} />
    <div class="beside even">
      <div class="stack">
        <div class="panel"><${Tree} key=${round} chosen=${chosen} choose=${setChosen} /></div>
        ${may && html`<${Publish} topic=${chosen} done=${done} />`}
      </div>
      ${chosen ? html`<${Topic} key=${`${chosen} ${round}`} topic=${chosen} close=${() => setChosen(null)} />`
        : html`<div class="panel pick"><p class="hint">Choose a topic to see its latest state and its history.</p></div>`}
    </div>`;
}
