// The live connection: one WebSocket (docs/websocket.md), since a browser gives a page's streams of other kinds six places in all.

const PING_MS = 5_000;       // how often the hub is asked whether it's there
const SILENT_MS = 12_000;    // it isn't, when it hasn't answered twice
const WAIT_MAX_MS = 10_000;  // between two tries

// Follows filters. `onBegin(filter)` before states come, `onEvent(filter, event, isState)`, `onReady(filter, isNew)` when all states of a filter have been told (it is new),
// or none had to be, `onState('connecting' | 'live' | 'lost' | 'refused')`.
export function follow(filters, { onBegin, onEvent, onReady, onState }) {
  const positions = new Map();  // filter -> the place to go on from
  let socket = null, tries = 0, heardAt = 0, isStopped = false, retry;

  const say = frame => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  const subscribe = filter => say({ op: 'subscribe', ref: filter, filter, ...(positions.has(filter) ? { from: positions.get(filter) } : {}) });

  function hear(frame) {
    const { op, filter, position } = frame;
    if (op === 'welcome') {
      tries = 0;
      filters.forEach(subscribe);
    } else if (op === 'subscribed') {
      if (filter === filters[0]) onState('live');
      if (positions.has(filter)) onReady(filter, false);
      else onBegin(filter);
    } else if (op === 'event') {
      onEvent(filter, frame.event, frame.state === true);
      if (position) positions.set(filter, position);
    } else if (op === 'current') {
      positions.set(filter, position);
      onReady(filter, true);
    } else if (op === 'error' && filters.includes(frame.ref)) {
      // Another log, or one that begins later: all anew. A filter that may not be watched is left out.
      if (positions.delete(frame.ref)) subscribe(frame.ref);
      else if (frame.ref === filters[0]) onState('refused');
    }
  }

  function connect() {
    const mine = socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/ws`, ['headwater.v1']);
    heardAt = Date.now();
    mine.onmessage = ({ data }) => { heardAt = Date.now(); if (mine === socket) hear(JSON.parse(data)); };
    mine.onclose = () => lost(mine);
  }

  function lost(which) {
    if (which !== socket || isStopped) return;
    socket = null;
    onState('lost');
    // Spread, so that a country's pages don't come back at one moment.
    const wait = Math.min(WAIT_MAX_MS, 300 * 2 ** Math.min(tries++, 6)) * (0.5 + Math.random() / 2);
    retry = setTimeout(connect, wait);
  }

  const pinging = setInterval(() => {
    if (!socket) return;
    if (Date.now() - heardAt > SILENT_MS) {
      const silent = socket;
      silent.close();
      lost(silent);  // its `close` may take as long as the network likes
    } else {
      say({ op: 'ping' });
    }
  }, PING_MS);
  connect();
  return () => { isStopped = true; clearTimeout(retry); clearInterval(pinging); socket?.close(); };
}
