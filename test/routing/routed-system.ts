import type { JobObject } from '#shared/jobs/job-object.ts';
import type { Arrival } from '../../loadtest/simulator/arrivals/arrival-log.ts';
import { FaultSystem, get, type IngressProcess, post } from '../harness/fault-system.ts';
import { chat } from '../harness/sluice.ts';
import type { SettingsOverrides } from '../harness/test-settings.ts';

/** Models of the two providers, which one simulator plays. */
export const modelA = 'gpt-5-mini';
export const modelB = 'gpt-6-luna';

/** Settings, perhaps by where the simulator is. */
export type RoutedSettings = SettingsOverrides | ((simulatorUrl: string) => SettingsOverrides);

/** Two providers of one dialect, A (`openai`) and B (`second`), and the routes of a test. */
export function twoProviders(given: RoutedSettings) {
  return (simulatorUrl: string): SettingsOverrides => {
    const settings = typeof given === 'function' ? given(simulatorUrl) : given;
    const second = {
      dialect: 'openai' as const,
      base_url: `${simulatorUrl}/v1`,
      credentials: [{ id: 'spare', api_key: 'sk-simulator' }],
      pools: { chat: { models: [modelB], concurrency: 256 } },
      ...settings.providers?.second,
    };
    return { ...settings, providers: { ...settings.providers, second } };
  };
}

export interface RoutedAnswer {
  status: number;
  job: string;
  provider: string | null;
  model: string | null;
  attempts: number;
  body: { error?: { code?: string; message?: string }; choices?: { message: { content: string } }[] };
}

export class RoutedSystem {
  readonly faults: FaultSystem;
  readonly ingress: IngressProcess;

  private constructor(faults: FaultSystem, ingress: IngressProcess) {
    this.faults = faults;
    this.ingress = ingress;
  }

  static async start(settings: RoutedSettings, workers = 1): Promise<RoutedSystem> {
    const faults = await FaultSystem.start(twoProviders(settings));
    try {
      const [ingress] = await Promise.all([
        faults.ingress(),
        ...Array.from({ length: workers }, () => faults.worker()),
      ]);
      return new RoutedSystem(faults, ingress);
    } catch (error) {
      await faults.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.faults.stop();
  }

  /** What the provider with that model does to calls whose prompt holds the text. */
  misbehave(model: string, promptContains: string, fault: Record<string, unknown>, times = 1_000): void {
    this.faults.simulator.faults.add({ match: { model, promptContains }, times, fault });
  }

  async call(
    model: string,
    text: string,
    more: Record<string, unknown> = {},
    headers: Record<string, string> = {},
  ): Promise<RoutedAnswer> {
    const body = { ...chat(text), model, ...more };
    const response = await post(this.ingress, '/v1/chat/completions', body, headers);
    return {
      status: response.status,
      job: response.headers.get('x-sluice-job-id') ?? '',
      provider: response.headers.get('x-sluice-provider'),
      model: response.headers.get('x-sluice-model'),
      attempts: Number(response.headers.get('x-sluice-attempts')),
      body: (await response.json()) as RoutedAnswer['body'],
    };
  }

  async job(id: string): Promise<JobObject> {
    return (await (await get(this.ingress, `/v1/jobs/${id}`)).json()) as JobObject;
  }

  /** The attempts of a job as `provider result`. */
  async story(id: string): Promise<string[]> {
    return (await this.job(id)).attempts.map(({ provider, result }) => `${provider} ${result}`);
  }

  arrivals(id: string): Arrival[] {
    return this.faults.arrivalsOf(id);
  }
}
