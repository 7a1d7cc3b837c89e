// npm `socket.io`: io.emit to the default namespace. `node socketio.js ws` runs it on its own engine with `ws`,
// `node socketio.js uws` on uWebSockets.js, which its documentation offers as the faster one.
const { Server } = require('socket.io');
const control = require('./control');

const io = new Server({ transports: ['websocket'], perMessageDeflate: false, serveClient: false });
const begin = async (port) => {
  await control.listen((text) => io.emit('event', text));
  console.log(`listening socketio 127.0.0.1:${port}`);
};

if (process.argv[2] === 'uws') {
  const uws = require('@trufflesuite/uws-js-unofficial');
  const app = uws.App();
  io.attachApp(app);
  app.listen('127.0.0.1', 0, (token) => begin(uws.us_socket_local_port(token)));
} else {
  const http = require('node:http').createServer();
  io.attach(http);
  http.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => begin(http.address().port));
}
