import type { TokenEstimate } from '#shared/contracts/job.ts';
import { countFeatures, type FeatureName, featureNames } from './count-features.ts';
import { type Learned, safeOutput } from './learned.ts';

/**
 * Tokens per feature: least squares of the relative error against OpenAI's o200k vocabulary, without negative weights
 * (`node loadtest/tokens/fit.ts` refits, and prints the error per kind of text; a test holds these weights to it).
 */
export const weightOf: Record<FeatureName, number> = {
  words: 1.034,
  longWordChars: 0.058,
  camelHumps: 0,
  digitGroups: 1.097,
  punctuation: 0.7,
  lineBreaks: 2.013,
  spaceRuns: 0.054,
  latin: 0,
  cyrillic: 0.298,
  arabic: 0.347,
  cjk: 0.649,
  surrogates: 1.065,
  other: 1.943,
};
const weights = featureNames.map((name) => weightOf[name]);

/** Tokens a chat message costs beside its text (role and separators). */
const tokensPerMessage = 3;
/** What providers that count characters take for a token. */
const charactersPerToken = 4;
/** Tokens of an image or a file given inline; providers count by size, which a prompt does not tell. */
const tokensPerAttachment = 1_000;
/** Deepest nesting that is walked; bodies are bounded before. */
const deepest = 64;

/** Estimated tokens of a text, in one pass. Its error per kind of text: `loadtest/tokens/fit.ts`; callers correct it by observed usage. */
export function estimateTextTokens(text: string): number {
  const counts = countFeatures(text);
  let tokens = 0;
  for (const [index, weight] of weights.entries()) tokens += weight * counts[index]!;
  return Math.ceil(tokens);
}

interface Measure {
  tokens: number;
  characters: number;
}

function measure(value: unknown, depth: number, into: Measure): void {
  if (typeof value === 'string') {
    const inline = value.startsWith('data:');
    into.tokens += inline ? tokensPerAttachment : estimateTextTokens(value);
    if (!inline) into.characters += value.length;
  } else if (typeof value === 'number') {
    into.tokens++;
  } else if (typeof value === 'object' && value !== null && depth <= deepest) {
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'data' && typeof inner === 'string') into.tokens += tokensPerAttachment;
      else if (key !== 'role') measure(inner, depth + 1, into);
    }
  }
}

/** The fields of a body that become part of the prompt. */
const promptFields = [
  'messages',
  'input',
  'prompt',
  'contents',
  'content',
  'requests',
  'system',
  'systemInstruction',
  'system_instruction',
  'instructions',
  'tools',
  'functions',
  'response_format',
];

/**
 * Estimated input tokens of a call's body, whatever its dialect, and what they were before the correction by `ratio`.
 * Providers that reserve at admission go by the number of characters (OpenAI and Azure document it), so the estimate is
 * never less than that, whatever was learned.
 */
export function estimateInputTokens(
  body: Record<string, unknown>,
  ratio: number,
): { input: number; linear: number } {
  const measured: Measure = { tokens: 0, characters: 0 };
  for (const field of promptFields) if (body[field] !== undefined) measure(body[field], 0, measured);
  const turns = body.messages ?? body.contents;
  const messages = Array.isArray(turns) ? turns.length : 1;
  const linear = measured.tokens + messages * tokensPerMessage;
  const byCharacters = Math.ceil(measured.characters / charactersPerToken) + messages * tokensPerMessage;
  return { input: Math.max(Math.ceil(linear * ratio), byCharacters), linear };
}

/** The most output a call may ask for, or undefined when it sets no bound. */
export function maxOutputTokens(body: Record<string, unknown>): number | undefined {
  const gemini = (body.generationConfig ?? {}) as Record<string, unknown>;
  const asked =
    body.max_completion_tokens ?? body.max_output_tokens ?? body.max_tokens ?? gemini.maxOutputTokens;
  return typeof asked === 'number' && Number.isInteger(asked) && asked > 0 ? asked : undefined;
}

/** Answers that a call asks for; each may be as long as the maximum. */
function choices({ n, best_of, generationConfig }: Record<string, unknown>): number {
  const { candidateCount } = (generationConfig ?? {}) as Record<string, unknown>;
  const counts = [n, best_of, candidateCount].filter(
    (count) => typeof count === 'number' && Number.isInteger(count),
  );
  return Math.max(1, ...(counts as number[]));
}

/** How a provider counts the output of a call that has not run yet. */
export interface OutputCounting {
  /**
   * `asked`: the maximum it names; `real`: what it produces, so that only an expectation can be held; `none`: the endpoint
   * has no output.
   */
  counts: 'asked' | 'real' | 'none';
  /** What is counted when a call names no maximum. */
  maxDefault: number;
}

/**
 * What a call is reckoned with before it has run. Its tenant's share is charged what it is expected to produce, however
 * much it may; its ceilings hold what the provider holds.
 */
export function estimateTokens(
  body: Record<string, unknown>,
  { counts, maxDefault }: OutputCounting,
  learned: Learned,
): TokenEstimate {
  const inputs = estimateInputTokens(body, learned.ratio);
  if (counts === 'none') return { ...inputs, output: 0, max: 0 };
  const asked = maxOutputTokens(body);
  const atMost = (tokens: number) => Math.min(Math.ceil(tokens), asked ?? Number.POSITIVE_INFINITY);
  const max = counts === 'real' ? atMost(safeOutput(learned)) : (asked ?? maxDefault);
  const bound = asked === undefined ? {} : { asked: asked * choices(body) };
  return { ...inputs, output: atMost(learned.output), max, ...bound };
}
