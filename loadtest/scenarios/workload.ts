import { seededRandom } from '#shared/kernel/random.ts';

export const mixes = ['small', 'mixed', 'huge-max-tokens'] as const;
export type Mix = (typeof mixes)[number];
export type Endpoint = '/v1/chat/completions' | '/v1/messages';

/** A call that will be made, and what the provider will count for it. */
export interface PlannedCall {
  endpoint: Endpoint;
  body: Record<string, unknown>;
  inputTokens: number;
  maxTokens: number;
  /** Expected for an answer of natural length. */
  outputTokens: number;
}

const models: Record<Endpoint, string> = {
  '/v1/chat/completions': 'gpt-5-mini',
  '/v1/messages': 'claude-sonnet-5',
};
export const modelOf = (endpoint: Endpoint) => models[endpoint];

// The simulator counts a quarter of the characters and three tokens for each message.
const charactersPerToken = 4;
const tokensPerMessage = 3;
const longestPromptTokens = 50_000;
const filler = 'river stone light quiet amber morning harbor signal paper window garden iron velvet '.repeat(
  Math.ceil((longestPromptTokens * charactersPerToken) / 80),
);
/** Mean of the simulator's answers when nothing says how long they are: 16 to 64 tokens. */
const naturalOutputTokens = 40;
const longestNaturalAnswer = 64;

interface Sizes {
  inputTokens: number;
  maxTokens: number;
  /** Undefined = the simulator's own choice. */
  outputTokens: number | undefined;
}

function sizesOf(mix: Mix, next: () => number): Sizes {
  const uniform = (least: number, most: number) => Math.round(least + next() * (most - least));
  const logUniform = (least: number, most: number) => Math.round(least * (most / least) ** next());
  switch (mix) {
    case 'small':
      return { inputTokens: uniform(50, 200), maxTokens: longestNaturalAnswer, outputTokens: undefined };
    case 'mixed': {
      const outputTokens = logUniform(16, 2_000);
      return { inputTokens: logUniform(50, longestPromptTokens), maxTokens: 2 * outputTokens, outputTokens };
    }
    case 'huge-max-tokens':
      return {
        inputTokens: uniform(50, 200),
        maxTokens: logUniform(4_096, 131_072),
        outputTokens: undefined,
      };
  }
}

/** Call number `index` of a tenant: the same seed gives the same call, in whatever process it is made. */
export function plannedCall(
  plan: { seed: number; mix: Mix; endpoint: Endpoint },
  tenant: number,
  index: number,
): PlannedCall {
  const random = seededRandom(plan.seed * 1_000_003 + tenant * 7_919 + index * 104_729);
  const sizes = sizesOf(plan.mix, () => random.next());
  const { inputTokens, maxTokens } = sizes;
  const marker = sizes.outputTokens === undefined ? '' : ` [[sim:{"outputTokens":${sizes.outputTokens}}]]`;
  const head = `call ${tenant}.${index}${marker} `;
  const length = (inputTokens - tokensPerMessage) * charactersPerToken;
  const content = head + filler.slice(0, Math.max(0, length - head.length));
  const messages = [{ role: 'user', content }];
  const limit = plan.endpoint === '/v1/messages' ? 'max_tokens' : 'max_completion_tokens';
  return {
    endpoint: plan.endpoint,
    body: { model: modelOf(plan.endpoint), messages, [limit]: maxTokens },
    inputTokens: tokensPerMessage + Math.ceil(content.length / charactersPerToken),
    maxTokens,
    outputTokens: sizes.outputTokens ?? naturalOutputTokens,
  };
}

const sampleSize = 2_000;

export interface MeanCall {
  inputTokens: number;
  maxTokens: number;
  outputTokens: number;
}

/** Means over a sample, from which ceilings and backlogs are sized. */
export function meanCall(mix: Mix): MeanCall {
  const sum = { inputTokens: 0, maxTokens: 0, outputTokens: 0 };
  for (let index = 0; index < sampleSize; index++) {
    const random = seededRandom(index);
    const sizes = sizesOf(mix, () => random.next());
    sum.inputTokens += sizes.inputTokens;
    sum.maxTokens += sizes.maxTokens;
    sum.outputTokens += sizes.outputTokens ?? naturalOutputTokens;
  }
  return {
    inputTokens: sum.inputTokens / sampleSize,
    maxTokens: sum.maxTokens / sampleSize,
    outputTokens: sum.outputTokens / sampleSize,
  };
}
