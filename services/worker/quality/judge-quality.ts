import type { QualitySettings } from '#config/schema.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { AttemptResult } from '../attempt-result.ts';
import { type AnswerContent, contentOf, demandOf, streamedContentOf } from './answer-content.ts';
import type { SchemaJudge } from './schema-judge.ts';

type JudgedJob = Pick<BegunJob, 'endpoint' | 'body'>;

/**
 * Judges an answer with status 200. One that is not what was asked for becomes a failure, which may be tried again here
 * or elsewhere. What was streamed has been read: its flaw only counts against its provider.
 */
export function judgeQuality(
  schemas: SchemaJudge,
  job: JudgedJob,
  result: AttemptResult,
  quality: QualitySettings | undefined,
): AttemptResult {
  if (!quality || result.kind !== 'answered') return result;
  const { response, usage, streamed } = result;
  const content = streamed
    ? streamedContentOf(job.endpoint, response.body)
    : contentOf(job.endpoint, JSON.parse(response.body.toString()) as Record<string, unknown>);
  const flaw = content && flawOf(schemas, job, content, quality);
  if (flaw === undefined) return result;
  if (streamed) return { ...result, flaw };
  return { kind: 'broken', reason: flaw, code: 'provider_broken_answer', response, usage };
}

/** What is wrong with an answer, in words that a caller may read; undefined when nothing is. */
function flawOf(
  schemas: SchemaJudge,
  { endpoint, body }: JudgedJob,
  { texts, hasOther, isTruncated }: AnswerContent,
  quality: QualitySettings,
): string | undefined {
  if (quality.truncated && isTruncated) return 'it ended by its length limit';
  if (hasOther) return undefined;
  if (texts.every((text) => text.trim() === '')) return quality.empty ? 'it is empty' : undefined;
  const demand = quality.json ? demandOf(endpoint, JSON.parse(body) as Record<string, unknown>) : undefined;
  if (!demand) return undefined;
  const values = texts.map(parse);
  if (values.includes(undefined)) return 'JSON was asked for, and it is none';
  const { schema } = demand;
  const isWrong = schema && values.some((parsed) => schemas.judge(schema, parsed!.value) === 'invalid');
  return isWrong ? 'it does not follow the schema that was asked for' : undefined;
}

function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
