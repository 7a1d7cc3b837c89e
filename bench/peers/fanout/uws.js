// uWebSockets.js: every client subscribes to one topic, and app.publish sends to it. This is the fastest way it has: one
// framing for all, batched by its topic tree. No compression. The native part must load, or this ends: the package falls
// back to JavaScript otherwise, which would be another program.
const uws = require('@trufflesuite/uws-js-unofficial');
const control = require('./control');

if (typeof uws.H3App !== 'function') {
  console.error('the native part of uWebSockets.js does not load with this Node');
  process.exit(1);
}
const app = uws.App();
app.ws('/*', {
  compression: uws.DISABLED,
  idleTimeout: 120,
  maxBackpressure: 64 * 1024 * 1024,
  open: (client) => client.subscribe('all'),
});
app.listen('127.0.0.1', 0, async (token) => {
  await control.listen((text) => app.publish('all', text, false, false));
  console.log(`listening uws 127.0.0.1:${uws.us_socket_local_port(token)}`);
});
