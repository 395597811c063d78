/**
 * Every Redis key of Sluice. Keys of one tenant share the hash tag `{tenant}`, keys of one provider `{provider}`, so
 * each script stays on one slot of a Redis Cluster. BullMQ's own keys live under `queuePrefix`.
 */
export const keys = {
  /** Hash: one job record. */
  job: (tenant: string, jobId: string) => `sl:{${tenant}}:job:${jobId}`,
  /** Stream: what a running attempt has streamed so far, see event-log.ts. */
  events: (tenant: string, jobId: string) => `sl:{${tenant}}:events:${jobId}`,
  /** String `<jobId> <fingerprint>`: one Idempotency-Key. */
  idempotency: (tenant: string, keyHash: string) => `sl:{${tenant}}:idem:${keyHash}`,
  /** Hash: who shares one job, by digest of the call: `leader`, and `reader <id>` for each. Also a prefix. */
  together: (tenant: string, digest: string) => `sl:{${tenant}}:together:${digest}`,
  /** Sorted set of job ids by time of acceptance: the tenant's list of jobs. */
  jobs: (tenant: string) => `sl:{${tenant}}:jobs`,
  /** Sorted set of unfinished job ids by the time the sweeper looks at them next. */
  open: (tenant: string) => `sl:{${tenant}}:open`,
  /** Counter: jobs of the tenant that wait. */
  depth: (tenant: string) => `sl:{${tenant}}:depth`,
  /** Prefix of what is counted for the tenant's quotas, see quotas.lua. */
  quota: (tenant: string) => `sl:{${tenant}}:quota:`,
  /** Hash of `provider/model` to what its calls taught: how the tenant's next calls are reckoned. */
  learned: (tenant: string) => `sl:{${tenant}}:learned`,
  /** Stream: ledger rows. */
  ledger: (tenant: string) => `sl:{${tenant}}:ledger`,
  /** Hash of axes to what calls with them used on a day, see usage-cell.ts. A prefix, completed by days since the epoch. */
  usage: (tenant: string, day: number | '' = '') => `sl:{${tenant}}:usage:${day}`,
  /** Sorted set of bodies kept outside of their records, by the time the record ends. */
  bodyExpiry: (tenant: string) => `sl:{${tenant}}:body-expiry`,
  /** Hash: one answer of the cache. Also a prefix, completed by `<namespace>:<digest of the request>`. */
  cacheEntry: (tenant: string, member: string) => `sl:{${tenant}}:cache:${member}`,
  /** Sorted set of the answers in the cache by the time they expire. */
  cacheIndex: (tenant: string) => `sl:{${tenant}}:cache-index`,
  /** Hash of answer to `<bytes> <name of its blob>`. */
  cacheSizes: (tenant: string) => `sl:{${tenant}}:cache-sizes`,
  /** Counter: bytes of the answers in the cache. */
  cacheBytes: (tenant: string) => `sl:{${tenant}}:cache-bytes`,
  /** Sorted set of the questions of one group (`<namespace>:<digest of their context>`) by their number. */
  cacheQuestions: (tenant: string, group: string) => `sl:{${tenant}}:cache-questions:${group}`,
  /** Hash of question to its vector, four bytes a number. */
  cacheVectors: (tenant: string, group: string) => `sl:{${tenant}}:cache-vectors:${group}`,
  /** Set of the groups that have vectors. */
  cacheGroups: (tenant: string) => `sl:{${tenant}}:cache-groups`,
  /** Vector set: the questions of one group, where Redis has vector sets. */
  cacheVectorSet: (tenant: string, group: string) => `sl:{${tenant}}:cache-vset:${group}`,
  /** Hash: one file. */
  file: (tenant: string, fileId: string) => `sl:{${tenant}}:file:${fileId}`,
  /** Sorted set of file ids by time of creation. */
  files: (tenant: string) => `sl:{${tenant}}:files`,
  /** Sorted set of file ids by the time they expire. */
  fileExpiry: (tenant: string) => `sl:{${tenant}}:file-expiry`,
  /** Counter: bytes of the tenant's files. */
  fileBytes: (tenant: string) => `sl:{${tenant}}:file-bytes`,
  /** Hash: one batch. */
  batch: (tenant: string, batchId: string) => `sl:{${tenant}}:batch:${batchId}`,
  /** Bitmap of the lines of a batch that are done. */
  batchDone: (tenant: string, batchId: string) => `sl:{${tenant}}:batch:${batchId}:done`,
  /** List of `<name of a blob> <bytes>`: what a batch has written, in order. */
  batchPieces: (tenant: string, batchId: string, stream: 'output' | 'errors') =>
    `sl:{${tenant}}:batch:${batchId}:${stream}`,
  /** Sorted set of batch ids by time of creation. */
  batches: (tenant: string) => `sl:{${tenant}}:batches`,
  /** Set of the batches of a tenant that have not ended. */
  openBatches: (tenant: string) => `sl:{${tenant}}:batches-open`,
  /** Sorted set of `<tenant> <batch id>` by the time somebody should look whether it needs a driver. */
  batchesToDrive: () => 'sl:batches-to-drive',
  /** String: who removes expired files and forgotten blobs at present. */
  blobSweepLease: () => 'sl:blob-sweeper',
  /** Sorted set of what the webhook service looks at next, by when: undispatched messages and open deliveries. */
  outbox: (tenant: string) => `sl:{${tenant}}:outbox`,
  /** Sorted set of the deliveries that are on their way, by the time of their message. */
  webhookBacklog: (tenant: string) => `sl:{${tenant}}:hook-backlog`,
  /** Hash: one webhook message. */
  webhookMessage: (tenant: string, messageId: string) => `sl:{${tenant}}:hook-message:${messageId}`,
  /** Hash: one message on its way to one endpoint. Also a prefix, completed by the id. */
  webhookDelivery: (tenant: string, deliveryId: string) => `sl:{${tenant}}:hook-delivery:${deliveryId}`,
  /** Sorted set of the tenant's webhook endpoints by age. */
  webhookEndpoints: (tenant: string) => `sl:{${tenant}}:hooks`,
  /** Hash: one webhook endpoint. */
  webhookEndpoint: (tenant: string, endpointId: string) => `sl:{${tenant}}:hook:${endpointId}`,
  /** Hash of event type to the ids of the endpoints that subscribed to it. */
  webhookSubscriptions: (tenant: string) => `sl:{${tenant}}:hook-subscriptions`,
  /** Sorted set: what an endpoint has been sent, by the time of the message. */
  webhookLog: (tenant: string, endpointId: string) => `sl:{${tenant}}:hook-log:${endpointId}`,
  /** Sorted set: deliveries of an endpoint that wait for their next attempt, or for the endpoint to be resumed. */
  webhookWaiting: (tenant: string, endpointId: string) => `sl:{${tenant}}:hook-waiting:${endpointId}`,
  /** Set of the tenants that use webhooks. */
  webhookTenants: () => 'sl:hook-tenants',
  /** Hash of the ids of webhook processes to where they run, see reclaim-deliveries.ts. */
  webhookProcesses: () => 'sl:hook-processes',
  /** Pub/sub channel on which the webhook service hears of tenants whose outbox has something new. */
  outboxChannel: () => 'sl:outbox',
  /** Set of all tenants that ever had a job. */
  tenants: () => 'sl:tenants',
  /** List: announcements for one ingress process. */
  replies: (ingressId: string) => `sl:{${ingressId}}:replies`,
  /** String: whom a WebSocket ticket stands for. */
  socketTicket: (digest: string) => `sl:ticket:${digest}`,
  /** Hash of `<kind>/<id>` to a document of the settings that are changed while processes run. */
  overlayDocuments: () => 'sl:{overlay}:documents',
  /** Hash of `<kind>/<id>` to the same document as people see it, without secrets. */
  overlayShown: () => 'sl:{overlay}:shown',
  /** Sorted set of `<kind>/<id>` by the version in which the document was last written. */
  overlayChanges: () => 'sl:{overlay}:changes',
  /** Sorted set of the `<kind>/<id>` last removed, by the version in which they were. */
  overlayRemoved: () => 'sl:{overlay}:removed',
  /** Hash: `version` of all documents, and `floor`, the version before which removals are forgotten. */
  overlayState: () => 'sl:{overlay}:state',
  /** String: what a change answered, should it be sent again. */
  overlayChange: (changeId: string) => `sl:{overlay}:change:${changeId}`,
  /** Pub/sub channel on which every process hears of changed documents. */
  overlayChannel: () => 'sl:overlay',
  /** Stream: who changed what. */
  audit: () => 'sl:{overlay}:audit',
  /** Hash of worker id to presence (host, process), see process-presence.ts. */
  workers: () => 'sl:workers',
  /** Sorted set of worker ids by the time they were last heard of. */
  workersSeen: () => 'sl:workers-seen',
  /** Sorted set of `provider/pool` by the time a worker last had the pool in its configuration. */
  poolsSeen: () => 'sl:pools-seen',
  /** Hash of `provider/model` to how long its calls took of late, milliseconds. */
  latencies: () => 'sl:latencies',
  /** Pub/sub channel on which one ingress hears of the progress of jobs. */
  ingressChannel: (ingressId: string) => `sl:ingress:${ingressId}`,
  /** Pub/sub channel on which one worker hears of cancelled jobs. */
  workerChannel: (workerId: string) => `sl:worker:${workerId}`,
  /** String: who sweeps at present. */
  sweepLease: () => 'sl:sweeper',
  /** String: who measures how fairly a pool is shared at present. */
  fairnessLease: (provider: string, pool: string) => `sl:{${provider}}:fairness:${pool}`,
  /** String written by the readiness probe. */
  readiness: (processId: string) => `sl:ready:${processId}`,
  /** Prefix of the BullMQ queues of a provider. */
  queuePrefix: (provider: string) => `sl:{${provider}}`,
} as const;

