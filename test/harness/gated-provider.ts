import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const answer = JSON.stringify({
  id: 'chatcmpl-gated',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'gated',
  choices: [{ index: 0, message: { role: 'assistant', content: 'through' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
});

const send = (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(answer);

/** A provider that answers, but holds calls with the word `wait` in them until it is told to answer: those run until then. */
export class GatedProvider {
  readonly url: string;
  readonly #server: Server;
  #held: ServerResponse[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<GatedProvider> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const gated = new GatedProvider(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (Buffer.concat(chunks).includes('wait')) gated.#held.push(response);
        else send(response);
      });
    });
    return gated;
  }

  /** Answers all that is held. */
  open(): void {
    for (const response of this.#held.splice(0)) send(response);
  }

  /** Settings of a provider of one model, `gated`. */
  get settings() {
    return {
      dialect: 'openai' as const,
      base_url: `${this.url}/v1`,
      credentials: [{ id: 'main', api_key: 'sk-gate' }],
      pools: { gated: { models: ['gated'] } },
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
