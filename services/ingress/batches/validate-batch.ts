import { createHash } from 'node:crypto';
import type { BatchLineError } from '#shared/batches/batch-record.ts';
import { isBlank, splitLines } from '#shared/batches/split-lines.ts';
import { LineMistake, type LineRequest, type LineRules, readLine } from './read-line.ts';

/** Mistakes that are listed; the rest would only say the same. */
const errorsMax = 100;

export type Validated =
  | { kind: 'valid'; total: number; model: string }
  | { kind: 'invalid'; errors: BatchLineError[] };

/** A name that takes the same memory however long the id is. */
const shortened = (customId: string) =>
  createHash('sha256').update(customId).digest('base64url').slice(0, 22);

/**
 * Reads a whole input file once, line by line, and checks every line as a call is checked. All of a batch is for one
 * model, as with OpenAI. `signal` ends it early with what it has.
 */
export async function validateBatch(
  chunks: AsyncIterable<Uint8Array>,
  rules: LineRules,
  linesMax: number,
  signal: AbortSignal,
): Promise<Validated> {
  const errors: BatchLineError[] = [];
  const seen = new Set<string>();
  let total = 0;
  let model: string | undefined;
  const check = ({ customId, model: named }: LineRequest) => {
    const id = shortened(customId);
    if (seen.has(id))
      throw new LineMistake('duplicate_custom_id', 'Another line has the same custom_id.', 'custom_id');
    seen.add(id);
    model ??= named;
    if (named !== model)
      throw new LineMistake(
        'mismatched_model',
        `All lines of a batch must name one model: ${model}.`,
        'body.model',
      );
  };
  for await (const line of splitLines(chunks, rules.maxBytes)) {
    if (isBlank(line)) continue;
    if (signal.aborted || errors.length >= errorsMax) break;
    total++;
    if (total > linesMax) {
      const message = `A batch has at most ${linesMax} lines.`;
      errors.push({ code: 'too_many_lines', message, param: null, line: line.number });
      break;
    }
    try {
      check(readLine(line.bytes, rules));
    } catch (error) {
      if (!(error instanceof LineMistake)) throw error;
      errors.push({ code: error.code, message: error.message, param: error.param, line: line.number });
    }
  }
  if (errors.length > 0) return { kind: 'invalid', errors };
  if (model !== undefined) return { kind: 'valid', total, model };
  const empty = { code: 'empty_file', message: 'The input file has no lines.', param: null, line: null };
  return { kind: 'invalid', errors: [empty] };
}
