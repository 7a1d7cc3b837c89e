// The control connection that all these servers share: a length (4 bytes, big-endian), then a text that everyone gets.
// `begin` gets a function per text; the server tells where it listens in lines as Headwater does.
const net = require('node:net');

exports.listen = (sendToAll) => new Promise((resolve) => {
  const server = net.createServer((socket) => {
    socket.setNoDelay(true);
    let unread = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      unread = unread.length ? Buffer.concat([unread, bytes]) : bytes;
      while (unread.length >= 4 && unread.length >= 4 + unread.readUInt32BE(0)) {
        const end = 4 + unread.readUInt32BE(0);
        sendToAll(unread.toString('utf8', 4, end));
        unread = unread.subarray(end);
      }
    });
  });
  server.listen(0, '127.0.0.1', () => {
    console.log(`listening control 127.0.0.1:${server.address().port}`);
    resolve(server);
  });
});
