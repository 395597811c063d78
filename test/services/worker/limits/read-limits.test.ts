import { describe, expect, test } from 'vitest';
import { WindowMatcher } from '../../../../services/worker/limits/match-window.ts';
import { placeLimits, readLimits, readReset } from '../../../../services/worker/limits/read-limits.ts';

type KnownWindow = Parameters<typeof placeLimits>[1]['requests'];

const nowMs = Date.parse('2026-08-01T12:00:00Z');
const minuteMs = 60_000;
const dayMs = 86_400_000;

/** dimension, window, limit, used, reset: what a ceiling of that window is told. */
type Told = [dimension: string, windowMs: number, limit: number, used: number, resetMs: number | undefined];

const tell = (headers: Record<string, string>): Told[] => {
  const windows = new WindowMatcher(minuteMs);
  return readLimits(headers, nowMs)
    .flatMap((limit) => windows.match(limit) ?? [])
    .map(({ dimension, windowMs, limit, used, resetMs }) => [dimension, windowMs, limit, used, resetMs]);
};

const triple = (place: (part: string) => string, limit: string, remaining: string, reset?: string) => ({
  [place('limit')]: limit,
  [place('remaining')]: remaining,
  ...(reset === undefined ? {} : { [place('reset')]: reset }),
});
const openai = (name: string, ...values: [string, string, string?]) =>
  triple((part) => `x-ratelimit-${part}-${name}`, ...values);
const anthropic = (name: string, ...values: [string, string, string?]) =>
  triple((part) => `anthropic-ratelimit-${name}-${part}`, ...values);

describe('headers as providers send them', () => {
  const dialects: [of: string, headers: Record<string, string>, told: Told[]][] = [
    [
      'OpenAI: requests and tokens of the minute',
      { ...openai('requests', '500', '490', '1.2s'), ...openai('tokens', '30000', '15000', '30s') },
      [
        ['requests', minuteMs, 500, 10, 1_200],
        ['tokens', minuteMs, 30_000, 15_000, 30_000],
      ],
    ],
    [
      'OpenAI: a daily bucket of requests, told by its reset of 8.64 s for one',
      openai('requests', '10000', '9999', '8.64s'),
      [['requests', dayMs, 10_000, 1, 8_640]],
    ],
    [
      'OpenAI: the tighter of organisation and project',
      { ...openai('tokens', '30000', '29000', '2s'), ...openai('project-tokens', '10000', '9000', '6s') },
      [['tokens', minuteMs, 10_000, 1_000, 6_000]],
    ],
    [
      'OpenAI: a project that is wider than its organisation',
      { ...openai('tokens', '30000', '29000', '2s'), ...openai('project-tokens', '90000', '89000', '1s') },
      [['tokens', minuteMs, 30_000, 1_000, 2_000]],
    ],
    [
      'Groq: requests of the day, tokens of the minute',
      { ...openai('requests', '14400', '14370', '3m0s'), ...openai('tokens', '6000', '5000', '10s') },
      [
        ['requests', dayMs, 14_400, 30, 180_000],
        ['tokens', minuteMs, 6_000, 1_000, 10_000],
      ],
    ],
    [
      'Azure: whole seconds, always of the minute',
      { ...openai('requests', '600', '599', '10'), ...openai('tokens', '60000', '100', '22') },
      [
        ['requests', minuteMs, 600, 1, 10_000],
        ['tokens', minuteMs, 60_000, 59_900, 22_000],
      ],
    ],
    [
      'Anthropic: a time, rounded tokens; its combined tokens are not a limit of their own',
      {
        ...anthropic('requests', '1000', '990', '2026-08-01T12:00:01Z'),
        ...anthropic('input-tokens', '500000', '480000', '2026-08-01T12:00:03Z'),
        ...anthropic('output-tokens', '100000', '100000', '2026-08-01T12:00:00Z'),
        ...anthropic('tokens', '600000', '580000', '2026-08-01T12:00:03Z'),
      },
      [
        ['requests', minuteMs, 1_000, 10, 1_000],
        ['input_tokens', minuteMs, 500_000, 20_000, 3_000],
        ['output_tokens', minuteMs, 100_000, 0, 0],
      ],
    ],
    [
      'Anthropic: combined tokens alone',
      anthropic('tokens', '40000', '30000', '2026-08-01T12:00:15Z'),
      [['tokens', minuteMs, 40_000, 10_000, 15_000]],
    ],
    [
      'Mistral: the wall-clock minute, without a reset',
      {
        'x-ratelimit-limit-req-minute': '23',
        'x-ratelimit-remaining-req-minute': '0',
        'x-ratelimit-limit-tokens-minute': '356250',
        'x-ratelimit-remaining-tokens-minute': '356000',
        'x-ratelimit-tokens-query-cost': '250',
      },
      [
        ['requests', minuteMs, 23, 23, undefined],
        ['tokens', minuteMs, 356_250, 250, undefined],
      ],
    ],
    [
      'Cerebras: minute, hour and day by name; no ceiling is by the hour',
      {
        ...openai('requests-minute', '30', '29', '12.5'),
        ...openai('requests-hour', '900', '899', '2000.5'),
        ...openai('requests-day', '14400', '14000', '33011.2'),
        ...openai('tokens-minute', '60000', '59000', '12.5'),
      },
      [
        ['requests', minuteMs, 30, 1, 12_500],
        ['tokens', minuteMs, 60_000, 1_000, 12_500],
        ['requests', dayMs, 14_400, 400, 33_011_200],
      ],
    ],
    [
      'Together: by the second, which no ceiling is',
      {
        'x-ratelimit-limit': '10',
        'x-ratelimit-remaining': '9',
        'x-ratelimit-reset': '1',
        'x-tokenlimit-limit': '3000',
        'x-tokenlimit-remaining': '2900',
      },
      [],
    ],
    [
      'OpenRouter: the end of the minute, in milliseconds since 1970',
      {
        'x-ratelimit-limit': '20',
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset': String(nowMs + 42_000),
      },
      [['requests', minuteMs, 20, 20, 42_000]],
    ],
    [
      'Fireworks: limits without a reset, of which nothing tells the window',
      openai('requests', '600', '599'),
      [],
    ],
    ['Cohere: a count without its limit', { 'x-trial-endpoint-call-remaining': '17' }, []],
    ['none at all', { 'content-type': 'application/json' }, []],
  ];

  test.each(dialects)('%s', (_of, headers, told) => {
    expect(tell(headers)).toEqual(told);
  });

  test.each([
    ['limit', 'many', '5', '1s'],
    ['remaining', '10', 'some', '1s'],
    ['limit of zero', '0', '0', '1s'],
    ['a limit that nobody has', '1e400', '5', '1s'],
  ])('%s that makes no sense is passed over', (_of, limit, remaining, reset) => {
    expect(tell(openai('requests', limit, remaining, reset))).toEqual([]);
  });

  test('more left than the limit, or less than nothing, is all left, or nothing', () => {
    expect(tell(openai('requests', '10', '12', '5'))[0]![3]).toBe(0);
    expect(tell(openai('requests', '10', '-3', '5'))[0]![3]).toBe(10);
  });
});

