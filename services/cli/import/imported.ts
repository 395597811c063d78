import type { Note } from '#shared/peers/fields.ts';

export interface ImportedProvider {
  /** What is known of its host. */
  preset?: string;
  dialect: string;
  base_url: string;
  api_version?: string;
  region?: string;
  project?: string;
  location?: string;
  credentials: { id: string; api_key: string; weight?: number; limit_scope?: string }[];
  pools: Record<string, ImportedPool>;
  timeouts?: { total_ms: number };
}

export interface ImportedPool {
  models: string[];
  concurrency?: number;
  ceilings?: { rpm?: number; tpm?: number; concurrency?: number };
}

export interface ImportedTarget {
  model: string;
  weight?: number;
}

export interface ImportedRoute {
  strategy?: string;
  targets: ImportedTarget[];
  fallbacks?: ImportedTarget[];
  retries?: number;
}

export interface ImportedKey {
  id: string;
  key: string;
  [field: string]: unknown;
}

export interface ImportedCustomer {
  keys: ImportedKey[];
  teams?: Record<string, Record<string, unknown>>;
  [field: string]: unknown;
}

/** A foreign configuration in our words, and what of it has no place there. */
export interface Imported {
  configuration: {
    providers: Record<string, ImportedProvider>;
    customers: Record<string, ImportedCustomer>;
    routes: Record<string, ImportedRoute>;
  };
  notes: Note[];
}

/** Who calls when the foreign configuration names nobody. */
export const defaultCustomer = (): ImportedCustomer => ({
  keys: [{ id: 'dev', key: environmentPlace('SLUICE_DEV_KEY') }],
});

/** A value that is read from the environment at each start; empty when it is not set. */
export const environmentPlace = (variable: string) => `\${${variable}:-}`;
