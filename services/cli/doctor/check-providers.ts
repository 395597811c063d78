import type { ProviderSettings, Settings } from '#config/schema.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import { type Check, fail, ok, warn } from './check.ts';

const askMs = 5_000;

/** Whether each provider answers, and takes each of our keys. Lists models, which costs nothing. */
export async function checkProviders({ providers }: Settings, clock: Clock): Promise<Check[]> {
  const asked = Object.entries(providers).flatMap(([name, provider]) =>
    provider.credentials.map(({ id, api_key }) =>
      checkCredential(`${name} (${id})`, provider, api_key, clock),
    ),
  );
  if (asked.length > 0) return Promise.all(asked);
  return [
    warn('providers', 'no key of any is set: calls go to the simulator', 'Set OPENAI_API_KEY or another.'),
  ];
}

function modelsRequest(
  { dialect, base_url }: ProviderSettings,
  key: string,
): [string, Record<string, string>] {
  const base = base_url.replace(/\/+$/, '');
  if (dialect === 'anthropic')
    return [`${base}/v1/models`, { 'x-api-key': key, 'anthropic-version': '2023-06-01' }];
  if (dialect === 'gemini') return [`${base}/v1beta/models`, { 'x-goog-api-key': key }];
  if (dialect === 'azure')
    return [
      `${base.replace(/\/openai(\/v1)?$/, '')}/openai/models?api-version=2024-10-21`,
      { 'api-key': key },
    ];
  // Vertex AI and Bedrock list nothing without a token or a signature; that they answer is enough.
  if (dialect !== 'openai') return [base, {}];
  return [`${base}/models`, { authorization: `Bearer ${key}` }];
}

async function checkCredential(
  name: string,
  provider: ProviderSettings,
  key: string,
  clock: Clock,
): Promise<Check> {
  const [url, headers] = modelsRequest(provider, key);
  const startedMs = clock.monotonicMs();
  try {
    const { status, body } = await fetch(url, {
      headers,
      signal: AbortSignal.timeout(askMs),
      redirect: 'manual',
    });
    await body?.cancel();
    const took = `${provider.base_url} answered in ${Math.round(clock.monotonicMs() - startedMs)} ms`;
    const isChecked = Object.keys(headers).length > 0;
    if (isChecked && (status === 401 || status === 403))
      return fail(
        name,
        `the provider refuses the key (${status})`,
        'Correct it; what waits for it stays waiting.',
      );
    if (status === 429 || status >= 500) return warn(name, `${took}, with ${status}`, 'Try again later.');
    // Compatible servers need not list models; that they answer is enough.
    return ok(name, took);
  } catch (error) {
    const { cause, message } = error as Error & { cause?: { code?: string } };
    const hint = 'Check base_url, the network and its proxy.';
    return fail(name, `${provider.base_url} cannot be reached (${cause?.code ?? message})`, hint);
  }
}
