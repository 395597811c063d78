import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FilePart,
  LanguageModelV4Message,
  LanguageModelV4ReasoningPart,
  LanguageModelV4TextPart,
  LanguageModelV4ToolResultPart,
} from '@ai-sdk/provider';

/** The form between the dialects: what the AI SDK's provider packages take. */
export type CallOptions = LanguageModelV4CallOptions;
export type Message = LanguageModelV4Message;
export type TextPart = LanguageModelV4TextPart;
export type FilePart = LanguageModelV4FilePart;
export type ReasoningPart = LanguageModelV4ReasoningPart;
export type ToolResultPart = LanguageModelV4ToolResultPart;
export type Schema = Extract<NonNullable<CallOptions['tools']>[number], { type: 'function' }>['inputSchema'];

/** A call taken out of its dialect. */
export interface ReadCall {
  options: CallOptions;
  /** Parameters, in the caller's words, that say nothing outside of its dialect and are left out. */
  dropped: Set<string>;
  /** The caller's word for each option that some providers lack. */
  names: Partial<Record<keyof CallOptions, string>>;
  /** The parameter by which the caller wants at most one tool called at a time. */
  oneTool?: string;
  /** Whom the provider may hold responsible, and the parameter that says so. */
  user?: { id: string; param: string };
}

/** The name of the tool that each call named so far asked for; answers of tools name only the call. */
export type ToolNames = Map<string, string>;
