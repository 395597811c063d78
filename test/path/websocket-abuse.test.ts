import { afterAll, beforeAll, expect, test } from 'vitest';
import { chat, startSluice, type TestSluice } from '../harness/sluice.ts';
import { openSocket, type SocketClient } from '../harness/socket-client.ts';
import { until } from '../harness/until.ts';
import { submit, untilStatus } from './support.ts';

let sluice: TestSluice;
beforeAll(async () => {
  sluice = await startSluice({
    settings: {
      sockets: {
        subscriptions_max: 50,
        messages_per_second: 100,
        message_max_bytes: 20_000,
        buffer_max_bytes: 16_384,
        stall_ms: 500,
        watch_ms: 50,
      },
    },
  });
});
afterAll(() => sluice.stop());

/** Says it again and again, however slowly the other side takes it, until it is cut. */
async function keepOn(client: SocketClient, times: number, message: unknown): Promise<void> {
  const { socket } = client;
  await until('it is cut', () => {
    for (let index = 0; index < times && socket.readyState === socket.OPEN; index++) client.say(message);
    return socket.readyState === socket.CLOSED;
  });
}

test('clients that flood, never read, send too much, no text or broken JSON are cut or told why; others hear everything', async () => {
  const long = { ...chat('long', { outputTokens: 40_000, perTokenMs: 0.02 }), stream: true };
  const loud = await submit(sluice, long);
  const honest = await Promise.all([1, 2, 3].map(() => openSocket(sluice.url)));
  for (const client of honest) {
    client.say({ type: 'subscribe', all: true });
    await client.hear(({ type }) => type === 'subscribed');
  }
  const [flood, deaf, oversized, binary, broken, greedy] = await Promise.all(
    Array.from({ length: 6 }, () => openSocket(sluice.url)),
  );
  deaf!.say({ type: 'subscribe', jobs: [loud] });
  await deaf!.hear(({ event }) => event === 'delta');
  deaf!.socket.pause();
  oversized!.socket.send('x'.repeat(30_000));
  binary!.socket.send(Buffer.from('{}'));
  for (let index = 0; index < 20; index++) broken!.socket.send('{"type":');
  const none = Array.from({ length: 100 }, (_each, index) => `job_${String(index).padStart(32, '0')}`);
  const abuse = [
    keepOn(flood!, 300, { type: 'ping' }),
    keepOn(greedy!, 20, { type: 'subscribe', jobs: none }),
  ];

  const jobs: string[] = [];
  for (let index = 0; index < 20; index++)
    jobs.push(await submit(sluice, { ...chat(`job ${index}`, { outputTokens: 10 }), stream: true }));
  for (const client of honest)
    await Promise.all(
      jobs.map((job) => client.hear((message) => message.job === job && message.event === 'completed')),
    );

  await untilStatus(sluice, loud, 'succeeded');
  await Promise.all(abuse);
  expect((await flood!.closed).code).toBe(4429);
  expect(await greedy!.closed).toEqual({ code: 4429, reason: 'too many jobs named' });
  expect((await oversized!.closed).code).toBe(1009);
  expect((await binary!.closed).code).toBe(4400);
  const openSockets = async () => (await sluice.metrics.openSockets.get()).values[0]!.value;
  await until('only those are open that did no harm', async () => (await openSockets()) === 4);
  deaf!.socket.resume();
  // A reader that takes nothing does not take the reason either.
  expect([4408, 1006]).toContain((await deaf!.closed).code);
  expect(deaf!.messages.some(({ event }) => event === 'completed')).toBe(false);
  await broken!.hear(({ code }) => code === 'invalid_json');
  for (const { socket } of [...honest, broken!]) {
    expect(socket.readyState).toBe(socket.OPEN);
    socket.terminate();
  }
}, 60_000);
