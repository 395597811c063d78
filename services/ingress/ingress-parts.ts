import type { BatchStore } from '#shared/batches/batch-store.ts';
import type { FileStore } from '#shared/batches/file-store.ts';
import type { BlobStore } from '#shared/blobs/blob-store.ts';
import type { DeliveryStore } from '#shared/deliveries/delivery-store.ts';
import type { EndpointStore } from '#shared/deliveries/endpoint-store.ts';
import type { SocketTickets } from '#shared/tenants/socket-tickets.ts';
import type { VirtualKeys } from '#shared/tenants/virtual-keys.ts';
import type { AcceptJobParts } from './accept-job.ts';
import type { CancelJobParts } from './cancel-job.ts';
import type { ModelTable } from './model-table.ts';
import type { Router } from './routing/router.ts';
import type { NewJobs } from './sockets/new-jobs.ts';

/** What the routes of an ingress work with; built once in app.ts. */
export interface IngressParts extends AcceptJobParts, CancelJobParts {
  /** As of now: read it for each call. */
  readonly models: ModelTable;
  router: Router;
  /** As of now: read it for each call. */
  readonly virtualKeys: VirtualKeys;
  /** Calls back when keys may have changed, until the returned function is called. */
  watchKeys: (onChange: () => void) => () => void;
  tickets: SocketTickets;
  files: FileStore;
  batches: BatchStore;
  blobs: BlobStore;
  endpoints: EndpointStore;
  deliveries: DeliveryStore;
  newJobs: NewJobs;
}
