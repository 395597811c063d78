import { EventSourceParserStream } from 'eventsource-parser/stream';
import { z } from 'zod';
import { terminalStates } from '#shared/contracts/job.ts';
import { type CliContext, type CommonOptions, openClient } from './cli-context.ts';
import { exitCodes } from './cli-error.ts';
import { jobShape } from './job-shape.ts';
import type { SluiceClient } from './sluice-client.ts';

/** Pause before a connection that ended too early is opened again. */
const reopenMs = 500;
const eventMaxChars = 64 * 1_024 * 1_024;

const isOver = (status: string) => (terminalStates as readonly string[]).includes(status);
const endData = z.looseObject({ status: z.string(), error: z.string().nullish(), provider: z.string() });
const deltaData = z.object({ text: z.string() });
const dispatchedData = z.object({ attempt: z.number() });

/** Follows a job until it ends; the command fails when the job did not succeed. */
export async function tailJob(context: CliContext, id: string, options: CommonOptions): Promise<void> {
  const client = await openClient(context, options);
  const status = await followEvents(context, client, id, options);
  if (status !== 'succeeded') context.end(exitCodes.failed);
}

/** Reads the job's events, and goes on where it was when the connection breaks. Returns how the job ended. */
async function followEvents(
  context: CliContext,
  client: SluiceClient,
  id: string,
  options: CommonOptions,
): Promise<string> {
  let lastId = '';
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  for (;;) {
    const headers = { accept: 'text/event-stream', ...(lastId ? { 'last-event-id': lastId } : {}) };
    // The answer begins with the first event, which may take as long as the job waits.
    const response = await client.patiently(() => client.ask(`${path}/events`, { headers, answerMs: 0 }));
    try {
      for await (const event of readEvents(response)) {
        if (event.id) lastId = event.id;
        const over = showEvent(context, event, options);
        if (over) return over;
      }
    } catch (error) {
      if (!isBroken(error)) throw error;
    }
    const { status } = await client.patiently(() => client.askJson(path, jobShape));
    if (isOver(status)) return status;
    await context.clock.sleep(reopenMs);
  }
}

/** A connection that was cut; undici says so with a TypeError. */
const isBroken = (error: unknown) => error instanceof TypeError;

async function* readEvents({
  body,
}: Response): AsyncGenerator<{ event?: string; id?: string; data: string }> {
  if (!body) return;
  const events = body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ maxBufferSize: eventMaxChars }));
  for await (const { event, id, data } of events)
    yield { data, ...(event ? { event } : {}), ...(id ? { id } : {}) };
}

/** Prints one event; the state of the job when it was the last. */
function showEvent(
  context: CliContext,
  { event = 'message', data }: { event?: string; data: string },
  { json }: CommonOptions,
): string | undefined {
  const value: unknown = JSON.parse(data);
  if (json) context.print(JSON.stringify({ event, data: value }));
  const end = endData.safeParse(value).data;
  if (end && isOver(end.status)) {
    if (!json) context.say(`${end.status}${end.error ? `: ${end.error}` : ''} (${end.provider})`);
    return end.status;
  }
  if (json) return undefined;
  const delta = deltaData.safeParse(value).data;
  const dispatched = dispatchedData.safeParse(value).data;
  if (delta) context.write(delta.text);
  else context.say(dispatched ? `${event}, attempt ${dispatched.attempt}` : event);
  return undefined;
}
