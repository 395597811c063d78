import { readFileSync } from 'node:fs';
import { LineCounter, type Pair, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { environmentOverrides, type Settings, settingsSchema } from './schema.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A configuration that cannot be used; the message lists everything that is wrong with it. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const placePattern = /\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}/g;

/**
 * Reads the configuration file (SLUICE_CONFIG, default config/sluice.yaml) and the environment. `${VAR}` and
 * `${VAR:-default}` are replaced inside scalars only, so a secret cannot inject structure.
 *
 * @throws ConfigurationError with one line per mistake: `file:line: path: what is wrong`
 */
export function loadSettings(environment: Environment = process.env): Settings {
  const file = environment.SLUICE_CONFIG ?? new URL('./sluice.yaml', import.meta.url).pathname;
  const lines = new LineCounter();
  const document = parseDocument(readFileSync(file, 'utf8'), { lineCounter: lines, prettyErrors: true });
  if (document.errors.length > 0) {
    throw new ConfigurationError(document.errors.map((error) => `${file}: ${error.message}`).join('\n'));
  }
  const missing: string[] = [];
  visit(document, {
    Scalar(_key, scalar, path) {
      if (typeof scalar.value !== 'string' || (path.at(-1) as Pair | undefined)?.key === scalar) return;
      scalar.value = scalar.value.replaceAll(placePattern, (_place, variable: string, preset?: string) => {
        const value = environment[variable] || preset;
        if (value === undefined) missing.push(`${file}: the environment variable ${variable} is not set`);
        return value ?? '';
      });
    },
  });
  const parsed = settingsSchema.safeParse(applyEnvironment(document.toJS() ?? {}, environment));
  if (parsed.success && missing.length === 0) return shareCollector(withoutEmptyCredentials(parsed.data));
  const lineOf = (path: readonly PropertyKey[]) => {
    const range = (document.getIn(path, true) as { range?: [number, number, number] } | undefined)?.range;
    return range ? `:${lines.linePos(range[0]).line}` : '';
  };
  const wrong = (parsed.error?.issues ?? []).map(
    (issue: z.core.$ZodIssue) => `${file}${lineOf(issue.path)}: ${issue.path.join('.')}: ${issue.message}`,
  );
  throw new ConfigurationError([...missing, ...wrong].join('\n'));
}

function applyEnvironment(values: Record<string, Record<string, unknown>>, environment: Environment) {
  for (const [variable, [group, field]] of Object.entries(environmentOverrides)) {
    const value = environment[variable];
    if (value) values[group] = { ...values[group], [field]: value };
  }
  return values;
}

/** The OpenTelemetry SDK reads its collector from the environment only. */
function shareCollector(settings: Settings): Settings {
  if (settings.telemetry.otlp_endpoint)
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT ??= settings.telemetry.otlp_endpoint;
  return settings;
}

/** A credential without a key does not exist, and a provider without credentials serves nothing. */
function withoutEmptyCredentials(settings: Settings): Settings {
  const providers = Object.entries(settings.providers).map(([id, provider]) => {
    const credentials = provider.credentials.filter((credential) => credential.api_key !== '');
    return [id, { ...provider, credentials }] as const;
  });
  return { ...settings, providers: Object.fromEntries(providers) };
}

/** Folders in which programs are looked for. */
export function executablePath(environment: Environment = process.env): string {
  return environment.PATH ?? '';
}
