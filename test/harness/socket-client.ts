import { once } from 'node:events';
import { WebSocket } from 'ws';
import { testKey } from './test-settings.ts';
import { until } from './until.ts';

export interface SocketMessage {
  type: string;
  ref?: string;
  job?: string;
  event?: string;
  id?: string;
  code?: string;
  data?: { text?: string } & Record<string, unknown>;
}

export interface SocketClient {
  socket: WebSocket;
  messages: SocketMessage[];
  say(message: unknown): void;
  /** Resolves with the first message that fits. */
  hear(fits: (message: SocketMessage) => boolean): Promise<SocketMessage>;
  closed: Promise<{ code: number; reason: string }>;
}

export interface SocketDoor {
  path?: string;
  headers?: Record<string, string>;
  /** Whether pings are answered. */
  autoPong?: boolean;
}

/** Opens a socket with the test key unless told otherwise; rejects when the upgrade is refused. */
export async function openSocket(
  url: string,
  { path = '/v1/ws', headers, autoPong = true }: SocketDoor = {},
): Promise<SocketClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, {
    autoPong,
    headers: headers ?? { authorization: `Bearer ${testKey}` },
  });
  const messages: SocketMessage[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString()) as SocketMessage));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code: number, reason: Buffer) => resolve({ code, reason: reason.toString() }));
  });
  socket.on('error', () => undefined);
  await once(socket, 'open');
  return {
    socket,
    messages,
    closed,
    say: (message) => socket.send(JSON.stringify(message)),
    hear: (fits) => until('a message over the socket', () => messages.find(fits)),
  };
}

/** The status with which an upgrade is refused. */
export async function refusalOf(url: string, door: SocketDoor): Promise<number> {
  return openSocket(url, door).then(
    ({ socket }) => {
      socket.terminate();
      return 101;
    },
    (error: Error) => Number(/Unexpected server response: (\d+)/.exec(error.message)?.[1] ?? Number.NaN),
  );
}
