import { type Settings, settingsSchema } from '#config/schema.ts';

type Deep<T> = T extends object ? { [K in keyof T]?: Deep<T[K]> } : T;

function merge(base: unknown, over: unknown): unknown {
  if (
    typeof base !== 'object' ||
    base === null ||
    Array.isArray(base) ||
    typeof over !== 'object' ||
    over === null
  )
    return over ?? base;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over))
    merged[key] = merge((base as Record<string, unknown>)[key], value);
  return merged;
}

export const testKey = 'sk-sl-test';
export const otherKey = 'sk-sl-other';
/** Key of the admin API. */
export const testAdminKey = 'sk-sl-admin-of-tests';
/** Encrypts secrets at rest in tests. */
export const testSecretKey = 'a-key-of-the-tests-that-is-long-enough';

/** The plain object a test configuration is made of (also written to YAML for separate processes). */
export function testConfiguration(simulatorUrl: string, over: Deep<Settings> = {}): Record<string, unknown> {
  const pool = (models: string[]) => ({ models, concurrency: 256 });
  return merge(
    {
      http: { host: '127.0.0.1', port: 0 },
      operations: { port: 0 },
      telemetry: { log_level: 'silent' },
      // A busy machine is no outage.
      redis: { command_timeout_ms: 15_000 },
      jobs: {
        retry_base_ms: 20,
        retry_max_ms: 200,
        sweep_ms: 200,
        sweep_first_ms: 1_000,
        lease_beat_ms: 500,
      },
      workers: { drain_ms: 2_000, stop_timeout_ms: 20_000 },
      providers: {
        openai: {
          dialect: 'openai',
          base_url: `${simulatorUrl}/v1`,
          credentials: [{ id: 'main', api_key: 'sk-simulator' }],
          pools: { chat: pool(['gpt-5-mini', 'no-such-*']), embeddings: pool(['text-embedding-3-small']) },
        },
        anthropic: {
          dialect: 'anthropic',
          base_url: simulatorUrl,
          credentials: [{ id: 'main', api_key: 'sk-simulator' }],
          pools: { claude: pool(['claude-sonnet-5', 'claude-no-*']) },
        },
      },
      customers: {
        acme: { keys: [{ id: 'test', key: testKey }] },
        rival: { keys: [{ id: 'test', key: otherKey }] },
      },
    },
    over,
  ) as Record<string, unknown>;
}

export function testSettings(simulatorUrl: string, over: Deep<Settings> = {}): Settings {
  return settingsSchema.parse(testConfiguration(simulatorUrl, over));
}

export type SettingsOverrides = Deep<Settings>;
