import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI, { AzureOpenAI } from 'openai';
import { testKey } from '../harness/test-settings.ts';

export interface Asked {
  model: string;
  stream: boolean;
  /** Whether a tool is offered, asked for, answered, and its answer used. */
  tool: boolean;
}

/** What a caller has at the end, in whichever package's words. */
export interface Said {
  text: string;
  inputTokens: number | undefined;
  outputTokens: number | undefined;
  call?: { name: string; arguments: unknown };
}

const said = 'Tell me about rivers.';
const askTool = 'Please call the tool.';
const result = { degrees: 21 };
const name = 'weather';
const parameters = {
  type: 'object' as const,
  properties: { city: { type: 'string' }, days: { type: 'array', items: { type: 'integer' } } },
};
const promptOf = ({ tool }: Asked) => (tool ? askTool : said);

async function chat(openai: OpenAI, asked: Asked): Promise<Said> {
  const { model, stream, tool } = asked;
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: promptOf(asked) }];
  const tools = [{ type: 'function' as const, function: { name, parameters } }];
  const body = { model, messages, ...(tool ? { tools } : {}) };
  const ask = async () => {
    const completion = stream
      ? await openai.chat.completions
          .stream({ ...body, stream_options: { include_usage: true } })
          .finalChatCompletion()
      : await openai.chat.completions.create(body);
    return { message: completion.choices[0]!.message, usage: completion.usage };
  };
  let { message, usage } = await ask();
  const [call] = (message.tool_calls ?? []) as OpenAI.ChatCompletionMessageFunctionToolCall[];
  if (call) {
    messages.push(message, { role: 'tool', tool_call_id: call.id, content: JSON.stringify(result) });
    ({ message, usage } = await ask());
  }
  return {
    text: message.content ?? '',
    inputTokens: usage?.prompt_tokens,
    outputTokens: usage?.completion_tokens,
    ...(call
      ? { call: { name: call.function.name, arguments: JSON.parse(call.function.arguments) as unknown } }
      : {}),
  };
}

async function responses(openai: OpenAI, asked: Asked): Promise<Said> {
  const { model, stream, tool } = asked;
  const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: promptOf(asked) }];
  const tools = [{ type: 'function' as const, name, parameters, strict: false }];
  const body = { model, input, ...(tool ? { tools } : {}) };
  const ask = async () =>
    stream ? openai.responses.stream(body).finalResponse() : openai.responses.create(body);
  let response = await ask();
  const call = response.output.find(({ type }) => type === 'function_call') as
    | OpenAI.Responses.ResponseFunctionToolCall
    | undefined;
  if (call) {
    input.push(call, {
      type: 'function_call_output',
      call_id: call.call_id,
      output: JSON.stringify(result),
    });
    response = await ask();
  }
  return {
    text: response.output_text,
    inputTokens: response.usage?.input_tokens,
    outputTokens: response.usage?.output_tokens,
    ...(call ? { call: { name: call.name, arguments: JSON.parse(call.arguments) as unknown } } : {}),
  };
}

async function messages(anthropic: Anthropic, asked: Asked): Promise<Said> {
  const { model, stream, tool } = asked;
  const turns: Anthropic.MessageParam[] = [{ role: 'user', content: promptOf(asked) }];
  const tools = [{ name, input_schema: parameters }];
  const body = { model, max_tokens: 100, messages: turns, ...(tool ? { tools } : {}) };
  const ask = () =>
    stream ? anthropic.messages.stream(body).finalMessage() : anthropic.messages.create(body);
  let message = await ask();
  const use = message.content.find((block) => block.type === 'tool_use');
  if (use) {
    const answer = { type: 'tool_result' as const, tool_use_id: use.id, content: JSON.stringify(result) };
    turns.push({ role: 'assistant', content: message.content }, { role: 'user', content: [answer] });
    message = await ask();
  }
  return {
    text: message.content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
    inputTokens: message.usage.input_tokens,
    outputTokens: message.usage.output_tokens,
    ...(use ? { call: { name: use.name, arguments: use.input } } : {}),
  };
}

async function generateContent(google: GoogleGenAI, asked: Asked): Promise<Said> {
  const { model, stream, tool } = asked;
  const contents: object[] = [{ role: 'user', parts: [{ text: promptOf(asked) }] }];
  const declaration = { name, parametersJsonSchema: parameters };
  const config = tool ? { tools: [{ functionDeclarations: [declaration] }] } : {};
  const ask = async () => {
    const body = { model, contents, config };
    const whole = async function* () {
      yield await google.models.generateContent(body);
    };
    let text = '';
    let usage: { promptTokenCount?: number; candidatesTokenCount?: number } | undefined;
    const parts: object[] = [];
    for await (const chunk of stream ? await google.models.generateContentStream(body) : whole()) {
      usage = chunk.usageMetadata;
      for (const part of chunk.candidates?.[0]?.content?.parts ?? []) {
        parts.push(part);
        text += part.text ?? '';
      }
    }
    return { text, usage, parts };
  };
  let answer = await ask();
  const called = answer.parts.find((part) => 'functionCall' in part) as
    | { functionCall: { id?: string; name: string; args: unknown } }
    | undefined;
  if (called) {
    const { id } = called.functionCall;
    const functionResponse = { name, response: result, ...(id === undefined ? {} : { id }) };
    contents.push({ role: 'model', parts: answer.parts }, { role: 'user', parts: [{ functionResponse }] });
    answer = await ask();
  }
  return {
    text: answer.text,
    inputTokens: answer.usage?.promptTokenCount,
    outputTokens: answer.usage?.candidatesTokenCount,
    ...(called ? { call: { name: called.functionCall.name, arguments: called.functionCall.args } } : {}),
  };
}

const plain = { apiKey: testKey, maxRetries: 0 };
const azure = (endpoint: string, deployment: string) =>
  new AzureOpenAI({ ...plain, endpoint, deployment, apiVersion: '2024-10-21' });

/** The official packages, each as its users call it, with nothing but the address changed. */
export const doors: Record<string, (url: string, asked: Asked) => Promise<Said>> = {
  'openai chat completions': (url, asked) => chat(new OpenAI({ ...plain, baseURL: `${url}/v1` }), asked),
  'openai responses': (url, asked) => responses(new OpenAI({ ...plain, baseURL: `${url}/v1` }), asked),
  'AzureOpenAI chat completions': (url, asked) => chat(azure(url, asked.model), asked),
  'AzureOpenAI responses': (url, asked) => responses(azure(url, asked.model), asked),
  'anthropic messages': (url, asked) => messages(new Anthropic({ ...plain, baseURL: url }), asked),
  'google generateContent': (url, asked) =>
    generateContent(new GoogleGenAI({ apiKey: testKey, httpOptions: { baseUrl: url } }), asked),
};
