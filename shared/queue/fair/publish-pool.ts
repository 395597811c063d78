import type { z } from 'zod';
import type { FairQueueBackend } from './fair-backend.ts';
import {
  type CompiledPool,
  compilePool,
  compileTenant,
  type poolSettingsSchema,
  type TenantSettings,
} from './pool-config.ts';

/**
 * Publishes how a pool is run, for every process at once; it holds from the next dispatch on. What waits, what is
 * admitted and what is in hand stay as they are. Tenants that are not named keep their settings.
 *
 * @throws ZodError when the settings are not valid
 */
export async function publishPool(
  backend: FairQueueBackend,
  settings: z.input<typeof poolSettingsSchema> | undefined,
  tenants: Record<string, TenantSettings> = {},
): Promise<void> {
  const compiled = Object.entries(tenants).map(([tenant, its]) => [tenant, compileTenant(its)]);
  const args = {
    configuration: settings ? JSON.stringify(compilePool(settings)) : '',
    tenants: JSON.stringify(Object.fromEntries(compiled)),
  };
  await backend.runScript('publish', { args });
}

/** Holds a credential back until a time on Redis' clock. Never shortens what was asked for before. */
export async function coolDown(
  backend: FairQueueBackend,
  credentialId: string,
  untilMs: number,
): Promise<number> {
  const args = { credentialId, cooldownUntilMs: Math.ceil(untilMs), parked: '' };
  return backend.runScript('steer', { args });
}

/** Takes a credential out of service, or puts it back. */
export async function parkCredential(
  backend: FairQueueBackend,
  credentialId: string,
  parked: boolean,
): Promise<void> {
  await backend.runScript('steer', { args: { credentialId, cooldownUntilMs: '', parked: parked ? 1 : 0 } });
}

/** Whether no credential of the pool could ever hold a call of this size, so that it must not be accepted. */
export function exceedsEveryCeiling(
  pool: CompiledPool,
  call: { input: number; output: number; max: number },
): boolean {
  const amounts = reservationOf(pool, call);
  const scopes = pool.credentials.map(({ scope }) => pool.scopes[scope] ?? []);
  return (
    scopes.length > 0 &&
    scopes.every((ceilings) =>
      ceilings.some(({ dimension, amount, clamped }) => !clamped && amounts[dimension - 1]! > amount),
    )
  );
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
      return [1, input + output, input, output, 1];
  }
}
