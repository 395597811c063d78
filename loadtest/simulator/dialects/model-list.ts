import type { Dialect } from './endpoint.ts';

const openaiModels = ['gpt-4o', 'gpt-4o-mini', 'gpt-5.6-sol', 'gpt-6-luna', 'text-embedding-3-small'];
const anthropicModels = ['claude-opus-5-5', 'claude-sonnet-5', 'claude-haiku-5-5'];

/** `GET /v1/models`: a few names; any other name that does not start with `no-such` works as well. */
export function modelList(dialect: Dialect): unknown {
  if (dialect !== 'anthropic') {
    const data = openaiModels.map((id) => ({
      id,
      object: 'model',
      created: 1_700_000_000,
      owned_by: 'simulator',
    }));
    return { object: 'list', data };
  }
  const data = anthropicModels.map((id) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: '2026-01-01T00:00:00Z',
  }));
  return { data, has_more: false, first_id: anthropicModels[0], last_id: anthropicModels.at(-1) };
}
