import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Clock } from '#shared/kernel/clock.ts';
import type { Random } from '#shared/kernel/random.ts';
import { ArrivalLog } from './arrivals/arrival-log.ts';
import { Corpus } from './corpus.ts';
import { FaultBook } from './faults/fault-book.ts';
import { Latency, type LatencyConfig, latencySchema } from './latency.ts';
import { LimitBook } from './limits/limit-book.ts';
import type { LimitsInput } from './limits/limits-schema.ts';
import { createSimulatorServer } from './server.ts';
import type { Simulation } from './simulation.ts';

const defaultCapacity = 2_000_000;
const defaultMaxBodyBytes = 20 * 1024 * 1024;
const invalidKey = 'sk-invalid';

export interface SimulatorOptions {
  clock: Clock;
  /** Draws the jitter. */
  random: Random;
  /** 0 or left out = any free port. */
  port?: number;
  host?: string;
  /** Decides the content of the answers. */
  seed?: number;
  latency?: Partial<LatencyConfig>;
  limits?: LimitsInput;
  /** Accepted API keys; by default every key but `sk-invalid`. */
  keys?: readonly string[];
  /** How many arrivals are kept. */
  arrivalCapacity?: number;
  maxBodyBytes?: number;
}

export interface Simulator {
  /** Without a slash at the end and without /v1. */
  url: string;
  port: number;
  log: ArrivalLog;
  limits: LimitBook;
  faults: FaultBook;
  latency: Latency;
  /** Closes every connection, whatever is still in progress on it. */
  stop(): Promise<void>;
}

/** Starts a provider that listens; throws a ZodError when the limits or the latency are wrong. */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const simulation = createSimulation(options);
  const server = createSimulatorServer(simulation);
  const host = options.host ?? '127.0.0.1';
  server.listen(options.port ?? 0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { log, limits, faults, latency } = simulation;
  return {
    url: `http://${host}:${port}`,
    port,
    log,
    limits,
    faults,
    latency,
    async stop() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function createSimulation(options: SimulatorOptions): Simulation {
  const { clock } = options;
  const baseMs = clock.nowMs() - clock.monotonicMs();
  const keys = options.keys && new Set(options.keys);
  return {
    clock,
    nowMs: () => baseMs + clock.monotonicMs(),
    log: new ArrivalLog(options.arrivalCapacity ?? defaultCapacity),
    limits: new LimitBook(options.limits),
    faults: new FaultBook(),
    latency: new Latency(latencySchema.parse(options.latency ?? {}), options.random),
    corpus: new Corpus(options.seed ?? 1),
    acceptsKey: keys ? (key) => keys.has(key) : (key) => key !== invalidKey,
    maxBodyBytes: options.maxBodyBytes ?? defaultMaxBodyBytes,
  };
}
