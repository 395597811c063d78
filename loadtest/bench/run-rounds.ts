import { request } from 'undici';
import { type MeasureParts, measure, type Visit } from './measure.ts';
import type { BenchOptions } from './options.ts';
import type { Target } from './targets.ts';

const jitter = 0.2;
const heatConcurrency = 64;

async function setLatency(simulatorUrl: string, firstByteMs: number): Promise<void> {
  const body = JSON.stringify({ firstByteMs, jitter });
  const answer = await request(`${simulatorUrl}/_sim/latency`, { method: 'PUT', body });
  if (answer.statusCode !== 200) throw new Error(`the simulator refused: ${await answer.body.text()}`);
  await answer.body.dump();
}

/** A process that has just started is several times slower until its code is compiled: load each before measuring. */
async function heatUp(parts: MeasureParts, targets: readonly Target[], measureMs: number): Promise<void> {
  for (const target of targets) {
    if (!target.name.endsWith('-again')) await measure({ ...parts, measureMs }, target, heatConcurrency);
  }
}

/**
 * Visits every target in every round, all targets of one cell right after each other, so that a slow minute of the
 * machine meets all of them; the order is reversed in every second round, so that none always comes after the same.
 */
export async function runRounds(
  parts: MeasureParts,
  simulatorUrl: string,
  targets: readonly Target[],
  options: BenchOptions,
  say: (line: string) => void,
): Promise<Visit[]> {
  const visits: Visit[] = [];
  await setLatency(simulatorUrl, 0);
  if (options.heat > 0) await heatUp(parts, targets, options.heat * 1_000);
  for (let round = 0; round < options.rounds; round++) {
    const order = round % 2 === 0 ? targets : targets.toReversed();
    for (const latencyMs of options.latency) {
      await setLatency(simulatorUrl, latencyMs);
      for (const concurrency of options.concurrency) {
        for (const target of order) {
          const seen = await measure(parts, target, concurrency);
          visits.push({ target: target.name, latencyMs, concurrency, round, ...seen });
        }
        say(`round ${round + 1}/${options.rounds}: ${latencyMs} ms, ${concurrency} in flight`);
      }
    }
  }
  return visits;
}
