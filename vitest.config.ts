import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/global-setup.ts'],
    // They only end what has failed, so a busy machine must never reach them.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // Two cores: fault tests start whole process trees, so files run two at a time at most.
    maxWorkers: 2,
  },
});
