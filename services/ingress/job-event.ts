import { endingNames, type JobEvent } from '#shared/contracts/job-events.ts';
import { usdOf } from '#shared/tokens/price.ts';

/** Name of an event as readers of a job's events see it, through whichever door. */
export function eventName(event: JobEvent): string {
  return event.type === 'ended' ? endingNames[event.head.state] : event.type;
}

/** What the event tells. The texts of all deltas of one attempt, put together, are the answer of the job. */
export function eventOf(job: string, event: JobEvent): Record<string, unknown> {
  switch (event.type) {
    case 'queued':
      return { job };
    case 'dispatched':
      return { job, attempt: event.place.epoch };
    case 'delta':
      return { job, text: event.bytes.toString() };
    case 'ended': {
      const { state, status, contentType, provider, model, attempts, error, costNanoUsd } = event.head;
      return {
        job,
        status: state,
        http_status: status,
        content_type: contentType,
        provider,
        model,
        attempts,
        cost_usd: costNanoUsd === undefined ? null : usdOf(costNanoUsd),
        error,
      };
    }
  }
}
