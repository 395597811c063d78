import { type Fault, faultSchema, type QueuedFault } from './fault-schema.ts';

const maxQueued = 10_000;
const markerStart = '[[sim:';
const markerEnd = ']]';
/** Up to the first `}]]`, which the JSON itself must therefore not contain. */
const markerPattern = /\[\[sim:(\{.*?\})\]\]/gs;

/** What a request shows that a fault can be matched by. */
export interface FaultTarget {
  path: string;
  model: string;
  clientRequestId: string;
  /** The raw body. */
  body: Buffer;
  parsedBody: unknown;
  /** The header `x-sim-fault`, if there is one. */
  header: string | undefined;
}

/** The faults waiting for a request, and those that a request carries itself. */
export class FaultBook {
  #queued: { entry: QueuedFault; left: number }[] = [];

  get pending(): number {
    return this.#queued.length;
  }

  /** Returns false when too many are waiting. */
  add(entry: QueuedFault): boolean {
    if (this.#queued.length >= maxQueued) return false;
    this.#queued.push({ entry, left: entry.times });
    return true;
  }

  clear(): void {
    this.#queued = [];
  }

  /**
   * The fault for this request, or undefined. A marker in the prompt, the header and the first queued fault that
   * matches are put together; the later of these wins where they disagree. Throws a SyntaxError or ZodError when
   * the header or marker is wrong.
   */
  take(target: FaultTarget): Fault | undefined {
    const queued = this.#queued.length === 0 ? undefined : this.#takeQueued(target);
    const marked = target.body.includes(markerStart) ? markersIn(target.parsedBody) : undefined;
    const sent = target.header === undefined ? undefined : faultSchema.parse(JSON.parse(target.header));
    return queued || marked || sent ? { ...marked, ...sent, ...queued } : undefined;
  }

  #takeQueued(target: FaultTarget): Fault | undefined {
    const index = this.#queued.findIndex(({ entry }) => matches(entry, target));
    const found = this.#queued[index];
    if (!found) return undefined;
    found.left--;
    if (found.left === 0) this.#queued.splice(index, 1);
    return found.entry.fault;
  }
}

function matches({ match }: QueuedFault, target: FaultTarget): boolean {
  if (match.path !== undefined && match.path !== target.path) return false;
  if (match.model !== undefined && match.model !== target.model) return false;
  if (match.clientRequestId !== undefined && match.clientRequestId !== target.clientRequestId) return false;
  if (match.promptContains === undefined) return true;
  // Escaped as JSON escapes it, so that the raw body can be searched without walking it.
  return target.body.includes(JSON.stringify(match.promptContains).slice(1, -1));
}

function markersIn(value: unknown): Fault | undefined {
  if (typeof value === 'string') return value.includes(markerStart) ? readMarkers(value) : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  let found: Fault | undefined;
  for (const part of Object.values(value)) {
    const inPart = markersIn(part);
    if (inPart) found = { ...found, ...inPart };
  }
  return found;
}

function readMarkers(text: string): Fault | undefined {
  let found: Fault | undefined;
  for (const [whole] of text.matchAll(markerPattern)) {
    const json = whole.slice(markerStart.length, -markerEnd.length);
    found = { ...found, ...faultSchema.parse(JSON.parse(json)) };
  }
  return found;
}
