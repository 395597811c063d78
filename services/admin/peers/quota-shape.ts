type Fields = Record<string, unknown>;

interface Limit {
  requests?: number;
  tokens?: number;
  concurrency?: number;
  window?: string;
  match?: Record<string, unknown>;
  per?: unknown[];
}

interface Budget {
  usd: number;
  reset: string;
  calendar?: boolean;
  match?: Record<string, unknown>;
  per?: unknown[];
}

/** Limits and budgets of a thing that hold for all its calls, or for those with one value of one axis. */
export function quotasFor(settings: Fields, axis?: string, value?: string) {
  const holds = ({ match = {}, per = [] }: Pick<Limit, 'match' | 'per'>) => {
    if (per.length > 0) return false;
    const axes = Object.entries(match);
    return axis === undefined ? axes.length === 0 : axes.length === 1 && match[axis] === value;
  };
  const { limits = [], budgets = [] } = settings as { limits?: Limit[]; budgets?: Budget[] };
  return { limits: limits.filter(holds), budgets: budgets.filter(holds) };
}

/** As Bifrost writes them. */
export function bifrostQuotaShape(settings: Fields, provider?: string): Fields {
  const { limits, budgets } = quotasFor(settings, provider === undefined ? undefined : 'provider', provider);
  const tokens = limits.find((limit) => limit.tokens !== undefined);
  const requests = limits.find((limit) => limit.requests !== undefined);
  return {
    rate_limit:
      tokens || requests
        ? {
            token_max_limit: tokens?.tokens ?? null,
            token_reset_duration: tokens ? (tokens.window ?? '1m') : null,
            request_max_limit: requests?.requests ?? null,
            request_reset_duration: requests ? (requests.window ?? '1m') : null,
          }
        : null,
    budgets: budgets.map(({ usd, reset, calendar }) => ({
      max_limit: usd,
      reset_duration: reset,
      calendar_aligned: calendar ?? false,
    })),
  };
}

/** The limits of one minute and the one budget that LiteLLM has words for. */
function spokenOf(settings: Fields) {
  const { limits, budgets } = quotasFor(settings);
  const perMinute = limits.filter(({ window = '1m' }) => window === '1m');
  return {
    budget: budgets[0],
    tokens: perMinute.find((limit) => limit.tokens !== undefined),
    requests: perMinute.find((limit) => limit.requests !== undefined),
    concurrency: limits.find((limit) => limit.concurrency !== undefined),
  };
}

/** As LiteLLM writes them. */
export function litellmQuotaShape(settings: Fields): Fields {
  const { budget, tokens, requests, concurrency } = spokenOf(settings);
  return {
    max_budget: budget?.usd ?? null,
    budget_duration: budget?.reset ?? null,
    tpm_limit: tokens?.tokens ?? null,
    rpm_limit: requests?.requests ?? null,
    max_parallel_requests: concurrency?.concurrency ?? null,
  };
}

/** What it has no words for. */
export function beyondLitellm(settings: Fields): { limits: object[]; budgets: object[] } {
  const { limits = [], budgets = [] } = settings as { limits?: object[]; budgets?: object[] };
  const spoken = new Set<object | undefined>(Object.values(spokenOf(settings)));
  return {
    limits: limits.filter((limit) => !spoken.has(limit)),
    budgets: budgets.filter((budget) => !spoken.has(budget)),
  };
}

const amounts = ['requests', 'tokens', 'input_tokens', 'output_tokens', 'concurrency', 'usd'] as const;

/** Of limits that count the same, the first. */
export function withoutTwins(quotas: readonly object[]): object[] {
  const seen = new Set<string>();
  return quotas.filter((quota) => {
    const { match = {}, per = [], window = '1m', reset, ...rest } = quota as Fields;
    const counted = amounts.filter((amount) => rest[amount] !== undefined);
    const text = JSON.stringify([
      match,
      per,
      counted.includes('concurrency') ? '' : (reset ?? window),
      counted,
    ]);
    return !seen.has(text) && seen.add(text);
  });
}
