import { beforeEach, expect, test } from 'vitest';
import { Lifecycle, type Service } from '#shared/kernel/lifecycle.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { until } from '../../harness/until.ts';

let clock: ManualClock;
let events: string[];
let lifecycle: Lifecycle;
beforeEach(() => {
  clock = new ManualClock();
  events = [];
  lifecycle = new Lifecycle({
    clock,
    stopTimeoutMs: 1_000,
    onStopError: (name, error) => events.push(`${name} ${(error as Error).message}`),
  });
});

const never = new Promise<never>(() => undefined);

function service(name: string, over: Partial<Service> = {}): Service {
  return {
    name,
    start: async () => void events.push(`start ${name}`),
    stop: async () => void events.push(`stop ${name}`),
    ...over,
  };
}

test('services start one after the other and stop in reverse', async () => {
  const slow = service('b', {
    async start() {
      await clock.sleep(10);
      events.push('start b');
    },
  });
  const started = lifecycle.start([service('a'), slow, service('c')]);
  await until('b starts', () => clock.pendingTimers === 1);
  expect(events).toEqual(['start a']);
  clock.advance(10);
  await started;
  await lifecycle.stop();
  expect(events).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
  expect(clock.pendingTimers).toBe(0);
});

test('when one cannot start, it and those before it are stopped, and the error is thrown on', async () => {
  const broken = service('b', { start: () => Promise.reject(new Error('port taken')) });
  await expect(lifecycle.start([service('a'), broken, service('c')])).rejects.toThrow('port taken');
  expect(events).toEqual(['start a', 'stop b', 'stop a']);
});

test('a stop during the start ends the service that is starting and starts no further one', async () => {
  const starting = Promise.withResolvers<void>();
  const slow = service('b', { start: () => starting.promise });
  const started = lifecycle.start([service('a'), slow, service('c')]);
  started.catch(() => undefined);
  await until('a is up', () => events.length === 1);
  await lifecycle.stop();
  starting.resolve();
  await expect(started).rejects.toThrow('stopped before everything was started');
  expect(events).toEqual(['start a', 'stop b', 'stop a']);
});

test('a stop during the start of the last service fails the start', async () => {
  const starting = Promise.withResolvers<void>();
  const started = lifecycle.start([service('a', { start: () => starting.promise })]);
  started.catch(() => undefined);
  await lifecycle.stop();
  starting.resolve();
  await expect(started).rejects.toThrow('stopped before');
});

test('a service that hangs is reported after the time-out, and the others are stopped all the same', async () => {
  const hang = () => {
    events.push('b hangs');
    return never;
  };
  const hanging = service('b', { stop: hang });
  await lifecycle.start([service('a'), hanging, service('c')]);
  const stopped = lifecycle.stop();
  await until('b is asked to stop', () => events.includes('b hangs'));
  clock.advance(999);
  expect(events).not.toContain('stop a');
  clock.advance(1);
  await stopped;
  expect(events.slice(5)).toEqual(['b still running after 1000 ms', 'stop a']);
});

test('a service that fails to stop is reported, and the others are stopped all the same', async () => {
  const broken = service('b', { stop: () => Promise.reject(new Error('broken')) });
  await lifecycle.start([service('a'), broken]);
  await lifecycle.stop();
  expect(events.slice(2)).toEqual(['b broken', 'stop a']);
});

test('a second stop waits for the first and stops nothing twice', async () => {
  await lifecycle.start([service('a')]);
  await Promise.all([lifecycle.stop(), lifecycle.stop()]);
  await lifecycle.stop();
  expect(events).toEqual(['start a', 'stop a']);
});
