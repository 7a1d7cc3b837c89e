// The real hub, on a free port and a folder of its own.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export class Hub {
  /** `prepare` may put files into the data folder before the start. */
  static async start(binary, prepare = () => {}) {
    const hub = new Hub(binary, await mkdtemp(join(tmpdir(), 'headwater-js-')));
    await prepare(hub);
    await hub.run(0);
    return hub;
  }

  constructor(binary, folder) {
    this.binary = binary;
    this.folder = folder;
  }

  async run(port = this.port) {
    const options = ['--data', this.folder, '--http', `127.0.0.1:${port}`, '--frames', 'off', '--mqtt', 'off', '--apps', 'none'];
    // Each HEADWATER_* is a setting, and those of whoever runs the tests are not ours.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HEADWATER_')));
    this.process = spawn(this.binary, ['serve', ...options], { stdio: ['ignore', 'pipe', 'inherit'], env });
    for await (const line of createInterface({ input: this.process.stdout })) {
      const [, bound] = line.match(/^listening http .*:(\d+)$/) ?? [];
      if (!bound) continue;
      this.port = Number(bound);
      this.url = `ws://127.0.0.1:${bound}/v1/ws`;
      this.process.stdout.resume();
      return;
    }
    throw new Error('the hub did not start');
  }

  /** Adds a user, as an operator does. */
  addUser(name, password, role) {
    const args = ['user', 'add', name, '--role', role, '--data', this.folder];
    execFileSync(this.binary, args, { input: password, stdio: ['pipe', 'ignore', 'ignore'] });
  }

  async kill() {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }

  async end() {
    await this.kill();
    await rm(this.folder, { recursive: true });
  }
}
