import type { PayloadBlobs } from '#shared/blobs/payload-blobs.ts';
import { CacheStore } from '#shared/cache/cache-store.ts';
import { openVectorIndex } from '#shared/cache/vector-index.ts';
import { ResponseCache, type ResponseCacheParts } from './response-cache.ts';
import { type EmbedText, SemanticLook } from './semantic-look.ts';

export type OpenCacheOptions = Omit<ResponseCacheParts, 'store' | 'vectors' | 'semantic'> & {
  large: PayloadBlobs;
  embed: EmbedText;
};

/** The cache of an ingress. */
export function openCache({ large, embed, ...options }: OpenCacheOptions): ResponseCache {
  const { redis, live, metrics, clock, log } = options;
  const settings = live.current.cache;
  const store = new CacheStore({ redis, settings, large });
  const vectors = openVectorIndex(redis, settings.semantic);
  const semantic = vectors && new SemanticLook({ settings, store, vectors, embed, metrics, clock, log });
  return new ResponseCache({ ...options, store, vectors, semantic });
}
