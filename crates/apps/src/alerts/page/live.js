// The live connection: server-sent events by fetch, so that every byte that comes is a sign of life, comments too.

const SILENT_MS = 20_000;    // the hub says something every 15 s
const WAIT_MAX_MS = 10_000;  // between two tries

// Follows a filter. `onEvent(event, isState)`, `onReady()` when all states have been told, `onState('connecting' | 'live' | 'lost')`.
export function follow(filter, { onEvent, onReady, onState }) {
  let stopped = false, tries = 0, last = '', abort = null;
  const stop = () => { stopped = true; abort?.abort(); };

  async function once() {
    abort = new AbortController();
    let watchdog;
    const alive = () => { clearTimeout(watchdog); watchdog = setTimeout(() => abort.abort(), SILENT_MS); };
    try {
      alive();
      const headers = last ? { 'Last-Event-ID': last } : {};
      const response = await fetch(`/v1/live?filter=${encodeURIComponent(filter)}`, { headers, signal: abort.signal, cache: 'no-store' });
      if (response.status === 409 || response.status === 410) last = '';
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const wasBack = last !== '';
      let isReady = wasBack;
      onState('live');
      tries = 0;
      if (wasBack) onReady();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        alive();
        text += value;
        let end;
        while ((end = text.indexOf('\n\n')) >= 0) {
          const frame = text.slice(0, end);
          text = text.slice(end + 2);
          let id = null, data = null, name = 'message';
          for (const line of frame.split('\n')) {
            if (line.startsWith('id:')) id = line.slice(3).trim();
            else if (line.startsWith('data:')) data = line.slice(5).trim();
            else if (line.startsWith('event:')) name = line.slice(6).trim();
          }
          if (id) last = id;
          if (data !== null && name === 'message') onEvent(JSON.parse(data), !isReady && !id);
          if (id && data === null && !isReady) { isReady = true; onReady(); }
        }
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  (async () => {
    while (!stopped) {
      try { await once(); } catch { /* said below */ }
      if (stopped) return;
      onState('lost');
      // Spread, so that a country's pages don't come back at one moment.
      const wait = Math.min(WAIT_MAX_MS, 300 * 2 ** Math.min(tries++, 6)) * (0.5 + Math.random() / 2);
      await new Promise(resolve => setTimeout(resolve, wait));
    }
  })();
  return stop;
}
