/** Where a provider is, as other gateways name it. */
export interface KnownHost {
  dialect: string;
  /** Unset: each configuration names its own. */
  baseUrl?: string;
}

const openai = (baseUrl?: string): KnownHost => ({ dialect: 'openai', ...(baseUrl ? { baseUrl } : {}) });

/** Providers by the names that LiteLLM and Bifrost give them. */
export const knownHosts: Readonly<Record<string, KnownHost>> = {
  openai: openai('https://api.openai.com/v1'),
  text_completion_openai: openai('https://api.openai.com/v1'),
  custom_openai: openai(),
  openai_like: openai(),
  hosted_vllm: openai(),
  vllm: openai(),
  litellm_proxy: openai(),
  ollama: openai('http://127.0.0.1:11434/v1'),
  ollama_chat: openai('http://127.0.0.1:11434/v1'),
  groq: openai('https://api.groq.com/openai/v1'),
  mistral: openai('https://api.mistral.ai/v1'),
  deepseek: openai('https://api.deepseek.com/v1'),
  openrouter: openai('https://openrouter.ai/api/v1'),
  together_ai: openai('https://api.together.xyz/v1'),
  fireworks_ai: openai('https://api.fireworks.ai/inference/v1'),
  fireworks: openai('https://api.fireworks.ai/inference/v1'),
  deepinfra: openai('https://api.deepinfra.com/v1/openai'),
  perplexity: openai('https://api.perplexity.ai'),
  xai: openai('https://api.x.ai/v1'),
  cerebras: openai('https://api.cerebras.ai/v1'),
  sambanova: openai('https://api.sambanova.ai/v1'),
  nvidia_nim: openai('https://integrate.api.nvidia.com/v1'),
  nebius: openai('https://api.studio.nebius.com/v1'),
  anthropic: { dialect: 'anthropic', baseUrl: 'https://api.anthropic.com' },
  gemini: { dialect: 'gemini', baseUrl: 'https://generativelanguage.googleapis.com' },
  azure: { dialect: 'azure' },
  bedrock: { dialect: 'bedrock' },
  vertex: { dialect: 'vertex' },
  vertex_ai: { dialect: 'vertex' },
};

/** Presets of our own by the host of their URL, of those that say more than the dialect does. */
const presetsByHost: Readonly<Record<string, string>> = {
  'api.mistral.ai': 'mistral',
  'api.groq.com': 'groq',
  'api.together.xyz': 'together',
  'api.fireworks.ai': 'fireworks',
  'api.deepseek.com': 'deepseek',
  'api.x.ai': 'xai',
  'api.perplexity.ai': 'perplexity',
  'openrouter.ai': 'openrouter',
  'api.cerebras.ai': 'cerebras',
  'api.cohere.ai': 'cohere',
  '127.0.0.1:11434': 'ollama',
};

/** The preset whose host a base URL names. */
export const presetOfUrl = (baseUrl: string): string | undefined =>
  URL.canParse(baseUrl) ? presetsByHost[new URL(baseUrl).host] : undefined;

/** The provider that a model without a prefix belongs to. */
export function hostOfBareModel(model: string): string {
  if (model.startsWith('claude')) return 'anthropic';
  return model.startsWith('gemini') ? 'gemini' : 'openai';
}

export const bedrockUrl = (region: string) => `https://bedrock-runtime.${region}.amazonaws.com`;
export const vertexUrl = (location: string) =>
  location === 'global'
    ? 'https://aiplatform.googleapis.com'
    : `https://${location}-aiplatform.googleapis.com`;
