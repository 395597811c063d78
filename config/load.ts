import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Document, LineCounter, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { environmentOverrides, type Settings, settingsSchema } from './schema.ts';

/** Variables by name, as in `process.env`. */
export type Environment = Record<string, string | undefined>;

/** A configuration that cannot be used; the message lists everything that is wrong with it. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const placePattern = /\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}/g;
const defaultFile = fileURLToPath(new URL('./sluice.yaml', import.meta.url));

/** The file that holds the configuration: SLUICE_CONFIG, or the default. */
export function configurationFile(environment: Environment = process.env): string {
  return environment.SLUICE_CONFIG || defaultFile;
}

/** A configuration file, parsed: where each value stands, for the list of mistakes. */
interface ParsedFile {
  document: Document;
  /** `file:line` of an offset in the text. */
  placeOf: (offset: number) => string;
}

/**
 * Reads the configuration file (SLUICE_CONFIG, default config/sluice.yaml) and the environment. `${VAR}` and
 * `${VAR:-default}` are replaced inside scalars only, so a secret cannot inject structure.
 *
 * @throws ConfigurationError with one line per mistake: `file:line: path: what is wrong`
 */
export function loadSettings(environment: Environment = process.env): Settings {
  const parsedFile = parseFile(configurationFile(environment));
  const missing = fillPlaces(parsedFile, environment);
  const values = applyEnvironment(parsedFile.document.toJS(), environment);
  const parsed = settingsSchema.safeParse(values);
  const mistakes = [
    ...missing,
    ...(parsed.error?.issues ?? []).flatMap((issue) => linesOf(issue, parsedFile, environment)),
  ];
  if (!parsed.success || mistakes.length > 0) throw new ConfigurationError(mistakes.join('\n'));
  // The OpenTelemetry SDK reads its collector from the environment only.
  const { otlp_endpoint: collector } = parsed.data.telemetry;
  if (collector) environment.OTEL_EXPORTER_OTLP_ENDPOINT ??= collector;
  return withoutEmptyCredentials(parsed.data);
}

function parseFile(file: string): ParsedFile {
  const lines = new LineCounter();
  const placeOf = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  // Errors must not quote the file, and with it its secrets.
  const document = parseDocument(readText(file), { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigurationError(
      document.errors
        .map(({ pos, message }) => `${placeOf(pos[0])}: ${message.replace(/: ".*"$/s, '')}`)
        .join('\n'),
    );
  }
  return { document, placeOf };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ConfigurationError(`${file}: the file cannot be read`, { cause });
  }
}

/** Replaces `${VAR}` in all values; returns the mistakes. */
function fillPlaces({ document, placeOf }: ParsedFile, environment: Environment): string[] {
  const missing: string[] = [];
  visit(document, {
    Scalar(key, scalar) {
      if (key === 'key' || typeof scalar.value !== 'string') return;
      scalar.value = scalar.value.replaceAll(placePattern, (_place, variable: string, preset?: string) => {
        const value = environment[variable] || preset;
        if (value === undefined)
          missing.push(`${placeOf(scalar.range?.[0] ?? 0)}: the environment variable ${variable} is not set`);
        return value ?? '';
      });
    },
  });
  return missing;
}

const overrides = Object.entries(environmentOverrides);
const isGroup = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function applyEnvironment(values: unknown, environment: Environment): unknown {
  const root: unknown = values ?? {};
  if (!isGroup(root)) return root;
  for (const [variable, [group, field]] of overrides) {
    const current = root[group] ?? {};
    if (environment[variable] && isGroup(current))
      root[group] = { ...current, [field]: environment[variable] };
  }
  return root;
}

/** One issue of the schema as `file:line: path: what is wrong`; an unknown setting is an issue of its own. */
function linesOf(issue: z.core.$ZodIssue, file: ParsedFile, environment: Environment): string[] {
  const line = (path: readonly PropertyKey[], message: string) =>
    `${sourceOf(path, file, environment)}: ${path.join('.')}: ${message}`;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => line([...issue.path, key], 'there is no such setting'));
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => line(issue.path, message));
  return [line(issue.path, issue.message)];
}

/** Where a value came from: the variable that set it, or its line in the file (that of the group when it is missing). */
function sourceOf(
  path: readonly PropertyKey[],
  { document, placeOf }: ParsedFile,
  environment: Environment,
): string {
  const [variable] = overrides.find(([, [group, field]]) => group === path[0] && field === path[1]) ?? [];
  if (variable && environment[variable]) return variable;
  for (let length = path.length; length > 0; length--) {
    const range = (
      document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined
    )?.range;
    if (range) return placeOf(range[0]);
  }
  return placeOf(0);
}

/** A credential without a key does not exist, and a provider without credentials serves nothing. */
function withoutEmptyCredentials(settings: Settings): Settings {
  const providers = Object.entries(settings.providers).map(([id, provider]) => {
    // Keys in several parts leave only their colons when no part is set.
    const credentials = provider.credentials.filter(({ api_key }) => /[^:]/.test(api_key));
    return [id, { ...provider, credentials }] as const;
  });
  return { ...settings, providers: Object.fromEntries(providers) };
}

/** A text with its `${VAR}` and `${VAR:-default}` replaced, as in the configuration file; empty for what is not set. */
export function fillText(text: string, environment: Environment = process.env): string {
  return text.replaceAll(
    placePattern,
    (_place, variable: string, preset?: string) => environment[variable] || (preset ?? ''),
  );
}

/** Folders in which programs are looked for. */
export function executablePath(environment: Environment = process.env): string {
  return environment.PATH ?? '';
}

/** Keys of fewer characters are refused: they could be guessed. */
const secretKeyMinLength = 32;

/**
 * The keys that encrypt secrets at rest, the newest first: SLUICE_SECRET_KEY, or what the file SLUICE_SECRET_KEY_FILE
 * holds, with spaces, commas or line ends between several. None: secrets cannot be stored.
 *
 * @throws ConfigurationError
 */
export function secretKeys(environment: Environment = process.env): string[] {
  const { SLUICE_SECRET_KEY, SLUICE_SECRET_KEY_FILE } = environment;
  const text = SLUICE_SECRET_KEY || (SLUICE_SECRET_KEY_FILE ? readText(SLUICE_SECRET_KEY_FILE) : '');
  const keys = text.split(/[\s,]+/).filter(Boolean);
  if (keys.some(({ length }) => length < secretKeyMinLength)) {
    const source = SLUICE_SECRET_KEY ? 'SLUICE_SECRET_KEY' : SLUICE_SECRET_KEY_FILE;
    throw new ConfigurationError(
      `${source}: a key of at least ${secretKeyMinLength} characters is needed, such as \`openssl rand -base64 32\` makes`,
    );
  }
  return keys;
}

/** Which Sluice the command line talks to, and with which key, unless its options say so. */
export function commandLineDefaults(environment: Environment = process.env): {
  url?: string;
  key?: string;
  adminKey?: string;
} {
  const { SLUICE_URL: url, SLUICE_KEY: key, SLUICE_ADMIN_KEY: adminKey } = environment;
  return { ...(url ? { url } : {}), ...(key ? { key } : {}), ...(adminKey ? { adminKey } : {}) };
}

/** The settings of another file than the one the environment names. @throws ConfigurationError */
export function loadSettingsOf(file: string, environment: Environment = process.env): Settings {
  return loadSettings({ ...environment, SLUICE_CONFIG: file });
}
