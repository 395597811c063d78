import type { OutgoingCall } from '../provider-adapter.ts';

/** The method that follows the model in Google's paths, with what it needs to stream events. */
export function methodOf({ operation, stream }: OutgoingCall): string {
  return stream ? ':streamGenerateContent?alt=sse' : operation.slice(operation.lastIndexOf(':'));
}
