import { expect } from 'vitest';
import { systemClock } from '#shared/kernel/clock.ts';
import { seededRandom } from '#shared/kernel/random.ts';
import {
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from '../../../loadtest/simulator/start-simulator.ts';

const running = new Set<Simulator>();

/** A simulator on a free port, stopped by `stopSimulators`. */
export async function start(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const simulator = await startSimulator({ clock: systemClock, random: seededRandom(1), ...options });
  running.add(simulator);
  return simulator;
}

export async function stopSimulators(): Promise<void> {
  await Promise.all([...running].map((simulator) => simulator.stop()));
  running.clear();
}

/** Waits for something that happens soon but cannot be awaited; the bound only ends a test that has failed. */
export const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 20_000, interval: 5 });

export const chatBody = (content = 'Hello there', more: object = {}) => ({
  model: 'gpt-4o',
  messages: [{ role: 'user', content }],
  ...more,
});

/** A call with a good key; `headers` may replace it. */
export function post(
  simulator: Simulator,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${simulator.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-test-000001', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

export const chat = (
  simulator: Simulator,
  body: unknown = chatBody(),
  headers: Record<string, string> = {},
) => post(simulator, '/v1/chat/completions', body, headers);

export async function control<T>(
  simulator: Simulator,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T }> {
  const response = await fetch(`${simulator.url}/_sim/${path}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as T };
}
