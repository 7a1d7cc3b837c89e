// Why somebody doesn't see a topic: one question, an answer in a sentence, and the steps behind it.
import { html, useEffect, useRef, useState } from '/console/preact.js';
import { ask } from '/console/api.js';
import { count } from '/console/format.js';
import { Complaint, EventFacts, Icon, Lag, Panel } from '/console/parts.js';
import { link, replace } from '/console/place.js';

const TITLES = { connected: 'Connected', rule: 'Allowed', subscription: 'Subscribed', delivery: 'Handed over', event: 'Published' };
const HEARD = { good: 'all right', bad: 'this is why', unclear: 'unclear' };

function Answer({ answer }) {
  const worst = answer.steps.some(step => step.found === 'bad') ? 'bad' : answer.steps.some(step => step.found === 'unclear') ? 'unclear' : 'good';
  return html`<section class="answer" aria-labelledby="verdict">
    <p class="verdict ${worst}" id="verdict" role="status" tabindex="-1"><${Icon} name=${worst} /><span>${answer.verdict}</span></p>
    <ol class="steps">${answer.steps.map(step => html`<li class=${step.found}><span class="mark"><${Icon} name=${step.found} /></span>
      <b>${TITLES[step.name] ?? step.name}<span class="only-heard">: ${HEARD[step.found]}</span></b><span>${step.says}</span></li>`)}</ol>
    <div class="halves">
      <${Panel} id="matching" title="Subscriptions that match">
        ${answer.watches.length === 0 ? html`<p class="hint">None.</p>` : html`<ul class="rows">${answer.watches.map(one => html`<li><span class="mono">${one.filter}</span>
          <span class="end"><${Lag} places=${one.lag} /> behind · <a href=${link('connections', { id: one.connection })}>connection</a></span></li>`)}</ul>`}
      <//>
      <${Panel} id="groups-that" title="Groups that want it">
        ${answer.groups.found.length === 0 ? html`<p class="hint">None${answer.groups.all ? '' : ' among those that were looked at'}.</p>` : html`<ul class="rows">${answer.groups.found.map(one => html`<li><span class="mono">${one.name}</span><span class="end">${one.members === 1 ? 'one member' : `${count(one.members)} members`}</span></li>`)}</ul>`}
      <//>
    </div>
    ${answer.rules.length > 0 && html`<${Panel} id="rules" title="Their rules for watching"><ul class="rows">${answer.rules.map(rule => html`<li class=${rule.applies ? '' : 'quiet'}><span class="mono">${rule.pattern}</span>
      <span class="end">${rule.denies ? 'denied' : 'allowed'} to role ${rule.role}${rule.applies ? html` · <b>applies</b>` : ''}</span></li>`)}</ul><//>`}
    ${answer.last && html`<${Panel} id="last" title="The last event of this topic"><${EventFacts} event=${answer.last} /><//>`}
  </section>`;
}

export function Why({ params }) {
  const [typed, setTyped] = useState({ user: params.user ?? '', client: params.client ?? '', topic: params.topic ?? '' });
  const [state, setState] = useState({});
  const box = useRef(null);
  const set = name => event => setTyped({ ...typed, [name]: event.target.value });
  const look = async () => {
    replace('why', typed);
    setState({ busy: true });
    try {
      setState({ answer: await ask('/v1/admin/why', typed) });
      box.current?.querySelector('#verdict')?.focus();
    } catch (error) {
      setState({ error });
    }
  };
  useEffect(() => { if (typed.topic) look(); }, []);
  return html`<p class="lead">Name somebody and a topic. The hub looks whether they are connected, allowed and subscribed, whether they have been handed everything, and when something was published last.</p>
    <form class="bar" onSubmit=${event => { event.preventDefault(); look(); }}>
      <label class="grow">User<input data-search value=${typed.user} onInput=${set('user')} maxlength="128" placeholder="anonymous" spellcheck="false" autocapitalize="none" autocomplete="off" /></label>
      <label class="grow">or client id<input class="mono" value=${typed.client} onInput=${set('client')} maxlength="128" placeholder="sensor-7" spellcheck="false" autocapitalize="none" autocomplete="off" /></label>
      <label class="grow">Topic, without wildcards<input class="mono" value=${typed.topic} onInput=${set('topic')} required maxlength="1024" placeholder="clinic/3/slot/9" spellcheck="false" autocapitalize="none" autocomplete="off" /></label>
      <button class="main" disabled=${state.busy}>${state.busy ? 'Looking…' : 'Find out'}</button>
    </form>
    <${Complaint} error=${state.error} />
    <div ref=${box}>${state.answer && html`<${Answer} answer=${state.answer} />`}</div>`;
}
