import type { Outcome, OutcomeHead } from '#shared/contracts/outcome.ts';
import { usdOf } from '#shared/tokens/price.ts';

/** What the caller knows of its call that the outcome does not tell. */
export interface ExtraFields {
  /** Model as the caller named it. */
  modelRequested: string;
  requestType: string;
  keyId: string;
}

const openBrace = 0x7b;
const closeBrace = 0x7d;
const isSpace = (byte: number) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

const fieldsOf = (head: OutcomeHead, extra: ExtraFields) => ({
  request_type: extra.requestType,
  provider: head.provider,
  model: head.model,
  model_requested: extra.modelRequested,
  latency: head.providerMs,
  queue_wait_ms: head.queueMs,
  attempts: head.attempts,
  key_id: extra.keyId,
  job_id: head.job,
  cost_usd: head.costNanoUsd === undefined ? null : usdOf(head.costNanoUsd),
});

/** The same as the last words of a stream: a comment, which clients that do not look for it skip. */
export const extraComment = (head: OutcomeHead, extra: ExtraFields) =>
  `: extra_fields ${JSON.stringify(fieldsOf(head, extra))}\n\n`;

/** The body of an outcome with a last field `extra_fields`; every other byte is as it was. What is no JSON object stays. */
export function withExtraFields({ head, body }: Outcome, extra: ExtraFields): Buffer {
  let start = 0;
  let end = body.length - 1;
  while (start < end && isSpace(body[start]!)) start++;
  while (end > start && isSpace(body[end]!)) end--;
  const isObject =
    /^application\/json\b/i.test(head.contentType) && body[start] === openBrace && body[end] === closeBrace;
  if (!isObject) return body;
  const isEmpty = body.subarray(start + 1, end).every(isSpace);
  const text = `${isEmpty ? '' : ','}"extra_fields":${JSON.stringify(fieldsOf(head, extra))}`;
  return Buffer.concat([body.subarray(0, end), Buffer.from(text), body.subarray(end)]);
}
