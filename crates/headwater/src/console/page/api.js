// Asking the hub: JSON routes, and what an error says in words.
import { useCallback, useEffect, useRef, useState } from '/console/preact.js';

export class Fault extends Error {
  constructor(status, detail, name) {
    super(detail);
    this.status = status;
    this.name = name ?? 'fault';
  }
}

// Told when the hub says that somebody has to log in.
let onLogin = () => {};
export const whenLoginIsNeeded = then => { onLogin = then; };

async function faultOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new Fault(response.status, problem.detail ?? `The hub answers ${response.status}.`, problem.name);
}

export async function ask(path, params = {}, options = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== ''));
  const url = query.size ? `${path}?${String(query).replaceAll('+', '%20')}` : path;
  let response;
  try {
    response = await fetch(url, { cache: 'no-store', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Fault(0, 'The hub can’t be reached. Is it running?');
  }
  if (response.status === 401) onLogin();
  if (!response.ok) throw await faultOf(response);
  return response.status === 204 ? null : response.json();
}

export const send = (method, path, body) => ask(path, {}, {
  method,
  headers: body === undefined ? {} : { 'content-type': 'application/json' },
  body: body === undefined ? undefined : JSON.stringify(body),
});

/// Publishes as any client would. Gives the receipt.
export async function publish(topic, payload, { sticky, type }) {
  const path = topic.split('/').map(encodeURIComponent).join('/');
  const response = await fetch(`/v1/events/${path}${sticky ? '?sticky=true' : ''}`, {
    method: 'POST', body: payload, headers: { 'content-type': type },
  }).catch(() => { throw new Fault(0, 'The hub can’t be reached. Is it running?'); });
  if (!response.ok) throw await faultOf(response);
  return response.json();
}

/// Asks again and again while it is on show; `again` asks at once.
export function usePoll(path, params, every) {
  const [state, setState] = useState({ data: null, error: null });
  const key = JSON.stringify([path, params]);
  const running = useRef(null);
  const look = useCallback(async () => {
    running.current?.abort();
    const mine = running.current = new AbortController();
    try {
      const data = await ask(path, params, { signal: AbortSignal.any([mine.signal, AbortSignal.timeout(10_000)]) });
      if (running.current === mine) setState({ data, error: null });
    } catch (error) {
      if (running.current !== mine || error.name === 'AbortError') return;
      const words = error.name === 'TimeoutError' ? new Fault(0, 'The hub has not answered for ten seconds.') : error;
      setState(state => ({ data: state.data, error: words }));
    }
  }, [key]);
  useEffect(() => {
    let timer;
    let stopped = false;
    const loop = async () => {
      // A page that nobody sees needn't be fresh.
      if (!document.hidden) await look();
      if (!stopped && every) timer = setTimeout(loop, every);
    };
    const onShow = () => { if (!document.hidden && every) { clearTimeout(timer); loop(); } };
    setState({ data: null, error: null });
    loop();
    document.addEventListener('visibilitychange', onShow);
    return () => {
      stopped = true;
      clearTimeout(timer);
      running.current?.abort();
      running.current = null;
      document.removeEventListener('visibilitychange', onShow);
    };
  }, [look, every]);
  return { ...state, again: look };
}
