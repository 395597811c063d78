import { z } from 'zod';
import { type CliContext, type CommonOptions, openOperations } from '../cli-context.ts';
import { CliError } from '../cli-error.ts';
import { ceilingsText, readPools } from '../pool-shape.ts';
import type { SluiceClient } from '../sluice-client.ts';
import type { Batch } from './batch-shape.ts';

const modelShape = z.object({ sluice: z.object({ pool: z.string() }) });
/** Progress does not wait for the operations port, which is often out of reach. */
const answerMs = 1_000;

/** How far the ceilings of a batch's pool are used, where the operations port can be reached; given up at the first failure. */
export class CeilingWatch {
  readonly #client: SluiceClient;
  readonly #open: () => Promise<SluiceClient>;
  #operations: SluiceClient | undefined;
  #pool: string | undefined;
  #givenUp = false;

  constructor(context: CliContext, options: CommonOptions, client: SluiceClient) {
    this.#client = client;
    this.#open = () => openOperations(context, options);
  }

  async used({ model }: Batch): Promise<string | undefined> {
    if (this.#givenUp || model === undefined) return undefined;
    try {
      this.#operations ??= await this.#open();
      this.#pool ??= await this.#poolOf(model);
      const pools = await readPools(this.#operations, answerMs);
      const pool = pools.find(({ provider, pool: name }) => `${provider}/${name}` === this.#pool);
      return (pool && ceilingsText(pool)) || undefined;
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      this.#givenUp = true;
      return undefined;
    }
  }

  async #poolOf(model: string): Promise<string> {
    const path = `/v1/models/${encodeURIComponent(model)}`;
    return (await this.#client.askJson(path, modelShape, { answerMs })).sluice.pool;
  }
}
