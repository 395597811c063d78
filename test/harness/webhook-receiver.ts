import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Certificate } from './certificates.ts';

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  id: string;
}

type Answer = (received: Received, response: ServerResponse) => void;

/** A receiver of webhooks on loopback that remembers what came, and answers as it is told: 204 unless told otherwise. */
export class WebhookReceiver {
  readonly url: string;
  readonly received: Received[] = [];
  answer: Answer = (_received, response) => response.writeHead(204).end();
  /** Connections that were opened, whatever came of them. */
  connections = 0;
  readonly #server: Server | TlsServer;

  private constructor(server: Server | TlsServer, origin: string) {
    this.#server = server;
    this.url = `${origin}:${(server.address() as AddressInfo).port}/hook`;
  }

  /** With a certificate it is reached over TLS, as localhost. */
  static async start(certificate?: Certificate): Promise<WebhookReceiver> {
    const server = certificate ? createTlsServer(certificate) : createServer();
    server.on('connection', () => receiver.connections++);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const receiver = new WebhookReceiver(server, certificate ? 'https://localhost' : 'http://127.0.0.1');
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        const received = { headers: request.headers, body, id: String(request.headers['webhook-id']) };
        receiver.received.push(received);
        receiver.answer(received, response);
      });
    });
    return receiver;
  }

  /** Answers with this status from now on. */
  answerWith(status: number, headers: Record<string, string> = {}): void {
    this.answer = (_received, response) => response.writeHead(status, headers).end();
  }

  get ids(): string[] {
    return this.received.map(({ id }) => id);
  }

  /** Cuts every connection: what was under way is not answered any more. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
