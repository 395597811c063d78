import type { Outcome } from '#shared/contracts/outcome.ts';
import { messageBody } from '#shared/deliveries/message-body.ts';
import { toJobObject } from '#shared/jobs/job-object.ts';
import type { JobView } from '#shared/jobs/job-record.ts';

/** Attempts a message lists; a job that was refused many times has more, and they are in the job object. */
const attemptsMax = 20;
const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/** The text as JSON, if it is JSON; otherwise as a JSON string. */
function asJson(body: Buffer): Buffer {
  try {
    JSON.parse(strictUtf8.decode(body));
    return body;
  } catch {
    return Buffer.from(JSON.stringify(body.toString('utf8')));
  }
}

/**
 * The message about the end of a job: the job object, and as `result` the provider's answer with the very bytes that
 * every other door gives out. An answer above the bound is left out (`result_inline` is false) and read at
 * `urls.result`.
 */
export function jobPayload(
  type: string,
  job: JobView,
  outcome: Outcome | undefined,
  publicUrl: string,
  inlineMaxBytes: number,
): Buffer {
  const view = { ...job, attempts: job.attempts.slice(-attemptsMax) };
  const endedMs = job.finishedMs ?? job.createdMs;
  const inline = outcome !== undefined && outcome.body.length <= inlineMaxBytes;
  const data = { ...toJobObject(view, publicUrl.replace(/\/+$/, ''), endedMs), result_inline: inline };
  return messageBody(type, endedMs, data, { result: inline ? asJson(outcome.body) : Buffer.from('null') });
}
