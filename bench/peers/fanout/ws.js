// npm `ws`: one text to every client, as its README's "server broadcast" has it. No compression (its default for servers).
const { WebSocketServer, WebSocket } = require('ws');
const control = require('./control');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, backlog: 4096 }, async () => {
  await control.listen((text) => {
    // Encoded once: `ws` frames a Buffer for each client, but doesn't convert it again.
    const bytes = Buffer.from(text);
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(bytes, { binary: false });
    }
  });
  console.log(`listening ws 127.0.0.1:${server.address().port}`);
});
server.on('connection', (client) => client.on('error', () => {}));
