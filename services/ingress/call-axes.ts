import type { IncomingHttpHeaders } from 'node:http';
import type { CallAxes } from '#shared/contracts/job.ts';
import { SluiceError } from '#shared/kernel/errors.ts';
import type { Identity } from '#shared/tenants/virtual-keys.ts';

/** Longest name of a user or feature, characters; of a longer one in a body the beginning counts. */
const nameMax = 256;

/** The axes that follow from who calls. */
export function axesOf({ keyId, team }: Identity): CallAxes {
  return { key: keyId, ...(team === undefined ? {} : { team }) };
}

function readName(headers: IncomingHttpHeaders, header: string): string | undefined {
  const value = headers[header];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.length >= 1 && value.length <= nameMax) return value;
  const fields = { header, reason: `use 1 to ${nameMax} characters` };
  throw new SluiceError('invalid_header', { fields, param: header });
}

/** The axes that follow from who calls and its headers. @throws SluiceError invalid_header */
export function readAxes({
  identity,
  headers,
}: {
  identity: Identity;
  headers: IncomingHttpHeaders;
}): CallAxes {
  const user = readName(headers, 'x-sluice-user');
  const feature = readName(headers, 'x-sluice-feature');
  return { ...axesOf(identity), ...(user ? { user } : {}), ...(feature ? { feature } : {}) };
}

/** With the user that the body names, in OpenAI's or Anthropic's field, unless a header did. */
export function withBodyUser(axes: CallAxes, body: Record<string, unknown>): CallAxes {
  if (axes.user !== undefined) return axes;
  const { user_id } = (body.metadata ?? {}) as { user_id?: unknown };
  const user = typeof body.user === 'string' ? body.user : user_id;
  return typeof user === 'string' && user !== '' ? { ...axes, user: user.slice(0, nameMax) } : axes;
}
