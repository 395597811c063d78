import { z } from 'zod';
import { count, milliseconds } from './setting-types.ts';

/** Settings that are changed while processes run; they are kept in Redis. */
export const overlaySchema = z
  .strictObject({
    poll_ms: milliseconds(
      1_000,
      50,
      60_000,
      'A process looks for changed settings this often, should it not have heard of them.',
    ),
    documents_max: count(100_000, 1, 1_000_000, 'Documents of all kinds together; more are refused.'),
    document_max_bytes: count(65_536, 1_024, 1_048_576, 'Largest document, as JSON.'),
    audit_rows_max: count(100_000, 100, 10_000_000, 'Rows kept of who changed what (approximate).'),
  })
  .prefault({});