/** Keys of the lanes and ceilings of one pool, beside BullMQ's own; `queueKey` is BullMQ's prefix of the queue. */
export function fairKeys(queueKey: string) {
  return {
    /** Hash: configuration of the pool, use of its ceilings, virtual time. */
    pool: `${queueKey}fair:pool`,
    /** Hash of tenant to `<weight> <most at once> <paused>`. */
    tenants: `${queueKey}fair:tenants`,
    /** Sorted set of the lanes that have work, by virtual counter. */
    lanes: `${queueKey}fair:lanes`,
    /** Set of the tenants whose lane has work but is not eligible. */
    parked: `${queueKey}fair:parked`,
    /** Sorted set of jobs in hand by the time their lease ends. */
    leases: `${queueKey}fair:leases`,
    /** Prefix, completed by a tenant: hash of one lane. */
    lane: `${queueKey}fair:lane:`,
    /** Prefix, completed by a tenant: sorted set of the jobs that wait in its lane. */
    jobs: `${queueKey}fair:jobs:`,
    /** Pub/sub channel: credentials that are held back, for what was granted on them and is not sent yet. */
    news: `${queueKey}fair:news`,
    /** Prefix, completed by a ceiling: hash of the older slots of its window. */
    slots: `${queueKey}fair:slots:`,
  } as const;
}
