import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigurationError, type Environment, loadSettings, secretKeys } from '#config/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice load '));
afterAll(() => rmSync(folder, { recursive: true }));

const file = join(folder, 'sluice.yaml');
const provider = `
  openai:
    dialect: openai
    base_url: http://127.0.0.1:1
    credentials:
      - id: main
        api_key: "\${SECRET:-none}"
    pools: { chat: { models: [gpt] } }`;
const customers = `customers:
  acme: { keys: [{ id: a, key: sk-a }] }`;
const minimal = `providers:${provider}\n${customers}\n`;

function load(text: string, environment: Environment = {}) {
  writeFileSync(file, text);
  return loadSettings({ SLUICE_CONFIG: file, ...environment });
}

function mistakesOf(text: string, environment: Environment = {}): string[] {
  try {
    load(text, environment);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as Error).message.split('\n').map((line) => line.replace(file, 'file'));
  }
  throw new Error('the configuration was accepted');
}

describe('mistakes', () => {
  test('all of them are listed at once, each with file, line and path', () => {
    const text = `http:\n  port: 99999\n  prot: 1\njobs:\n  attempts_max: many\nprovider: {}\nproviders:${provider}\n${customers}\n`;
    expect(mistakesOf(text)).toEqual([
      expect.stringMatching(/^file:2: http\.port: /),
      'file:3: http.prot: there is no such setting',
      expect.stringMatching(/^file:5: jobs\.attempts_max: .*number/),
      'file:6: provider: there is no such setting',
    ]);
  });

  test('a missing group names the file, a missing field the line of its group', () => {
    expect(mistakesOf(customers)).toEqual([expect.stringMatching(/^file:1: providers: /)]);
    expect(mistakesOf(`providers:\n  openai: { dialect: azure }\n${customers}`)).toEqual([
      expect.stringMatching(/^file:2: providers\.openai\.base_url: /),
      expect.stringMatching(/^file:2: providers\.openai\.credentials: /),
      expect.stringMatching(/^file:2: providers\.openai\.pools: /),
    ]);
  });

  test('a name that could break a Redis key is refused with the reason', () => {
    expect(mistakesOf(minimal.replace('acme', '"{acme}"'))).toEqual([
      expect.stringMatching(/^file:\d+: customers\.\{acme\}: use letters/),
    ]);
  });

  test('YAML that cannot be read names the line and quotes nothing of the file', () => {
    const [mistake] = mistakesOf(`http:\n  port: 1\n  host: "sk-canary\n`);
    expect(mistake).toMatch(/^file:\d+: /);
    expect(mistakesOf('http: { host: a } sk-canary\nb: "sk-canary" c').join()).not.toContain('canary');
    expect(mistake).not.toContain('canary');
    expect(mistakesOf(`http: {}\nhttp: {}\n${minimal}`)).toEqual([
      expect.stringMatching(/^file:2: .*unique/),
    ]);
  });

  test.each(['just a text', '- a\n- b', 'http: 5'])('a file of another form: %s', (text) => {
    expect(mistakesOf(text, { PORT: '1' }).length).toBeGreaterThan(0);
  });

  test('a file that is not there', () => {
    expect(() => loadSettings({ SLUICE_CONFIG: join(folder, 'none.yaml') })).toThrow(
      /none\.yaml: the file cannot be read/,
    );
  });

  test('a variable that is not set is named together with the other mistakes', () => {
    expect(mistakesOf(`http: { port: 99999 }\n${minimal.replace('${SECRET:-none}', '${SECRET}')}`)).toEqual([
      'file:8: the environment variable SECRET is not set',
      expect.stringMatching(/^file:1: http\.port: /),
    ]);
  });

  test('a wrong variable of the environment is named itself', () => {
    expect(mistakesOf(minimal, { PORT: 'eighty' })).toEqual([expect.stringMatching(/^PORT: http\.port: /)]);
    expect(mistakesOf(minimal, { SLUICE_LOG_LEVEL: 'loud' })).toEqual([
      expect.stringMatching(/^SLUICE_LOG_LEVEL: telemetry\.log_level: /),
    ]);
  });

  test('no mistake repeats a secret', () => {
    const text = minimal.replace('sk-a', '[sk-canary]');
    expect(mistakesOf(text, { SECRET: 'sk-canary' }).join()).not.toContain('canary');
  });

  test('settings that contradict each other', () => {
    expect(mistakesOf(`jobs: { lease_ms: 4000, lease_beat_ms: 3000 }\n${minimal}`)).toEqual([
      expect.stringMatching(/^file:1: jobs\.lease_beat_ms: must be at most half/),
    ]);
    expect(mistakesOf(`jobs: { retry_base_ms: 200, retry_max_ms: 100 }\n${minimal}`)).toEqual([
      expect.stringMatching(/^file:1: jobs\.retry_base_ms: /),
    ]);
  });

  test('a key that two tenants share', () => {
    expect(mistakesOf(`${minimal}  rival: { keys: [{ id: b, key: sk-a }] }`)).toEqual([
      expect.stringMatching(/^file:\d+: customers\.rival\.keys\.0\.key: the tenant acme has the same key$/),
    ]);
  });
});

