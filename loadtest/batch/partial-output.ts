import { createHash } from 'node:crypto';
import { key } from './workload.ts';

const newline = 0x0a;

/** Reads the output of a batch while it grows, as far as it is, and goes on where it was; through every interruption. */
export class PartialOutput {
  readonly #url: string;
  readonly #hash = createHash('sha256');
  #bytes = 0;
  #lines = 0;

  constructor(ingressUrl: string, batchId: string) {
    this.#url = `${ingressUrl}/v1/batches/${batchId}/output`;
  }

  /** Lines read so far. */
  get lines(): number {
    return this.#lines;
  }

  /** What was read in all: the same as of the output file, if the batch has ended. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** @throws TypeError when the ingress is away; what came before counts */
  async readOn(): Promise<void> {
    const headers = { authorization: `Bearer ${key}` };
    const response = await fetch(`${this.#url}?after=${this.#bytes}`, { headers });
    if (!response.ok) throw new TypeError(`${this.#url}: ${response.status}`);
    for await (const chunk of response.body!) {
      this.#hash.update(chunk);
      this.#bytes += chunk.length;
      for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) this.#lines++;
    }
  }
}
