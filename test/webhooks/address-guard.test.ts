import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isPublicAddress, refusalOf } from '#shared/deliveries/url-policy.ts';
import { guardedLookup, type Resolve } from '../../services/webhook/address-guard.ts';
import { ReceiverClient } from '../../services/webhook/receiver-client.ts';
import { testSettings } from '../harness/test-settings.ts';

let server: Server;
let port: number;
let connections = 0;
beforeAll(async () => {
  // Every address of this machine: whatever reaches it is seen.
  server = createServer((socket) => {
    connections++;
    socket.destroy();
  }).listen(0, '::');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.close();
  await once(server, 'close');
});

const settings = (allow_private: boolean) =>
  testSettings('http://127.0.0.1:1', {
    webhooks: { allow_private, ports: [port], attempt_timeout_ms: 500, connect_timeout_ms: 400 },
  }).webhooks;

/** Hosts that name an address which must not be reached, however they write it. */
const hostileHosts = [
  ...['127.0.0.1', '127.1', '127.0.1', '0x7f.1', '0x7f000001', '2130706433', '017700000001', '0177.0.0.1'],
  ...['127.0.0.1.', '127.255.255.254', '0.0.0.0', '0', '0x0', '127。0。0。1', '①②⑦.⓪.⓪.①', '%31%32%37.0.0.1'],
  ...['10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '192.168.1.254'],
  ...['169.254.169.254', '0xa9fea9fe', '2852039166', '169.254.170.2', '100.64.0.1', '100.100.100.200'],
  ...['168.63.129.16', '192.0.0.192', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1'],
  ...['192.88.99.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
  ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]'],
  ...['[::ffff:169.254.169.254]', '[::ffff:10.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b::a9fe:a9fe]'],
  ...['[64:ff9b:1::1]', '[2002:7f00:1::]', '[2002:a9fe:a9fe::1]', '[2001:0:7f00:1::]', '[fe80::1]'],
  ...['[fec0::1]', '[fc00::1]', '[fd00:ec2::254]', '[ff02::1]', '[100::1]', '[2001:db8::1]', '[3fff::1]'],
  ...['[5f00::1]', '[4000::1]', '[2001:10::1]', 'localhost', 'LOCALHOST', 'localhost.', 'a.localhost'],
];
/** Names by what they resolve to: wildcard services, aliases, and names with one good address among bad ones. */
const names: Record<string, string[]> = {
  '127.0.0.1.nip.example': ['127.0.0.1'],
  'metadata.example': ['169.254.169.254'],
  'cname-to-private.example': ['10.0.0.1', '::1'],
  'mapped.example': ['::ffff:127.0.0.1'],
  'mixed.example': ['8.8.8.8', '127.0.0.1'],
  'mixed-other-way.example': ['127.0.0.1', '8.8.8.8'],
  'nat64.example': ['64:ff9b::7f00:1'],
  'nowhere.example': [],
};
const family = (address: string) => (address.includes(':') ? 6 : 4);
const answering =
  (addressesOf: (hostname: string) => string[]): Resolve =>
  (hostname, done) =>
    done(
      null,
      addressesOf(hostname).map((address) => ({ address, family: family(address) })),
    );

test('60 and more hostile URLs: not one connection', async () => {
  connections = 0;
  const client = new ReceiverClient(
    settings(false),
    answering((hostname) => names[hostname] ?? ['127.0.0.1']),
  );
  const urls = [...hostileHosts, ...Object.keys(names)].flatMap((host) => [
    `https://${host}:${port}/hook`,
    `http://${host}:${port}/hook`,
  ]);
  urls.push(
    `https://user:pass@127.0.0.1:${port}/`,
    `https://example.com@127.0.0.1:${port}/`,
    `https://example.com:${port}#@127.0.0.1/`,
    'https://mixed.example:22/',
    `file://127.0.0.1:${port}/`,
    `gopher://127.0.0.1:${port}/`,
    `//127.0.0.1:${port}/`,
  );
  expect(urls.length).toBeGreaterThan(120);
  for (const url of urls) {
    const receipt = await client.send(url, {}, '{}');
    expect([url, receipt]).toEqual([url, { status: null, error: 'refused_address' }]);
  }
  await client.close();
  expect(connections).toBe(0);
});

test('a name that changes its answers is judged by the one that is connected to, and is never asked twice', async () => {
  connections = 0;
  let asked = 0;
  const turns = [['127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['::1'], ['10.0.0.1']];
  const client = new ReceiverClient(
    settings(false),
    answering(() => turns[asked++ % turns.length]!),
  );
  for (let round = 1; round <= 20; round++) {
    const receipt = await client.send(`https://rebinding.example:${port}/`, {}, '{}');
    expect(receipt).toEqual({ status: null, error: 'refused_address' });
    expect(asked, 'one answer per connection').toBe(round);
  }
  await client.close();
  expect(connections).toBe(0);
});

test('the connector is given the very addresses that were judged', () => {
  let asked = 0;
  const lookup = guardedLookup(
    answering(() => (asked++ === 0 ? ['8.8.8.8', '2606:4700::1111'] : ['127.0.0.1'])),
  );
  const given: unknown[] = [];
  const take = (...args: unknown[]) => given.push(args);
  lookup('rebinding.example', { all: true }, take);
  lookup('rebinding.example', { all: true }, take);
  expect(given[0]).toEqual([
    null,
    [
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700::1111', family: 6 },
    ],
  ]);
  expect(given[1]).toEqual([expect.objectContaining({ code: 'ADDRESS_REFUSED' }), '', 0]);
});

test('with allow_private the same addresses are reached: the listener would have seen a connection', async () => {
  connections = 0;
  const client = new ReceiverClient(settings(true));
  for (const host of ['127.0.0.1', '0x7f.1', '[::1]', 'localhost']) {
    await client.send(`http://${host}:${port}/`, {}, '{}');
  }
  await client.close();
  expect(connections).toBeGreaterThanOrEqual(4);
});

test('public addresses and ordinary URLs are let through', () => {
  const policy = { allow_private: false, ports: [443, 8443] };
  for (const address of ['8.8.8.8', '93.184.216.34', '2606:4700::1111', '2a00:1450:4001:81b::200e'])
    expect(isPublicAddress(address), address).toBe(true);
  for (const url of ['https://example.com/hook?a=1', 'https://example.com:8443/', 'https://8.8.8.8/'])
    expect(refusalOf(url, policy), url).toBeUndefined();
  for (const url of [
    'http://example.com/',
    'https://example.com:444/',
    `https://example.com/${'a'.repeat(2_000)}`,
  ])
    expect(refusalOf(url, policy), url).toBeDefined();
});
