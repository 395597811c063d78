import {
  type Dialect,
  endpointDialect,
  type Operation,
  type ProviderKind,
} from '#shared/contracts/endpoint.ts';
import { anthropicAdapter } from './anthropic/adapter.ts';
import { anthropicWire } from './anthropic/wire.ts';
import { azureAdapter } from './azure/adapter.ts';
import { bedrockAdapter } from './bedrock/adapter.ts';
import { bedrockWire } from './bedrock/wire.ts';
import { geminiAdapter } from './gemini/adapter.ts';
import { geminiWire } from './gemini/wire.ts';
import { openaiAdapter } from './openai/adapter.ts';
import { openaiWire } from './openai/wire.ts';
import type { ProviderAdapter } from './provider-adapter.ts';
import { vertexAdapter } from './vertex/adapter.ts';
import type { WireFormat } from './wire-format.ts';

const adapters: Record<ProviderKind, ProviderAdapter> = {
  openai: openaiAdapter,
  azure: azureAdapter,
  anthropic: anthropicAdapter,
  gemini: geminiAdapter,
  vertex: vertexAdapter,
  bedrock: bedrockAdapter,
};

const wires: Record<Dialect, WireFormat> = {
  openai: openaiWire,
  anthropic: anthropicWire,
  gemini: geminiWire,
  bedrock: bedrockWire,
};

/** How a provider of this kind is called. */
export function adapterOf(kind: ProviderKind): ProviderAdapter {
  return adapters[kind];
}

/** How the answers of an operation are written. */
export function wireOf(operation: Operation): WireFormat {
  return wires[endpointDialect[operation]];
}
