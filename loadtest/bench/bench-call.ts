/** The virtual key of the bench's tenant, and the key of the simulated provider. */
export const benchKey = 'sk-sl-bench';
export const benchModel = 'gpt-5-mini';
export const callPath = '/v1/chat/completions';

const promptBytes = 1_000;
const answerTokens = 24;
const sentence = 'Summarise the following meeting in three sentences and name who does what until when. ';

/** A chat call of about 1.2 kB whose answer has about 600 bytes. */
export function benchBody(): string {
  const content = sentence.repeat(Math.ceil(promptBytes / sentence.length)).slice(0, promptBytes);
  const messages = [
    { role: 'system', content: 'You are a careful assistant who answers briefly.' },
    { role: 'user', content },
  ];
  return JSON.stringify({
    model: benchModel,
    messages,
    max_completion_tokens: answerTokens,
    temperature: 0.2,
  });
}
