/** One server-sent event as a test reads it. */
export interface SseEvent {
  event: string | undefined;
  id: string | undefined;
  data: string;
}

export interface SseReader {
  response: Response;
  /** Everything received so far. */
  text(): string;
  /** Resolves when `enough` says so of what was received, or at the end of the stream. */
  readUntil(enough: (text: string) => boolean): Promise<string>;
  /** Reads to the end; rejects when the connection breaks. */
  rest(): Promise<string>;
  /** Hangs up. */
  cut(): Promise<void>;
}

/** Reads a response of server-sent events piece by piece. */
export function readSse(response: Response): SseReader {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  const readUntil = async (enough: (received: string) => boolean) => {
    while (!enough(text)) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value, { stream: true });
    }
    return text;
  };
  return {
    response,
    text: () => text,
    readUntil,
    rest: () => readUntil(() => false),
    cut: () => reader.cancel(),
  };
}

/** The events of a stream; comments are left out. */
export function eventsOf(text: string): SseEvent[] {
  return text
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith(':'))
    .map((block) => {
      const field = (name: string) =>
        block
          .split('\n')
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2);
      return { event: field('event'), id: field('id'), data: field('data') ?? '' };
    });
}

/** The first whole events of what was received that are enough; a busy machine may have received many more at once. */
export function firstEvents(text: string, enough: (text: string) => boolean): string {
  let end = 0;
  for (let at = text.indexOf('\n\n'); at !== -1; at = text.indexOf('\n\n', at + 2)) {
    end = at + 2;
    if (enough(text.slice(0, end))) break;
  }
  return text.slice(0, end);
}

/** What the provider sent: a stream without the lines and comments that Sluice adds. */
export const withoutIds = (text: string) =>
  text.replaceAll(/id: \d+-\d+\n/g, '').replaceAll(/^: waiting .*\n\n/gm, '');

/** The answer that the delta events of `/events` hold together. */
export const deltaText = (events: readonly SseEvent[]) =>
  events
    .filter(({ event }) => event === 'delta')
    .map(({ data }) => (JSON.parse(data) as { text: string }).text)
    .join('');
