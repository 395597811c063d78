import { Readable } from 'node:stream';
import type { ReadableStream as WebStream } from 'node:stream/web';
import {
  BedrockRuntimeClient,
  ConverseCommand,
  type ConverseCommandInput,
  ConverseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime';
import { AzureOpenAI } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { seededRandom } from '#shared/kernel/random.ts';
import { secretOf } from '../../../loadtest/simulator/dialects/aws-signature.ts';
import { type Simulator, startSimulator } from '../../../loadtest/simulator/start-simulator.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ clock: systemClock, random: seededRandom(1) });
});
afterAll(() => simulator.stop());
beforeEach(() => {
  simulator.faults.clear();
  simulator.limits.replace({ scopes: [] });
});

interface SdkRequest {
  protocol: string;
  hostname: string;
  port?: number;
  path: string;
  method: string;
  headers: Record<string, string>;
  body?: Uint8Array | string;
}

/** The SDK speaks HTTP/2 by itself, which the simulator does not. */
const overHttp1 = {
  async handle({ protocol, hostname, port, path, method, headers, body }: SdkRequest) {
    const url = `${protocol}//${hostname}:${port}${path}`;
    const answer = await fetch(url, { method, headers, body: body as string });
    const response = {
      statusCode: answer.status,
      headers: Object.fromEntries(answer.headers),
      body: Readable.fromWeb(answer.body as WebStream),
    };
    return { response };
  },
};

const accessKeyId = 'AKIDSIMULATOR';
const bedrock = (secretAccessKey = secretOf(accessKeyId)) =>
  new BedrockRuntimeClient({
    region: 'eu-west-1',
    endpoint: simulator.url,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
    requestHandler: overHttp1 as never,
  });
const ask = (text: string, more: Partial<ConverseCommandInput> = {}): ConverseCommandInput => ({
  modelId: 'anthropic.claude-sonnet-5-v1:0',
  messages: [{ role: 'user', content: [{ text }] }],
  ...more,
});
const tools = {
  toolConfig: {
    tools: [
      {
        toolSpec: {
          name: 'weather',
          inputSchema: { json: { type: 'object', properties: { city: { type: 'string' } } } },
        },
      },
    ],
    toolChoice: { any: {} },
  },
} as const;

describe('the AWS SDK', () => {
  test('converses with a signed request', async () => {
    const { output, stopReason, usage } = await bedrock().send(new ConverseCommand(ask('hello')));
    expect(output?.message?.content?.[0]?.text).toMatch(/\w/);
    expect(stopReason).toBe('end_turn');
    expect(usage?.totalTokens).toBe(usage!.inputTokens! + usage!.outputTokens!);
  });

  test.each([ask('hello'), ask('use the tool', tools as never)])('reads the event stream', async (input) => {
    const { stream } = await bedrock().send(new ConverseStreamCommand(input));
    let text = '';
    const kinds = new Set<string>();
    for await (const event of stream!) {
      for (const kind of Object.keys(event)) kinds.add(kind);
      text += event.contentBlockDelta?.delta?.text ?? event.contentBlockDelta?.delta?.toolUse?.input ?? '';
    }
    const expected = ['contentBlockDelta', 'contentBlockStop', 'messageStart', 'messageStop', 'metadata'];
    expect([...kinds]).toEqual(expect.arrayContaining(expected));
    if (input.toolConfig) expect(JSON.parse(text)).toEqual({ city: 'river' });
    else expect(text).toMatch(/\w/);
  });

  test('is refused with a signature by another secret', async () => {
    await expect(bedrock('wrong').send(new ConverseCommand(ask('hello')))).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
  });

  test('meets throttling by its name, within a stream too', async () => {
    simulator.limits.replace({
      scopes: [{ tokenAccounting: 'bedrock', limits: [{ dimension: 'tokens', amount: 50 }] }],
    });
    const greedy = ask('hello', { inferenceConfig: { maxTokens: 40 } });
    await bedrock().send(new ConverseCommand(greedy));
    await expect(bedrock().send(new ConverseCommand(greedy))).rejects.toMatchObject({
      name: 'ThrottlingException',
      message: 'Too many tokens, please wait before trying again.',
    });
    simulator.limits.replace({ scopes: [] });
    simulator.faults.add({ match: {}, times: 1, fault: { streamErrorAfter: 1, outputTokens: 5 } });
    const { stream } = await bedrock().send(new ConverseStreamCommand(ask('hello')));
    const read = async () => {
      for await (const event of stream!) void event;
    };
    await expect(read()).rejects.toMatchObject({ name: 'InternalServerException' });
  });
});

describe('the Azure client of the openai package', () => {
  const azure = () =>
    new AzureOpenAI({
      endpoint: simulator.url,
      apiKey: 'azure-key',
      apiVersion: '2024-10-21',
      maxRetries: 0,
    });
  const messages = [{ role: 'user' as const, content: 'hello' }];

  test('completes, streams and embeds by deployment', async () => {
    const whole = await azure().chat.completions.create({ model: 'my-deployment', messages });
    expect(whole.model).toBe('my-deployment');
    const stream = await azure().chat.completions.create({ model: 'my-deployment', messages, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toMatch(/\w/);
    const { data } = await azure().embeddings.create({ model: 'embedding', input: 'x' });
    expect(data).toHaveLength(1);
  });

  test('meets the refusals of slices in Azure’s words', async () => {
    simulator.limits.replace({
      scopes: [
        {
          headerDialect: 'azure',
          limits: [{ dimension: 'requests', amount: 60, shape: 'slices', sliceMs: 10_000, allowPerSlice: 1 }],
        },
      ],
    });
    await azure().chat.completions.create({ model: 'my-deployment', messages });
    const refused = azure().chat.completions.create({ model: 'my-deployment', messages });
    await expect(refused).rejects.toMatchObject({ status: 429, code: '429' });
  });
});