test('a limit once seen to be of the minute stays so when its counter is nearly untouched', () => {
  const windows = new WindowMatcher(minuteMs);
  const match = (remaining: string, reset: string) =>
    readLimits(openai('requests', '1500', remaining, reset), nowMs).map(
      (limit) => windows.match(limit)?.windowMs,
    );
  expect(match('1400', '55s')).toEqual([undefined]);
  expect(match('300', '50s')).toEqual([minuteMs]);
  expect(match('1498', '55s')).toEqual([minuteMs]);
});

describe('resets', () => {
  test.each([
    ['6m0s', 360_000, 1],
    ['8ms', 8, 1],
    ['0s', 0, 1],
    ['10', 10_000, 1_000],
    ['12.5', 12_500, 1],
    ['2026-08-01T12:00:07Z', 7_000, 1_000],
    ['2026-08-01T12:00:07.250Z', 7_250, 1],
    ['2026-08-01T11:00:00Z', 0, 1_000],
    ['1785585605', 5_000, 1_000],
    ['1785585605000', 5_000, 1_000],
    ['soon', undefined, 0],
    [undefined, undefined, 0],
  ])('%j is %j ms away, give or take %j', (text, resetMs, resetGrainMs) => {
    expect(readReset(text, nowMs)).toEqual({ resetMs, resetGrainMs });
  });
});

test('what is known of a provider’s headers goes before what they look like', () => {
  const limits = readLimits(
    {
      'x-ratelimit-limit-requests': '14400',
      'x-ratelimit-remaining-requests': '14399',
      'x-ratelimit-limit-tokens': '6000',
      'x-ratelimit-remaining-tokens': '5000',
    },
    nowMs,
  );
  const windowsOf = (requests: KnownWindow, tokens: KnownWindow) =>
    placeLimits(limits, { requests, tokens }).map(({ dimension, window }) => [dimension, window]);
  expect(windowsOf('auto', 'auto')).toEqual([
    ['requests', undefined],
    ['tokens', undefined],
  ]);
  expect(windowsOf('day', 'minute')).toEqual([
    ['requests', 'day'],
    ['tokens', 'minute'],
  ]);
  expect(windowsOf('ignore', 'minute')).toEqual([['tokens', 'minute']]);
});
