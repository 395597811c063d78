import { type AnswerForm, type Fields, isFields, listOf, namedEvent, textOf } from './answer-form.ts';

/** Items by which the model asks its caller to do something. */
const asksCaller =
  /^(function_call|custom_tool_call|computer_call|(local_)?shell_call|apply_patch_call|mcp_approval_request)$/;
const endings: readonly unknown[] = ['response.completed', 'response.incomplete'];

/** OpenAI responses: the last event holds the whole answer. */
export const responsesForm: AnswerForm = {
  endOf({ status, output }) {
    if (status === 'incomplete') return 'truncated';
    if (status !== 'completed' || !Array.isArray(output)) return 'unfinished';
    return listOf(output).some(({ type }) => asksCaller.test(textOf(type))) ? 'tools' : 'complete';
  },

  assemble(events) {
    const last = events.findLast(({ type }) => endings.includes(type));
    return isFields(last?.response) && Array.isArray(last.response.output) ? last.response : undefined;
  },

  stream(answer) {
    let sequence = 0;
    const event = (type: string, fields: Fields) =>
      namedEvent({ type, sequence_number: sequence++, ...fields });
    const begun = { ...answer, status: 'in_progress', output: [], usage: null };
    return [
      event('response.created', { response: begun }),
      event('response.in_progress', { response: begun }),
      ...listOf(answer.output).flatMap((item, index) => itemEvents(event, item, index)),
      event(`response.${textOf(answer.status)}`, { response: answer }),
    ].join('');
  },
};

type MakeEvent = (type: string, fields: Fields) => string;

function itemEvents(event: MakeEvent, item: Fields, output_index: number): string[] {
  const place = { item_id: item.id, output_index };
  const added = (started: Fields) => event('response.output_item.added', { output_index, item: started });
  const done = () => event('response.output_item.done', { output_index, item });
  if (item.type === 'message') {
    return [
      added({ ...item, status: 'in_progress', content: [] }),
      ...listOf(item.content).flatMap((part, content_index) =>
        partEvents(event, part, { ...place, content_index }),
      ),
      done(),
    ];
  }
  if (item.type === 'function_call') {
    const { arguments: text, name } = item;
    return [
      added({ ...item, status: 'in_progress', arguments: '' }),
      event('response.function_call_arguments.delta', { ...place, delta: text }),
      event('response.function_call_arguments.done', { ...place, name, arguments: text }),
      done(),
    ];
  }
  // Reasoning and the provider's own tools come in one piece.
  return [added(item), done()];
}

function partEvents(event: MakeEvent, part: Fields, place: Fields): string[] {
  const added = (empty: Fields) => event('response.content_part.added', { ...place, part: empty });
  const done = () => event('response.content_part.done', { ...place, part });
  if (part.type === 'refusal') {
    const { refusal } = part;
    return [
      added({ ...part, refusal: '' }),
      event('response.refusal.delta', { ...place, delta: refusal }),
      event('response.refusal.done', { ...place, refusal }),
      done(),
    ];
  }
  if (part.type !== 'output_text') return [added(part), done()];
  const { text, logprobs = [] } = part;
  const annotations = listOf(part.annotations).map((annotation, annotation_index) =>
    event('response.output_text.annotation.added', { ...place, annotation_index, annotation }),
  );
  return [
    added({ ...part, text: '', annotations: [], logprobs: [] }),
    event('response.output_text.delta', { ...place, delta: text, logprobs }),
    ...annotations,
    event('response.output_text.done', { ...place, text, logprobs }),
    done(),
  ];
}
