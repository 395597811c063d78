import { z } from 'zod';
import type { Endpoint } from '#shared/contracts/endpoint.ts';
import type { CallAxes, JobRequest } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import { parseUntrustedJson } from '#shared/kernel/json-guard.ts';
import type { KeyAccess } from '#shared/tenants/key-access.ts';
import { readCall } from '../call-body.ts';
import { readPriority } from '../call-options.ts';
import type { Router } from '../routing/router.ts';

/** What is wrong with a line, in the words of OpenAI's `errors.data`. */
export class LineMistake extends Error {
  readonly code: string;
  readonly param: string | null;

  constructor(code: string, message: string, param: string | null = null) {
    super(message);
    this.code = code;
    this.param = param;
  }
}

export interface LineRules {
  tenant: string;
  batchId: string;
  /** Of whoever made the batch. */
  axes: CallAxes;
  /** Of the key that made the batch, as of now. */
  readonly access: KeyAccess;
  endpoint: Endpoint;
  router: Router;
  maxDepth: number;
  maxBytes: number;
}

export interface LineRequest {
  customId: string;
  /** Model as the line names it. */
  model: string;
  request: JobRequest;
}

const customIdMax = 512;
const envelope = z.looseObject({
  custom_id: z.string().min(1).max(customIdMax),
  method: z.string(),
  url: z.string(),
  body: z.looseObject({}),
});

/** The call in one line, checked as a call is. @throws LineMistake */
export function readLine(bytes: Buffer | undefined, rules: LineRules): LineRequest {
  if (!bytes) throw new LineMistake('line_too_long', `This line is longer than ${rules.maxBytes} bytes.`);
  const line = envelope.safeParse(parse(bytes, rules.maxDepth));
  if (!line.success) {
    const param = String(line.error.issues[0]?.path[0] ?? '') || null;
    if (param === null) throw new LineMistake('invalid_json_line', 'This line is not a JSON object.');
    throw new LineMistake('missing_required_parameter', `Missing or not valid: '${param}'.`, param);
  }
  const { custom_id: customId, method, url, body } = line.data;
  if (method !== 'POST') throw new LineMistake('invalid_method', `The method must be 'POST'.`, 'method');
  if (url !== rules.endpoint)
    throw new LineMistake(
      'invalid_url',
      `The URL must be the endpoint of the batch, ${rules.endpoint}.`,
      'url',
    );
  if (body.stream === true)
    throw new LineMistake('invalid_request', 'A line of a batch cannot be streamed.', 'body.stream');
  return { customId, model: String(body.model), request: readBody(body, customId, rules) };
}

function parse(bytes: Buffer, maxDepth: number): unknown {
  try {
    return parseUntrustedJson(bytes, maxDepth);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    const code = error.code === 'invalid_json' ? 'invalid_json_line' : error.code;
    const message =
      error.code === 'invalid_json' ? 'This line is not parseable as valid JSON.' : error.message;
    throw new LineMistake(code, message);
  }
}

function readBody(body: Record<string, unknown>, customId: string, rules: LineRules): JobRequest {
  const { tenant, axes, access } = rules;
  const options = { tenant, axes, access, priority: readPriority('batch'), delivery: 'retry' } as const;
  const metadata = { batch: rules.batchId, custom_id: customId };
  try {
    return readCall(rules.endpoint, body, rules.router, options, {}, metadata);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    throw new LineMistake(error.code, error.message, error.param ? `body.${error.param}` : null);
  }
}
