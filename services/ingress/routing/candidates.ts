import type { TargetSettings } from '#config/schema.ts';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import type { RouteTarget } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import type { ModelTable } from '../model-table.ts';
import { placeCall } from '../place-call.ts';
import type { WeighedTarget } from './order-targets.ts';

interface CandidateCall {
  endpoint: Endpoint;
  asked: string;
  body: Record<string, unknown>;
  tenant: string;
  access: KeyAccess;
}

/** The targets that can take one call; each is looked at once, however often it is named. */
export class Candidates {
  readonly #models: ModelTable;
  readonly #call: CandidateCall;
  readonly #known = new Map<string, RouteTarget | SluiceError>();

  constructor(models: ModelTable, call: CandidateCall) {
    this.#models = models;
    this.#call = call;
  }

  /** Those that exist for this caller and endpoint, and have room for the call under some ceiling. */
  usable(targets: readonly TargetSettings[]): WeighedTarget[] {
    return targets.flatMap(({ model, weight, retries }) => {
      const found = this.#find(model);
      if (found instanceof SluiceError) return [];
      return [{ ...found, weight, ...(retries === undefined ? {} : { retries }) }];
    });
  }

  /** Why none of those that were looked at can take the call. */
  refusal(): SluiceError {
    const errors = [...this.#known.values()].filter((found) => found instanceof SluiceError);
    const [first] = errors;
    if (first && errors.every(({ code }) => code === first.code)) return first;
    const reason = errors.map(({ message }) => message.replace(/\.$/, '')).join('; ');
    return new SluiceError('no_target', { fields: { model: this.#call.asked, reason }, param: 'model' });
  }

  #find(model: string): RouteTarget | SluiceError {
    const known = this.#known.get(model);
    if (known) return known;
    const found = this.#look(model);
    this.#known.set(model, found);
    return found;
  }

  #look(model: string): RouteTarget | SluiceError {
    try {
      const { place, tokens } = placeCall(this.#models, model, this.#call);
      const { provider, pool } = place;
      return { provider, pool, model: place.model, tokens };
    } catch (error) {
      if (error instanceof SluiceError) return error;
      throw error;
    }
  }
}
