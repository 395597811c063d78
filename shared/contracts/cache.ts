/** `exact`: the same request; `semantic`: also one whose last message means the same. */
export type CacheMode = 'off' | 'exact' | 'semantic';

/** What the cache had to do with a call. */
export type CacheStatus = 'hit' | 'semantic_hit' | 'miss' | 'refresh' | 'off';

/** What the end of a job is to leave in the cache; stored in its record, for its worker. */
export interface CacheOrder {
  namespace: string;
  /** Digest of the canonical request. */
  key: string;
  ttlMs: number;
  /** Whether an answer that was cut short, by its length or by a filter, may be stored. */
  truncated: boolean;
  /** Whether an answer that calls tools may be stored. */
  toolCalls: boolean;
  /** Where answers to questions like this one are looked for: digest of its context, base64 of a unit vector. */
  semantic?: { group: string; vector: string };
}

/** In the head of an outcome that came from the cache: no provider was called for it. */
export interface CachedFrom {
  status: 'hit' | 'semantic_hit';
  ageSeconds: number;
  /** Cosine similarity of the two questions of a semantic hit. */
  similarity?: number;
  /** What the call would have used. */
  savedInputTokens: number;
  savedOutputTokens: number;
  /** Undefined where no price is known. */
  savedNanoUsd?: number;
}
