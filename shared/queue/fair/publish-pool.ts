import { hash } from 'node:crypto';
import type { z } from 'zod';
import type { FairQueueBackend } from './fair-backend.ts';
import {
  type CompiledPool,
  compilePool,
  compileTenant,
  type poolSettingsSchema,
  type TenantSettings,
} from './pool-config.ts';

/** Number of the dimension that counts what runs at once, which has no rate. */
const concurrencyDimension = 5;

/** What a publication came to. */
export interface Published {
  /** Whether it said anything new. */
  changed: boolean;
  /** How many there have been. */
  revision: number;
  /** Who published before; undefined for the first. */
  before: string | undefined;
}

/**
 * Publishes how a pool is run, for every process at once; it holds from the next dispatch on. What waits, what is
 * admitted and what is in hand stay as they are. Tenants that are not named keep their settings. A named publisher that
 * says what was said last changes nothing.
 *
 * @throws ZodError when the settings are not valid
 */
export async function publishPool(
  backend: FairQueueBackend,
  settings: z.input<typeof poolSettingsSchema> | undefined,
  tenants: Record<string, TenantSettings> = {},
  publisher = '',
): Promise<Published> {
  const compiled = Object.entries(tenants).map(([tenant, its]) => [tenant, compileTenant(its)]);
  const configuration = settings ? JSON.stringify(compilePool(settings)) : '';
  const named = JSON.stringify(Object.fromEntries(compiled));
  const fingerprint = hash('sha1', `${configuration}\n${named}`);
  const args = { configuration, tenants: named, fingerprint, publisher };
  const [changed, revision, before] = await backend.runScript('publish', { args });
  return { changed: changed === 1, revision, before: before === '-' ? undefined : before };
}

/** Holds a credential back for so long from now. Never shortens what was asked for before. */
export async function coolDown(
  backend: FairQueueBackend,
  credentialId: string,
  forMs: number,
): Promise<number> {
  const args = { credentialId, forMs: Math.ceil(forMs) };
  return backend.runScript('steer', { args });
}

/**
 * Whether no credential of the pool could ever hold a call of this size, so that it must not be accepted. Of ceilings
 * that follow the provider nobody knows it before the dispatch.
 */
export function exceedsEveryCeiling(
  pool: CompiledPool,
  call: { input: number; output: number; max: number },
): boolean {
  const amounts = reservationOf(pool, knownOf(pool, call));
  const scopes = pool.credentials.map(({ scope }) => pool.scopes[scope] ?? []);
  return (
    scopes.length > 0 &&
    scopes.every((ceilings) =>
      ceilings.some(
        ({ dimension, amount, clamped, auto }) => !clamped && !auto && amounts[dimension - 1]! > amount,
      ),
    )
  );
}

/** What is sure of a call. What it is only expected to produce makes no call too large (`expected` in reserve.lua). */
function knownOf({ accounting }: CompiledPool, call: { input: number; output: number; max: number }) {
  return { ...call, output: 0, max: accounting === 'input_plus_output_actual' ? 0 : call.max };
}

/** Calls of this size that the ceilings admit per second, over all limit scopes; 0 when nothing holds them back. */
export function startsPerSecond(
  pool: CompiledPool,
  call: { input: number; output: number; max: number },
): number {
  // Where real output counts in the end, more is held of a call only while it runs.
  const max = pool.accounting === 'input_plus_output_actual' ? call.output : call.max;
  const amounts = reservationOf(pool, { ...call, max });
  const perScope = Object.values(pool.scopes).map((ceilings) => {
    const rates = ceilings
      .filter(({ dimension }) => dimension < concurrencyDimension && amounts[dimension - 1]! > 0)
      .map(({ dimension, msPerUnit }) => 1_000 / (msPerUnit * amounts[dimension - 1]!));
    return rates.length > 0 ? Math.min(...rates) : 0;
  });
  return perScope.reduce((sum, rate) => sum + rate, 0);
}

/** What a call reserves by dimension; the counterpart of reservationFor in lua/includes/reserve.lua. */
export function reservationOf(
  { accounting, burndown }: { accounting: string; burndown: number },
  { input, output, max }: { input: number; output: number; max: number },
): [requests: number, tokens: number, inputTokens: number, outputTokens: number, concurrency: number] {
  switch (accounting) {
    case 'input_plus_max':
      return [1, input + max, input, max, 1];
    case 'max_of_both':
      return [1, Math.max(input, max), input, max, 1];
    case 'input_only':
      return [1, input, input, 0, 1];
    case 'bedrock': {
      const held = Math.max(max, Math.ceil(output * burndown));
      return [1, input + held, input, held, 1];
    }
    default:
      return [1, input + max, input, max, 1];
  }
}
