// Public alerts as teams build them from parts: Express, RabbitMQ, Redis and socket.io, with the contract of docs/alerts.md.
// `node alerts.js listener|processor|notifier`, each a process of its own; AMQP_URL and REDIS_URL say where the parts are.
// What is answered 200 is confirmed by RabbitMQ (durable queue, persistent messages), as it has to be for a fair comparison.
const amqp = require('amqplib');

const RAW = 'alerts-raw', TOLD = 'alerts-told';
const AMQP_URL = process.env.AMQP_URL ?? 'amqp://127.0.0.1';
const REDIS_URL = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379';
const WINDOW_S = 60;

async function broker() {
  const connection = await amqp.connect(AMQP_URL);
  const channel = await connection.createConfirmChannel();
  for (const queue of [RAW, TOLD]) await channel.assertQueue(queue, { durable: true });
  return channel;
}

const confirmed = (channel, queue, body) => new Promise((resolve, reject) =>
  channel.sendToQueue(queue, Buffer.from(JSON.stringify(body)), { persistent: true }, error => error ? reject(error) : resolve()));

async function cache() {
  const redis = require('redis').createClient({ url: REDIS_URL });
  await redis.connect();
  return redis;
}

function isReport(body) {
  const isText = text => typeof text === 'string' && text.trim() !== '';
  return body && isText(body.location) && isText(body.type) && isText(body.timestamp) && Number.isFinite(Date.parse(body.timestamp))
    && typeof body.duration === 'number' && body.duration > 0;
}

async function listener() {
  const channel = await broker(), express = require('express');
  const app = express();
  app.use(express.json());
  app.use((error, request, response, next) => response.status(400).json('Invalid event data'));
  app.post('/api/alerts', async (request, response) => {
    if (!isReport(request.body)) return response.status(400).json('Invalid event data');
    const { location, type, timestamp, duration } = request.body;
    try {
      await confirmed(channel, RAW, { location, type, timestamp, duration });
      response.json('Event processed successfully');
    } catch {
      response.status(503).set('Retry-After', '1').json('Event could not be stored');
    }
  });
  listening(app.listen(Number(process.env.PORT ?? 0), '127.0.0.1'));
}

async function processor() {
  const channel = await broker(), redis = await cache();
  await channel.prefetch(64);
  await channel.consume(RAW, async message => {
    const { location, type, timestamp, duration } = JSON.parse(message.content);
    const end = Date.parse(timestamp) + duration * 60_000, told = [];
    const isNew = await redis.set(`seen:${message.content}`, '1', { NX: true, EX: WINDOW_S });
    if (isNew) {
      const known = await redis.get(`active:${location}`);
      const active = known && JSON.parse(known);
      told.push({ eventType: 'open', location, type, sentTime: timestamp, duration: new Date(end).toISOString() });
      let next = { type, sentTime: timestamp, end };
      if (active) next = { type: active.type === type ? type : 'Mixed Threats', sentTime: active.sentTime, end: Math.max(end, active.end) };
      if (active && end > active.end) {
        told.push({ eventType: 'close', location, type: next.type, sentTime: next.sentTime, duration: new Date(end).toISOString() });
      }
      const left = next.end - Date.now();
      if (left > 0) await redis.set(`active:${location}`, JSON.stringify(next), { PX: Math.ceil(left) });
    }
    for (const event of told) await confirmed(channel, TOLD, event);
    channel.ack(message);
  });
  console.log('listening processor');
}

async function notifier() {
  const channel = await broker(), { Server } = require('socket.io');
  const server = require('node:http').createServer();
  const io = new Server(server, { perMessageDeflate: false, serveClient: false });
  await channel.prefetch(64);
  await channel.consume(TOLD, message => {
    io.emit('alert', JSON.parse(message.content));
    channel.ack(message);
  });
  server.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 0), backlog: 4096 });
  listening(server);
}

function listening(server) {
  server.on('listening', () => console.log(`listening http 127.0.0.1:${server.address().port}`));
}

({ listener, processor, notifier })[process.argv[2]]();