describe('places', () => {
  const secretOf = (environment: Environment, place = '"${SECRET:-none}"') =>
    load(minimal.replace('"${SECRET:-none}"', place), environment).providers.openai!.credentials[0]?.api_key;

  test('a variable, its default, and several in one value', () => {
    expect(secretOf({ SECRET: 'sk-1' })).toBe('sk-1');
    expect(secretOf({})).toBe('none');
    expect(secretOf({ SECRET: '' })).toBe('none');
    expect(secretOf({ A: '1', B: '2' }, '"x${A}-${B}-${C:-}"')).toBe('x1-2-');
  });

  test.each([
    '", admin: { key: "x" } }\nhttp: { port: 1 }',
    '"]}\n- a: &b *c',
    '${HOME}',
    '# comment',
    '12345',
    'true',
    '!!js/x',
    'a: b',
  ])('a secret stays a text and adds no structure: %s', (secret) => {
    expect(secretOf({ SECRET: secret, HOME: '/root' })).toBe(secret);
    expect(secretOf({ SECRET: secret, HOME: '/root' }, '${SECRET}')).toBe(secret);
  });

  test('a key of the file is never replaced', () => {
    expect(mistakesOf(`"\${NAME:-http}": {}\n${minimal}`, { NAME: 'http' })).toEqual([
      'file:1: ${NAME:-http}: there is no such setting',
    ]);
  });

  test('a credential without a key does not exist', () => {
    expect(load(minimal.replace('none', ''), {}).providers.openai!.credentials).toEqual([]);
  });
});

describe('environment', () => {
  test('overrides the file, and a group the file does not have', () => {
    const settings = load(`http: { port: 1, host: h }\n${minimal}`, {
      PORT: '2',
      ADMIN_PORT: '3',
      SIMULATOR_PORT: '4',
      SLUICE_DATA_DIR: '/d',
      REDIS_URL: 'redis://r',
      SLUICE_LOG_LEVEL: 'warn',
    });
    expect(settings.http).toMatchObject({ port: 2, host: 'h' });
    expect(settings.operations.port).toBe(3);
    expect(settings.simulator.port).toBe(4);
    expect(settings.redis).toMatchObject({ data_dir: '/d', url: 'redis://r' });
    expect(settings.telemetry.log_level).toBe('warn');
  });

  test('an empty variable changes nothing', () => {
    expect(load(`http: { port: 1 }\n${minimal}`, { PORT: '', REDIS_URL: '' })).toMatchObject({
      http: { port: 1 },
    });
  });

  test('a collector of the file is handed to the OpenTelemetry SDK, which reads the environment only', () => {
    const environment: Environment = { SLUICE_CONFIG: file };
    load(`telemetry: { otlp_endpoint: "http://c:4318" }\n${minimal}`);
    loadSettings(environment);
    expect(environment.OTEL_EXPORTER_OTLP_ENDPOINT).toBe('http://c:4318');
  });

  test('without a collector the environment stays as it is: a variable of a process cannot be undefined', () => {
    const environment: Environment = { SLUICE_CONFIG: file };
    load(minimal);
    loadSettings(environment);
    expect(Object.keys(environment)).toEqual(['SLUICE_CONFIG']);
  });
});

test('the configuration that is shipped runs with no environment at all', () => {
  const settings = loadSettings({});
  expect(Object.keys(settings.providers)).toEqual(['openai', 'anthropic', 'gemini']);
  expect(Object.values(settings.providers).flatMap(({ credentials }) => credentials)).toEqual([]);
  expect(settings.http.port).toBe(8080);
});

describe('keys for secrets', () => {
  const [one, two] = ['1'.repeat(32), '2'.repeat(44)];

  test('come from the variable or from a file, the newest first', () => {
    const keyFile = join(folder, 'secret-key');
    writeFileSync(keyFile, `${one}\n${two}\n`);
    expect(secretKeys({})).toEqual([]);
    expect(secretKeys({ SLUICE_SECRET_KEY: `${one}, ${two}` })).toEqual([one, two]);
    expect(secretKeys({ SLUICE_SECRET_KEY_FILE: keyFile })).toEqual([one, two]);
  });

  test('that could be guessed, or a file that is not there, are refused without quoting them', () => {
    expect(() => secretKeys({ SLUICE_SECRET_KEY: 'short' })).toThrow(
      /^SLUICE_SECRET_KEY: a key of at least 32 /,
    );
    expect(() => secretKeys({ SLUICE_SECRET_KEY: 'short' })).not.toThrow(/short/);
    expect(() => secretKeys({ SLUICE_SECRET_KEY_FILE: '/none' })).toThrow(
      /^\/none: the file cannot be read$/,
    );
  });
});
