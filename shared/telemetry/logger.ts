import { type Logger, pino } from 'pino';
import type { Settings } from '#config/schema.ts';

export type { Logger };

/** Fields that may hold a secret or a prompt, wherever a careless log line puts them. */
const secretPaths = [
  'authorization',
  'api_key',
  'apiKey',
  'key',
  'body',
  'prompt',
  'headers',
  'command',
  'err.command',
  'args',
].flatMap((field) => [field, `*.${field}`]);

/** The process's logger: one JSON object a line on standard output. */
export function createLogger(settings: Settings['telemetry'], service: string): Logger {
  return pino({
    level: settings.log_level,
    base: { service },
    redact: { paths: secretPaths, censor: '[redacted]' },
  });
}
