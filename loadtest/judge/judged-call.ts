/** One request as the provider saw it: a line of the simulator's arrival log, with the tenant that it was made for. */
export interface JudgedCall {
  job: string;
  tenant: string;
  /** Last six characters of the API key. */
  credential: string;
  atMs: number;
  /** Null while it has not ended. */
  finishedMs: number | null;
  inputTokens: number;
  /** What the request names as its maximum; null when it names none. */
  maxTokens: number | null;
  outputTokens: number;
  status: number;
  /** Refused because a ceiling was used up. */
  refused: boolean;
  /** Names of the fault's fields that the request met, or null. */
  fault: string | null;
  aborted: boolean;
}

/** An amount that counts against a ceiling from a moment on. */
export interface Charge {
  atMs: number;
  amount: number;
}

/** A half-open span of time, milliseconds since the epoch. */
export interface Span {
  fromMs: number;
  toMs: number;
}

/** Whether the provider did the work; only that is service. */
export function wasServed(call: JudgedCall): boolean {
  return call.status === 200 && !call.refused;
}

export function jobOf(clientRequestId: string): string {
  const slash = clientRequestId.indexOf('/');
  return slash < 0 ? clientRequestId : clientRequestId.slice(0, slash);
}
