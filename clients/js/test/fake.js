// A hub that says what a test wants it to say.

import { once } from 'node:events';
import { WebSocketServer } from 'ws';

export class FakeHub {
  static async start(port = 0) {
    const server = new WebSocketServer({ port, host: '127.0.0.1' });
    await once(server, 'listening');
    return new FakeHub(server);
  }

  constructor(server) {
    this.server = server;
    this.port = server.address().port;
    this.url = `ws://127.0.0.1:${this.port}/v1/ws`;
  }

  /** The next client, welcomed. */
  async client({ ping_seconds = 25 } = {}) {
    const [socket] = await once(this.server, 'connection');
    const client = new FakeClient(socket);
    client.say({ op: 'welcome', head: '7:0', limits: { ping_seconds } });
    return client;
  }

  async stop() {
    for (const socket of this.server.clients) socket.terminate();
    this.server.close();
    await once(this.server, 'close');
  }
}

class FakeClient {
  #frames = [];
  #waiting = [];

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (data) => {
      const frame = JSON.parse(data);
      const waiting = this.#waiting.shift();
      if (waiting) waiting(frame);
      else this.#frames.push(frame);
    });
  }

  say(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** The next frame of the client. */
  async next() {
    return this.#frames.shift() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  drop() {
    this.socket.terminate();
  }
}

export const event = (seq, payload, more = {}) => ({ seq, time: 't', id: `e${seq}`, topic: 'a', headers: {}, payload, ...more });
