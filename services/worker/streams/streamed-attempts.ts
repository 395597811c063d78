import { type Dialect, isTranslated } from '#shared/contracts/endpoint.ts';
import type { BegunJob } from '#shared/jobs/job-store.ts';
import type { HeldTicket } from '#shared/queue/ticket-worker.ts';
import { wireOf } from '../providers/adapters.ts';
import { nativeOperations } from '../translate/native-operations.ts';
import { StreamTranslation } from '../translate/stream-translation.ts';
import { DeltaLog, type DeltaLogParts } from './delta-log.ts';
import { ProviderStream } from './provider-stream.ts';
import { StreamRelay } from './stream-relay.ts';

/** The streaming side of one attempt. */
export interface StreamedAttempt {
  sink: ProviderStream;
  /** No more is written to the event log; call it before the job is settled. */
  close(): void;
  /** The record holds the answer now: the log is dropped. */
  forget(): void;
}

/** Opens the way from a provider's stream to the event log of its job. */
export class StreamedAttempts {
  readonly #parts: DeltaLogParts;

  constructor(parts: DeltaLogParts) {
    this.#parts = parts;
  }

  /** Tells who follows the job that an attempt began; undefined when its answer is not streamed. */
  open({ ticket, token }: HeldTicket, job: BegunJob, dialect: Dialect): StreamedAttempt | undefined {
    const { settings, log, tell, onError } = this.#parts;
    const { attempt: epoch, followers, endpoint } = job;
    const { tenant, job: jobId } = ticket;
    if (followers.length > 0) tell(followers, { job: jobId, epoch });
    if (!job.stream) return undefined;
    const deltas = new DeltaLog(this.#parts, { tenant, jobId, token, epoch, followers });
    const pass = (bytes: Buffer) => deltas.push(bytes);
    const translation = isTranslated(endpoint, dialect) ? new StreamTranslation(pass, dialect) : undefined;
    const operation = translation ? nativeOperations[dialect] : endpoint;
    const relay = new StreamRelay({
      reader: wireOf(operation).streamReader(operation),
      hideUsage: job.stream === 'usage_hidden' && !translation,
      eventMaxBytes: settings.event_max_bytes,
      eventsMax: settings.events_max,
      emit: translation ? (bytes) => translation.take(bytes) : pass,
    });
    return {
      sink: new ProviderStream({
        endpoint,
        operation,
        jobId,
        relay,
        translation,
        estimatedInput: ticket.input ?? 0,
        eventMaxBytes: settings.event_max_bytes,
      }),
      close: () => deltas.close(),
      forget: () => void log.drop(tenant, jobId).catch(onError),
    };
  }
}
