export const noMaxTokens = 0xffff_ffff;
export const abortedFlag = 1;
export const finishedFlag = 2;
/** A call that generates something, as opposed to a list of models or a token count. */
export const generationFlag = 4;

/** A fixed run of arrivals in columns: about 60 bytes and a client request id each, so that millions cost little. */
export class ArrivalSegment {
  readonly atMs: Float64Array;
  readonly monoMs: Float64Array;
  readonly finishedMs: Float64Array;
  readonly bodyHash: Uint32Array;
  readonly bodyBytes: Uint32Array;
  readonly inputTokens: Uint32Array;
  readonly maxTokens: Uint32Array;
  readonly outputTokens: Uint32Array;
  readonly path: Uint16Array;
  readonly credential: Uint16Array;
  readonly model: Uint16Array;
  readonly status: Uint16Array;
  readonly refusedBy: Uint16Array;
  readonly fault: Uint16Array;
  readonly flags: Uint8Array;
  readonly clientRequestId: string[];

  constructor(size: number) {
    this.atMs = new Float64Array(size);
    this.monoMs = new Float64Array(size);
    this.finishedMs = new Float64Array(size);
    this.bodyHash = new Uint32Array(size);
    this.bodyBytes = new Uint32Array(size);
    this.inputTokens = new Uint32Array(size);
    this.maxTokens = new Uint32Array(size);
    this.outputTokens = new Uint32Array(size);
    this.path = new Uint16Array(size);
    this.credential = new Uint16Array(size);
    this.model = new Uint16Array(size);
    this.status = new Uint16Array(size);
    this.refusedBy = new Uint16Array(size);
    this.fault = new Uint16Array(size);
    this.flags = new Uint8Array(size);
    this.clientRequestId = [];
  }
}
