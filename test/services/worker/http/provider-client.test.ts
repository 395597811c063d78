import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ProviderSettings } from '#config/schema.ts';
import { systemClock } from '#shared/kernel/clock.ts';
import { ProviderClient } from '../../../../services/worker/http/provider-client.ts';

let server: Server;
let client: ProviderClient;
const timeouts = { connect_ms: 5_000, headers_ms: 60_000, body_ms: 60_000, total_ms: 60_000 };

/** A client of a provider that takes every request and never answers. */
async function open(total_ms: number): Promise<string> {
  const provider = { timeouts: { ...timeouts, total_ms }, response_max_bytes: 1_000 };
  client = new ProviderClient(provider as unknown as ProviderSettings, 1, systemClock);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeEach(() => {
  server = createServer();
});

afterEach(async () => {
  await client.destroy();
  server.closeAllConnections();
  server.close();
});

const send = (url: string, signal: AbortSignal) => client.send({ url, headers: {}, body: '{}', signal });

test('a request that lasts longer than total_ms ends as a time-out', async () => {
  const url = await open(1);
  await expect(send(url, new AbortController().signal)).rejects.toMatchObject({ failure: 'timeout' });
});

test('a request whose signal aborts while it runs is stopped, and the provider sees it go', async () => {
  const url = await open(timeouts.total_ms);
  const abort = new AbortController();
  const sent = send(url, abort.signal);
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  const gone = once(request.socket, 'close');
  abort.abort('cancelled');
  await expect(sent).rejects.toMatchObject({ failure: 'aborted' });
  await gone;
});

test('a request whose signal has aborted is never sent', async () => {
  const url = await open(timeouts.total_ms);
  let seen = 0;
  server.on('request', () => seen++);
  await expect(send(url, AbortSignal.abort('cancelled'))).rejects.toMatchObject({ failure: 'aborted' });
  expect(seen).toBe(0);
});
