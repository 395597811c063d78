import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { settingsSchema } from '#config/schema.ts';
import {
  backlogOf,
  dimensions,
  type PlanFlags,
  planDrain,
  shapes,
} from '../../../loadtest/scenarios/drain-plan.ts';
import { productConfiguration } from '../../../loadtest/scenarios/product-configuration.ts';
import { judgedCeilings, simulatorLimits } from '../../../loadtest/scenarios/provider-limits.ts';
import { mixes, plannedCall } from '../../../loadtest/scenarios/workload.ts';
import { countMessages } from '../../../loadtest/simulator/count-tokens.ts';
import { limitsSchema } from '../../../loadtest/simulator/limits/limits-schema.ts';
import { call } from './calls.ts';

const flags: PlanFlags = {
  shape: 'refill',
  dimension: 'rpm',
  workers: 4,
  tenants: 12,
  seconds: undefined,
  windowSeconds: 60,
  amount: undefined,
  sliceMs: undefined,
  seed: 1,
  mix: 'small',
  latencyMs: 40,
  concurrency: 64,
  ceilings: false,
};
const everyPlan = shapes.flatMap((shape) =>
  dimensions.flatMap((dimension) => mixes.map((mix) => planDrain({ ...flags, shape, dimension, mix }))),
);

describe('a plan', () => {
  test('gives limits that the simulator accepts and a configuration that Sluice accepts', () => {
    for (const plan of everyPlan) {
      limitsSchema.parse(simulatorLimits(plan));
      const configuration = productConfiguration(plan, 'http://127.0.0.1:1');
      settingsSchema.parse(parse(stringify(configuration)));
    }
  });

  test('fills the ceiling with its slices without a remainder', () => {
    for (const plan of everyPlan) {
      const slices = (plan.windowSeconds * 1_000) / plan.sliceMs;
      for (const limit of limitsSchema.parse(simulatorLimits(plan)).scopes[0]!.limits) {
        expect(Number.isInteger(limit.amount)).toBe(true);
        expect(limit.allowPerSlice! * slices).toBe(limit.amount);
      }
    }
  });

  test('has room for its largest call in every slice', () => {
    for (const plan of everyPlan.filter(
      ({ shape, dimension }) => shape === 'slices' && dimension !== 'rpm',
    )) {
      const [ceiling] = judgedCeilings(plan);
      const largest = Math.max(
        ...Array.from({ length: 1_000 }, (_, index) => {
          const { inputTokens, maxTokens } = plannedCall(plan, 0, index);
          return ceiling!.charge(call({ atMs: 0, inputTokens, maxTokens })).amount;
        }),
      );
      expect(largest).toBeLessThan((plan.amount * plan.sliceMs) / (plan.windowSeconds * 1_000));
    }
  });

  test('gives every tenant more work than its share of the whole run', () => {
    for (const plan of everyPlan) {
      const weightSum = plan.tenants.reduce((sum, { weight }) => sum + weight, 0);
      for (const tenant of plan.tenants) {
        const share = (plan.expectedRate * plan.seconds * tenant.weight) / weightSum;
        expect(backlogOf(plan, tenant)).toBeGreaterThan(1.2 * share);
      }
    }
  });
});

describe('a planned call', () => {
  test('counts at the provider what the plan says it does', () => {
    for (const plan of everyPlan) {
      const { body, inputTokens } = plannedCall(plan, 3, 7);
      expect(countMessages(body.messages as unknown[])).toBe(inputTokens);
    }
  });

  test('is the same again for the same numbers, and another for others', () => {
    const [plan] = everyPlan;
    expect(plannedCall(plan!, 1, 2)).toEqual(plannedCall(plan!, 1, 2));
    expect(plannedCall(plan!, 1, 2).body).not.toEqual(plannedCall(plan!, 1, 3).body);
    expect(plannedCall(plan!, 1, 2).body).not.toEqual(plannedCall(plan!, 2, 2).body);
  });

  test('covers prompts from 50 to 50,000 tokens in the mixed load', () => {
    const plan = planDrain({ ...flags, mix: 'mixed' });
    const inputs = Array.from({ length: 3_000 }, (_, index) => plannedCall(plan, 0, index).inputTokens);
    expect(Math.min(...inputs)).toBeLessThan(60);
    expect(Math.min(...inputs)).toBeGreaterThanOrEqual(50);
    expect(Math.max(...inputs)).toBeGreaterThan(40_000);
    expect(Math.max(...inputs)).toBeLessThanOrEqual(50_000);
  });
});
