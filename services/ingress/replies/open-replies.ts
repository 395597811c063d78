import type { Settings } from '#config/schema.ts';
import { recordLifeMs } from '#shared/jobs/job-record.ts';
import type { JobStore } from '#shared/jobs/job-store.ts';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Service } from '#shared/kernel/lifecycle.ts';
import type { RedisConnection } from '#shared/redis/connection.ts';
import { OutcomeWaiter } from '#shared/results/await-outcome.ts';
import { EventFeed } from '#shared/results/event-feed.ts';
import { EventLog } from '#shared/results/event-log.ts';
import { ReplyInbox } from '#shared/results/reply-inbox.ts';

export interface ReplyOptions {
  ingressId: string;
  settings: Settings;
  jobs: JobStore;
  redis: RedisConnection;
  blocking: RedisConnection;
  subscriber: RedisConnection;
  clock: Clock;
  onError: (error: unknown) => void;
}

/** What an ingress hears of jobs: one inbox, from which waiting callers and readers of events are served. */
export function openReplies(options: ReplyOptions): {
  waiter: OutcomeWaiter;
  feed: EventFeed;
  services: Service[];
} {
  const { ingressId, settings, jobs, redis, blocking, subscriber, clock, onError } = options;
  const { replies } = settings;
  const readOutcome = (tenant: string, jobId: string) => jobs.outcome(tenant, jobId);
  const waiter = new OutcomeWaiter({ clock, settings: replies, readOutcome, onError });
  const feed = new EventFeed({
    clock,
    log: new EventLog(redis, recordLifeMs(settings.jobs)),
    rereadMs: replies.reread_ms,
    readProgress: (tenant, jobId) => jobs.progress(tenant, jobId),
    readOutcome,
  });
  const inbox = new ReplyInbox({
    ingressId,
    blocking,
    subscriber,
    clock,
    settings: replies,
    onError,
    receive: (announcement) => {
      waiter.receive(announcement);
      feed.receive(announcement);
    },
  });
  return { waiter, feed, services: [waiter, feed, inbox] };
}
