import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // What is asked for again and again until it is so: on a busy machine a process takes its time.
    expect: { poll: { timeout: 60_000 } },
    allowOnly: false,
  },
})
