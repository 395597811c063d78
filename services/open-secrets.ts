import { createSecretBox, type SecretBox } from '#shared/secrets/secret-box.ts';
import type { Logger } from '#shared/telemetry/logger.ts';

/** The secret box of a process; without keys it opens what stands in plain from before, and stores nothing. */
export function openSecrets(keys: readonly string[], log: Logger): SecretBox {
  if (keys.length === 0)
    log.warn('no SLUICE_SECRET_KEY is set: webhook endpoints and stored provider keys cannot be made');
  return createSecretBox(keys);
}
