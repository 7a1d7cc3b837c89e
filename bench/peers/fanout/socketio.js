// npm `socket.io`: io.emit to the default namespace. `node socketio.js ws` runs it on its own engine with `ws`,
// `node socketio.js uws` on uWebSockets.js, which its documentation offers as the faster one. With SECRET in the environment
// it lets in who shows a token (JWT, HS256) that was signed with it, and tells each the STATES texts that hold, then `live`.
const { createHmac, timingSafeEqual } = require('node:crypto');
const { Server } = require('socket.io');
const control = require('./control');

const io = new Server({ transports: ['websocket'], perMessageDeflate: false, serveClient: false });
if (process.env.SECRET) {
  const states = JSON.parse(process.env.STATES);
  io.use((socket, next) => next(isSigned(String(socket.handshake.auth.token)) ? undefined : new Error('not signed')));
  io.on('connection', (socket) => {
    for (const state of states) socket.emit('alert', state);
    socket.emit('live', {});
  });
}

function isSigned(token) {
  const [head, claims, signature] = token.split('.');
  const wanted = createHmac('sha256', process.env.SECRET).update(`${head}.${claims}`).digest();
  const shown = Buffer.from(signature ?? '', 'base64url');
  if (shown.length !== wanted.length || !timingSafeEqual(shown, wanted)) return false;
  return JSON.parse(Buffer.from(claims, 'base64url')).exp > Date.now() / 1000;
}

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
