// What the tests of this folder share: cases that are sentences, and waiting with a bound.
import assert from "node:assert/strict";

import WebSocket from "ws";

const cases = [];

export function test(sentence, run) {
  cases.push([sentence, run]);
}

/// Rejects when something doesn't come in time; only a failing test waits so long.
export function within(promise, what, ms = 10_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} didn't come within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/// A WebSocket whose messages are taken one by one, none lost.
export class Wire {
  constructor(address) {
    this.heard = [];
    this.waiting = [];
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.closed = new Promise((resolve) => this.socket.addEventListener("close", resolve));
    this.socket.addEventListener("error", () => {});
    this.opened = new Promise((resolve) => this.socket.addEventListener("open", resolve));
    this.socket.addEventListener("message", ({ data }) => {
      const waiting = this.waiting.shift();
      if (waiting) waiting(data);
      else this.heard.push(data);
    });
  }

  send(data) {
    this.socket.send(data);
  }

  take() {
    if (this.heard.length) return Promise.resolve(this.heard.shift());
    return within(new Promise((resolve) => this.waiting.push(resolve)), "a message");
  }

  /// The next that is no ping.
  async packet() {
    for (;;) {
      const data = await this.take();
      if (data !== "2") return data;
    }
  }

  isClosed() {
    return within(this.closed, "the end");
  }
}

export async function run(title) {
  let failed = 0;
  for (const [sentence, body] of cases) {
    try {
      await within(body(), "the end of the case", 30_000);
    } catch (error) {
      failed += 1;
      console.error(`FAILED ${title}: ${sentence}\n${error.stack}`);
    }
  }
  console.log(`${title}: ${cases.length - failed} of ${cases.length} passed`);
  process.exit(failed ? 1 : 0);
}

export { assert };
