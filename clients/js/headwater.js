// A client of Headwater for browsers and Node, over the JSON frames of docs/websocket.md. No dependencies.
//
//   import { Headwater } from './headwater.js';
//   const hub = new Headwater('ws://127.0.0.1:8080/v1/ws');
//   hub.subscribe('clinic/3/slot/+', (event) => draw(event.topic, event.payload));
//   await hub.publish('clinic/3/slot/9', 'taken', { sticky: true });
//
// It connects again by itself, goes on where it stopped, and says so when it can't.

/** Publishes that may wait for their answer: what the hub takes of one connection before it stops reading. */
const PENDING_MAX = 1_000;

/** The first wait before connecting again, and the longest, in milliseconds. */
const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 30_000;

/** How often the hub is asked whether it's there, until its welcome says better, in milliseconds. */
const PING_MS = 25_000;

/** What the hub or this client refused. */
export class HeadwaterError extends Error {
  /**
   * @param {string} name the refusal's name: `full`, `not_allowed`, `malformed`, ...; `closed` and `busy` are this client's own
   * @param {string} message a sentence for a person
   * @param {number} [retryAfterMs] after how long trying again can work; undefined when it can't
   */
  constructor(name, message, retryAfterMs) {
    super(message);
    this.name = name;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What one wants to be told. Made by `Headwater.subscribe`. */
export class Subscription {
  #hub;

  constructor(hub, filter, onEvent, options) {
    this.#hub = hub;
    this.filter = filter;
    this.onEvent = onEvent;
    this.options = options;
    /** Everything up to here has been told; keep it to go on from there in another life. */
    this.position = options.from === 'start' ? undefined : options.from;
    /** Whether the latest states are all told, so that `position` is a place to go on from. */
    this.isCurrent = !asksForStates(options);
    /** Whether the hub has confirmed it at least once. */
    this.hasBegun = false;
    /** Whether a gap was told that its next beginning answers for. */
    this.hasGap = false;
  }

  /** Ends it: nothing more is told. */
  close() {
    this.#hub.unsubscribe(this);
  }
}

const asksForStates = (options) => options.from === undefined && options.sticky !== false;

/** A connection to a hub that comes back by itself. */
export class Headwater {
  #url;
  #options;
  #socket;
  #welcome;
  #subscriptions = new Map();
  #asked = new Map();
  #pending = new Map();
  #nextRef = 1;
  #attempt = 0;
  #reconnecting;
  #pinging;
  #heard = false;
  #isClosed = false;

  /**
   * @param {string} url `ws://host:port/v1/ws` or `wss://...`
   * @param {object} [options]
   * @param {string | (() => string | Promise<string>)} [options.token] shows who this is; a function is asked at each
   *   connection, so that a token that has run out is replaced by a fresh one
   * @param {string} [options.user] a user's name, in place of a token
   * @param {string} [options.password] and the password
   * @param {typeof WebSocket} [options.WebSocket] where the platform has none (Node 20: that of the package `ws`)
   * @param {(status: 'connecting' | 'open' | 'closed') => void} [options.onStatus]
   * @param {number} [options.backoffMsMin] the first wait before connecting again
   * @param {number} [options.backoffMsMax] the longest
   * @param {number} [options.pendingMax] how many publishes may wait for their answer
   */
  constructor(url, options = {}) {
    this.#url = url;
    this.#options = {
      WebSocket: globalThis.WebSocket,
      onStatus: () => {},
      backoffMsMin: BACKOFF_MS_MIN,
      backoffMsMax: BACKOFF_MS_MAX,
      pendingMax: PENDING_MAX,
      ...options,
    };
    if (!this.#options.WebSocket) throw new TypeError('this platform has no WebSocket: give one in options.WebSocket');
    this.#connect();
  }

  /** The hub's limits, as its welcome told them; undefined before. */
  get limits() {
    return this.#welcome?.limits;
  }

  /**
   * Begins to be told what happens on the topics that a filter wants.
   *
   * @param {string} filter `+` stands for one level, a last `#` for all the rest
   * @param {(event: object, about: { isState: boolean, position?: string }) => void} onEvent
   * @param {object} [options]
   * @param {string} [options.from] a position to go on from, or `start`; else the latest states come first
   * @param {boolean} [options.sticky] false: only what happens from now on
   * @param {'catch_up' | 'gap' | 'disconnect'} [options.behind] what the hub does when this client is too slow
   * @param {(about: { position: string, recovered: boolean }) => void} [options.onBegun] it has begun, or begun again;
   *   `recovered` is false when something may be missing since the last time (`onGap` has told it)
   * @param {(position: string) => void} [options.onCurrent] all latest states have been told
   * @param {(gap: { after?: string, upTo?: string }) => void} [options.onGap] what lies between will not be told
   * @param {(error: HeadwaterError) => void} [options.onError] the hub refuses it; it has ended
   */
  subscribe(filter, onEvent, options = {}) {
    if (this.#isClosed) throw new HeadwaterError('closed', 'this connection was closed');
    if (this.#subscriptions.has(filter)) throw new HeadwaterError('malformed', 'this filter is already subscribed to');
    const subscription = new Subscription(this, filter, onEvent, options);
    this.#subscriptions.set(filter, subscription);
    if (this.#welcome) this.#begin(subscription);
    return subscription;
  }

  /** Ends a subscription. */
  unsubscribe(subscription) {
    if (this.#subscriptions.get(subscription.filter) !== subscription) return;
    this.#subscriptions.delete(subscription.filter);
    if (this.#welcome) this.#say({ op: 'unsubscribe', ref: this.#nextRef++, filter: subscription.filter });
  }

  /**
   * Publishes; resolves when the event is on disk. When the connection breaks meanwhile it is sent again under the same
   * id, so it happens once.
   *
   * @param {string} topic
   * @param {string | Uint8Array | ArrayBuffer | object | number | boolean | null} payload bytes and text go as they are,
   *   anything else as JSON
   * @param {{ id?: string, headers?: object, sticky?: boolean }} [options]
   * @returns {Promise<{ id: string, epoch: number, seq: number, duplicate: boolean }>}
   */
  publish(topic, payload, { id = newId(), headers, sticky } = {}) {
    if (this.#isClosed) return Promise.reject(new HeadwaterError('closed', 'this connection was closed'));
    if (this.#pending.size >= this.#options.pendingMax) {
      return Promise.reject(new HeadwaterError('busy', 'too many publishes wait for their answer', 100));
    }
    const ref = this.#nextRef++;
    const frame = { op: 'publish', ref, topic, id, headers, sticky, ...spell(payload) };
    return new Promise((resolve, reject) => {
      this.#pending.set(ref, { frame, resolve, reject });
      if (this.#welcome) this.#say(frame);
    });
  }

  /** Ends the connection for good. What waits for an answer is rejected: it may have happened or not. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#reconnecting);
    this.#drop();
    for (const { reject } of this.#pending.values()) {
      reject(new HeadwaterError('closed', 'the connection was closed before the answer came'));
    }
    this.#pending.clear();
    this.#subscriptions.clear();
    this.#options.onStatus('closed');
  }

  #connect() {
    this.#options.onStatus('connecting');
    const { token } = this.#options;
    if (typeof token !== 'function') return this.#open(this.#options);
    // A token that can't be had is a connection that can't be had: it's tried again.
    const had = (fresh) => this.#isClosed || this.#open({ token: fresh });
    new Promise((resolve) => resolve(token())).then(had, () => this.#lost());
  }

  #open(login) {
    const socket = new this.#options.WebSocket(this.#url, ['headwater.v1', ...shown(login)]);
    this.#socket = socket;
    // A socket that was given up may still speak; it's no longer listened to.
    const mine = (act) => (event) => this.#socket === socket && act(event);
    socket.onmessage = mine((event) => this.#hear(JSON.parse(event.data)));
    socket.onclose = mine(() => this.#lost());
    socket.onerror = () => {}; // A close follows, and says it.
    // A hub that accepts and then says nothing is none.
    this.#watch(PING_MS);
  }

  /** Connects again after a wait that grows, and differs from client to client, so that they don't all come at once. */
  #lost() {
    this.#drop();
    if (this.#isClosed) return;
    const { backoffMsMin, backoffMsMax } = this.#options;
    const most = Math.min(backoffMsMax, backoffMsMin * 2 ** this.#attempt++);
    this.#options.onStatus('connecting');
    this.#reconnecting = setTimeout(() => this.#connect(), most * (0.5 + Math.random() / 2));
  }

  #drop() {
    clearInterval(this.#pinging);
    this.#welcome = undefined;
    this.#asked.clear();
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  /** Gives the connection up when the hub says nothing for two turns. (Its pings are answered where a page can't see them.) */
  #watch(everyMs) {
    clearInterval(this.#pinging);
    let silent = 0;
    this.#pinging = setInterval(() => {
      silent = this.#heard ? 0 : silent + 1;
      this.#heard = false;
      if (silent >= 2) return this.#lost();
      if (this.#welcome) this.#say({ op: 'ping' });
    }, everyMs);
    this.#pinging.unref?.();
  }

  #say(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #hear(frame) {
    this.#heard = true;
    switch (frame.op) {
      case 'welcome': return this.#welcomed(frame);
      case 'event': return this.#told(frame);
      case 'current': return this.#current(frame);
      case 'gap': return this.#gap(frame);
      case 'ack': return this.#settle(frame.ref, (pending) => pending.resolve(receipt(frame)));
      case 'subscribed': return this.#begun(frame);
      case 'error': return this.#refused(frame);
      default: // `pong`, `unsubscribed`, and what later versions add.
    }
  }

  #welcomed(frame) {
    this.#welcome = frame;
    this.#attempt = 0;
    this.#watch((frame.limits?.ping_seconds || PING_MS / 1_000) * 1_000);
    this.#options.onStatus('open');
    for (const subscription of this.#subscriptions.values()) this.#begin(subscription);
    for (const { frame: unanswered } of this.#pending.values()) this.#say(unanswered);
  }

  #begin(subscription) {
    const { filter, options, position, isCurrent } = subscription;
    const ref = this.#nextRef++;
    const ask = { op: 'subscribe', ref, filter, behind: options.behind };
    // States that were not told to their end begin anew; otherwise it goes on where it stopped.
    const goesOn = isCurrent && position !== undefined;
    if (goesOn) ask.from = position;
    else if (options.from === 'start') ask.from = 'start';
    else ask.sticky = options.sticky;
    const isAfresh = subscription.hasBegun && ask.from === undefined;
    if (ask.from === undefined) subscription.isCurrent = options.sticky === false;
    this.#asked.set(ref, { subscription, goesOn, isAfresh });
    this.#say(ask);
  }

  #begun(frame) {
    const asked = this.#asked.get(frame.ref);
    this.#asked.delete(frame.ref);
    const subscription = asked?.subscription;
    if (!this.#isMine(subscription)) return;
    if (asked.isAfresh && !subscription.hasGap) this.#tellGap(subscription, subscription.position, undefined);
    const recovered = !asked.isAfresh && !subscription.hasGap;
    subscription.hasBegun = true;
    subscription.hasGap = false;
    // Until all states are told the position isn't one to go on from.
    if (subscription.isCurrent) subscription.position = frame.position;
    subscription.options.onBegun?.({ position: frame.position, recovered });
  }

  #told(frame) {
    const subscription = this.#subscriptions.get(frame.filter);
    if (!subscription) return;
    const isState = frame.state === true;
    if (!isState && subscription.isCurrent) subscription.position = frame.position;
    subscription.onEvent(decode(frame.event), { isState, position: frame.position });
  }

  #current(frame) {
    const subscription = this.#subscriptions.get(frame.filter);
    if (!subscription) return;
    subscription.isCurrent = true;
    subscription.position = frame.position;
    subscription.options.onCurrent?.(frame.position);
  }

  #gap(frame) {
    const subscription = this.#subscriptions.get(frame.filter);
    if (!subscription) return;
    if (subscription.isCurrent) subscription.position = frame.up_to;
    subscription.options.onGap?.({ after: frame.after, upTo: frame.up_to });
  }

  #tellGap(subscription, after, upTo) {
    subscription.options.onGap?.({ after, upTo });
  }

  #refused(frame) {
    const asked = this.#asked.get(frame.ref);
    if (asked) {
      this.#asked.delete(frame.ref);
      return this.#notBegun(asked.subscription, asked, frame);
    }
    this.#settle(frame.ref, (pending) => pending.reject(errorOf(frame)));
  }

  /** The log no longer has what comes next, or is another one: that is told, and it goes on from what there is. */
  #notBegun(subscription, { goesOn }, frame) {
    if (!this.#isMine(subscription)) return;
    const isLost = frame.error === 'gone' || frame.error === 'no_such_position';
    if (isLost && goesOn) {
      this.#tellGap(subscription, subscription.position, frame.oldest);
      subscription.hasGap = true;
      subscription.position = frame.oldest;
      return this.#begin(subscription);
    }
    if (frame.retry_after_ms !== undefined) {
      const again = () => this.#welcome && this.#isMine(subscription) && this.#begin(subscription);
      setTimeout(again, frame.retry_after_ms).unref?.();
      return;
    }
    this.#subscriptions.delete(subscription.filter);
    subscription.options.onError?.(errorOf(frame));
  }

  #isMine(subscription) {
    return subscription !== undefined && this.#subscriptions.get(subscription.filter) === subscription;
  }

  #settle(ref, act) {
    const pending = this.#pending.get(ref);
    if (!pending) return;
    this.#pending.delete(ref);
    act(pending);
  }
}

/** The subprotocol that shows who this is: a page can set no headers, and an address is no place for a secret. */
function shown({ token, user, password }) {
  if (token !== undefined) return [`headwater.token.${token}`];
  if (user === undefined) return [];
  const pair = base64(new TextEncoder().encode(`${user}:${password}`));
  return [`headwater.login.${pair.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`];
}

const errorOf = (frame) => new HeadwaterError(frame.error, frame.message, frame.retry_after_ms);

const receipt = ({ id, epoch, seq, duplicate }) => ({ id, epoch, seq, duplicate });

/** A UUID (version 4). Pages that came over plain HTTP have no `randomUUID`. */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('').replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** A payload as its member of the frame. */
function spell(payload) {
  if (typeof payload === 'string') return { payload };
  if (payload instanceof ArrayBuffer) return { payload_base64: base64(new Uint8Array(payload)) };
  if (payload instanceof Uint8Array) return { payload_base64: base64(payload) };
  if (payload === undefined) throw new TypeError('an event has a payload; an empty one is ""');
  return { json: payload };
}

function base64(bytes) {
  let binary = '';
  // In pieces: the arguments of one call have to fit on the stack.
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(binary);
}

/** An event as the reader wants it: bytes that are no text come as a Uint8Array. */
function decode(event) {
  if (event.payload_base64 === undefined) return event;
  const { payload_base64: coded, ...rest } = event;
  return { ...rest, payload: Uint8Array.from(atob(coded), (character) => character.charCodeAt(0)) };
}
